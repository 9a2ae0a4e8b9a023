import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

from vae_keras import plotting

GAP = plotting.GAP


@pytest.fixture(autouse=True)
def leaves_no_trace():
    """Every test checks that no figure stays open and that the style stays inside."""
    before = dict(mpl.rcParams)
    yield
    left_open = plt.get_fignums()
    plt.close("all")
    assert left_open == []
    assert dict(mpl.rcParams) == before


def flat_images(levels, channels=1):
    """Images of 4x3 pixels, each of one grey level."""
    levels = np.array(levels, "uint8").reshape(-1, 1, 1, 1)
    return np.broadcast_to(levels, (len(levels), 4, 3, channels)).copy()


def sheet_of(figure):
    (picture,) = figure.axes[0].get_images()
    return picture


def test_importing_loads_no_tensorflow_and_changes_no_setting():
    code = (
        "import sys, matplotlib as mpl; before = dict(mpl.rcParams); import vae_keras.plotting; "
        "print(dict(mpl.rcParams) == before, {'tensorflow', 'keras', 'seaborn'} & {*sys.modules})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "True set()"


def test_montage_places_each_image_and_fills_the_rest_with_white():
    sheet = plotting.montage(flat_images([10, 20, 30]), num_columns=2)
    assert sheet.shape == (2 * 4 + GAP, 2 * 3 + GAP, 3)
    assert sheet.dtype == np.uint8
    assert (sheet[:4, :3] == 10).all()
    assert (sheet[:4, 3 + GAP :] == 20).all()
    assert (sheet[4 + GAP :, :3] == 30).all()
    assert (sheet[4 + GAP :, 3 + GAP :] == 255).all()
    assert (sheet[:, 3 : 3 + GAP] == 255).all()
    assert (sheet[4 : 4 + GAP] == 255).all()


def test_floats_and_uint8_give_the_same_pixels():
    images = flat_images(range(256), channels=3)
    np.testing.assert_array_equal(plotting.to_pixels(images / 255), images)
    np.testing.assert_array_equal(plotting.to_pixels((images / 255).astype("float32")), images)


def test_colours_stay_in_their_channels():
    image = np.zeros((1, 4, 3, 3), "uint8")
    image[..., 1] = 200
    np.testing.assert_array_equal(plotting.montage(image, 1), image[0])


@pytest.mark.parametrize("shape", [(4, 3, 1), (2, 4, 3), (2, 4, 3, 2), (2, 4, 3, 4)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="num_images, height, width, channels"):
        plotting.montage(np.zeros(shape), 2)


@pytest.mark.parametrize("value", [-0.1, 1.1, 255.0])
def test_images_of_another_range_are_refused(value):
    with pytest.raises(ValueError, match=r"floats in \[0, 1\]"):
        plotting.image_grid(np.full((2, 4, 3, 1), value))


@pytest.mark.parametrize("level", [0, 100, 255])
def test_pixels_are_never_rescaled(level):
    picture = sheet_of(plotting.image_grid(flat_images([level, level]), title="samples"))
    assert picture.get_clim() == (0, 255)
    assert picture.get_interpolation() == "nearest"
    assert (picture.get_array()[:4, :3] == level).all()
    assert picture.axes.get_title() == "samples"


def test_a_grid_is_no_wider_than_its_images():
    sheet = sheet_of(plotting.image_grid(flat_images([0, 0]), num_columns=10)).get_array()
    assert sheet.shape == (4, 2 * 3 + GAP, 3)


def test_originals_are_above_their_reconstructions():
    figure = plotting.image_rows(
        {"original": flat_images([10, 20]), "reconstruction": flat_images([110, 120]) / 255}
    )
    sheet = sheet_of(figure).get_array()
    assert (sheet[:4, :3] == 10).all() and (sheet[:4, 3 + GAP :] == 20).all()
    assert (sheet[4 + GAP :, :3] == 110).all() and (sheet[4 + GAP :, 3 + GAP :] == 120).all()
    labels = {text.get_text(): text.get_position()[1] for text in figure.axes[0].get_yticklabels()}
    assert list(labels) == ["original", "reconstruction"]
    assert labels["original"] < 4 < 4 + GAP < labels["reconstruction"]
    assert figure.axes[0].yaxis_inverted()


def test_rows_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="`rows`"):
        plotting.image_rows({"original": flat_images([1, 2]), "other": flat_images([1])})


def test_class_examples_are_the_first_of_each_class():
    images = flat_images([10, 20, 11, 12, 21])
    figure = plotting.class_examples(images, np.array([0, 1, 0, 0, 1]), ["a", "b"], num_examples=2)
    sheet = sheet_of(figure).get_array()
    found = sheet[:: 4 + GAP, :: 3 + GAP, 0]
    np.testing.assert_array_equal(found, [[10, 11], [20, 21]])
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["a", "b"]


def test_a_class_with_few_images_leaves_white():
    figure = plotting.class_examples(flat_images([10, 20]), np.array([0, 0]), ["a", "b"], 3)
    found = sheet_of(figure).get_array()[:: 4 + GAP, :: 3 + GAP, 0]
    np.testing.assert_array_equal(found, [[10, 20, 255], [255, 255, 255]])


def test_more_than_twenty_figures_can_be_drawn_and_saved(tmp_path):
    figures = [plotting.image_grid(flat_images([0, 255])) for _ in range(25)]
    figures[-1].savefig(tmp_path / "grid.png")
    assert plt.imread(tmp_path / "grid.png").ndim == 3


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda: plotting.image_grid(flat_images([])), "`images`"),
        (lambda: plotting.montage(flat_images([1]), 0), "`num_columns`"),
        (lambda: plotting.montage(np.full((1, 4, 3, 1), np.nan), 1), r"\[0, 1\]"),
        (lambda: plotting.class_examples(flat_images([1, 2]), [0], ["a"]), "`labels`"),
    ],
)
def test_wrong_arguments_are_named_and_leave_no_figure_open(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
