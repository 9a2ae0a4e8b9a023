import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from vae_keras import charts
from vae_keras.plotting_test import flat_images, leaves_no_trace  # noqa: F401, an autouse fixture


def history(num_epochs):
    columns = ["reconstruction_loss", "kl_divergence", "psnr", "ssim"]
    columns += [f"val_{name}" for name in columns]
    values = np.linspace(1, 2, num_epochs)
    return pd.DataFrame({"epoch": np.arange(num_epochs), **dict.fromkeys(columns, values)})


def test_the_histogram_shows_shares_of_all_pixels():
    figure = charts.grey_level_histogram({"mnist": flat_images([0, 0, 0, 255])})
    (axes,) = figure.axes
    (line,) = axes.get_lines()
    share = line.get_ydata()
    assert share[0] == 0.75 and share[255] == 0.25 and share.sum() == 1
    assert axes.get_yscale() == "log"
    assert line.get_color() == charts.DATASET_COLORS["mnist"]
    assert axes.get_xlabel() and axes.get_ylabel()


def test_training_curves_count_epochs_from_one():
    figure = charts.training_curves(history(3))
    assert len(figure.axes) == 4
    for axes in figure.axes:
        training, validation = axes.get_lines()
        assert list(training.get_xdata()) == [1, 2, 3]
        assert training.get_linestyle() == "-" and validation.get_linestyle() == "--"
        assert axes.get_xlabel() == "epoch"
    units = [axes.get_ylabel() for axes in figure.axes]
    assert ["nats/image" in label for label in units] == [True, True, False, False]
    assert "dB" in units[2]


def test_training_curves_do_without_optional_columns():
    figure = charts.training_curves(history(1)[["epoch", "reconstruction_loss"]])
    (axes,) = figure.axes
    assert len(axes.get_lines()) == 1


def test_the_latent_map_shows_every_code_in_its_class():
    codes = np.arange(10.0).reshape(5, 2)
    figure = charts.latent_map(codes, np.array([0, 1, 0, 1, 1]), ["a", "b"], ("z_1", "z_2"))
    (axes,) = figure.axes
    first, second = axes.collections
    np.testing.assert_array_equal(first.get_offsets(), codes[[0, 2]])
    np.testing.assert_array_equal(second.get_offsets(), codes[[1, 3, 4]])
    assert not np.array_equal(first.get_facecolor(), second.get_facecolor())
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_aspect()) == ("z_1", "z_2", 1)


def test_latent_maps_show_the_same_classes_side_by_side():
    codes = np.arange(10.0).reshape(5, 2)
    maps = {"PCA": codes, "t-SNE": codes[::-1]}
    figure = charts.latent_maps(maps, np.array([0, 1, 0, 1, 1]), ["a", "b"])
    left, right = figure.axes
    np.testing.assert_array_equal(left.collections[0].get_offsets(), codes[[0, 2]])
    np.testing.assert_array_equal(right.collections[0].get_offsets(), codes[::-1][[0, 2]])
    assert left.get_legend() is None and right.get_legend() is not None
    assert (left.get_xlabel(), right.get_ylabel()) == ("PCA, first axis", "t-SNE, second axis")


@pytest.mark.parametrize("shape", [(5,), (5, 3)])
def test_codes_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="`codes`"):
        charts.latent_map(np.zeros(shape), np.zeros(5, int), ["a"])


def test_figures_are_saved_in_the_style(tmp_path):
    figure = charts.latent_map(np.zeros((2, 2)), np.zeros(2, int), ["a"])
    figure.savefig(tmp_path / "styled.png")
    with mpl.rc_context({"savefig.dpi": 37, "savefig.bbox": None}):
        figure.savefig(tmp_path / "again.png")
    assert (tmp_path / "styled.png").read_bytes() == (tmp_path / "again.png").read_bytes()


def test_a_single_epoch_has_whole_ticks():
    figure = charts.training_curves(history(1))
    low, high = figure.axes[0].get_xlim()
    assert [tick for tick in figure.axes[0].get_xticks() if low <= tick <= high] == [1]


def test_floats_are_counted_as_their_grey_levels():
    images = flat_images([0, 7, 255, 255])
    lines = [
        charts.grey_level_histogram({"mnist": pixels}).axes[0].get_lines()[0].get_ydata()
        for pixels in (images, images / 255)
    ]
    np.testing.assert_array_equal(*lines)


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda: charts.latent_map(np.zeros((3, 2)), [0, 0], ["a"]), "`labels`"),
        (lambda: charts.latent_map([[1, 2, 3]], [0], ["a"]), "`codes`"),
        (lambda: charts.grey_level_histogram({"other": flat_images([1])}), "`images`"),
        (lambda: charts.grey_level_histogram({"mnist": flat_images([1])[0]}), "num_images"),
        (lambda: charts.training_curves(history(2)[["epoch"]]), "`history`"),
    ],
)
def test_wrong_arguments_are_named_and_leave_no_figure_open(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
