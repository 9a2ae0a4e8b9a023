import numpy as np
import pytest

from vae_keras.figures import pictures

GAP = pictures.GAP


def sheet_of(figure):
    (picture,) = figure.axes[0].get_images()
    return picture.get_array()


def row_labels(figure):
    return [text.get_text() for text in figure.axes[0].get_yticklabels()]


def test_montage_places_each_image_and_fills_the_rest_with_white(flat_images):
    sheet = pictures.montage(flat_images([10, 20, 30]), num_columns=2)
    assert sheet.shape == (2 * 4 + GAP, 2 * 3 + GAP, 3)
    assert (sheet[:4, :3] == 10).all()
    assert (sheet[:4, 3 + GAP :] == 20).all()
    assert (sheet[4 + GAP :, :3] == 30).all()
    assert (sheet[4 + GAP :, 3 + GAP :] == 255).all()
    assert (sheet[:, 3 : 3 + GAP] == 255).all()


def test_floats_and_uint8_give_the_same_pixels(flat_images):
    images = flat_images(range(256), channels=3)
    np.testing.assert_array_equal(pictures.to_pixels(images / 255), images)
    np.testing.assert_array_equal(pictures.to_pixels(images[..., :1]), images)


def test_the_grey_scale_is_fixed_and_a_grid_no_wider_than_its_images(flat_images):
    figure = pictures.image_grid(flat_images([100, 101]), num_columns=10)
    (picture,) = figure.axes[0].get_images()
    assert picture.get_clim() == (0, 255)
    assert picture.get_array().shape == (4, 2 * 3 + GAP, 3)
    assert (picture.get_array()[:4, :3] == 100).all()


def test_originals_are_above_their_reconstructions(flat_images):
    rows = {"originals": flat_images([10, 20]), "plain": flat_images([110, 120]) / 255}
    figure = pictures.image_rows(rows)
    found = sheet_of(figure)[:: 4 + GAP, :: 3 + GAP, 0]
    np.testing.assert_array_equal(found, [[10, 20], [110, 120]])
    assert row_labels(figure) == ["originals", "plain"]  # a class may have the name of a setting
    assert list(figure.axes[0].get_yticks()) == [2, 4 + GAP + 2]


def test_class_examples_are_the_first_of_each_class(flat_images):
    images, labels = flat_images([10, 20, 11, 12]), np.array([0, 1, 0, 0])
    figure = pictures.class_examples(images, labels, ["a", "b"], num_examples=2)
    found = sheet_of(figure)[:: 4 + GAP, :: 3 + GAP, 0]
    np.testing.assert_array_equal(found, [[10, 11], [20, 255]])
    assert row_labels(figure) == ["a", "b"]


def test_invalid_images_are_refused(flat_images):
    with pytest.raises(ValueError, match="at least one image"):
        pictures.image_grid(flat_images([]))
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        pictures.montage(np.full((1, 4, 3, 1), np.nan), 1)
    with pytest.raises(ValueError, match="num_images, height"):
        pictures.to_pixels(flat_images([1])[0])
    with pytest.raises(ValueError, match="one size"):
        pictures.image_rows({"a": flat_images([1]), "b": flat_images([1]).swapaxes(1, 2)})
    with pytest.raises(ValueError, match="`labels`"):
        pictures.class_examples(flat_images([1, 2]), [0], ["a"])
