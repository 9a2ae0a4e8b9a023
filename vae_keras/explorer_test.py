import io

import numpy as np
import pytest
from PIL import Image

from vae_keras import explorer


def decode(codes):
    """Images of 4x4 pixels, of the grey level 0.5 plus a tenth of the code's sum."""
    assert codes.dtype == np.float32
    level = 0.5 + codes.sum(axis=1) / 10
    return np.broadcast_to(level.reshape(-1, 1, 1, 1), (len(codes), 4, 4, 1))


def parts(view):
    column, picture = view.children
    *sliders, button = column.children
    return sliders, button, picture


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture.value)))


def grey(code_sum):
    return round(255 * (0.5 + code_sum / 10))


def test_the_leading_dimensions_get_the_sliders_in_their_order():
    sliders, _, picture = parts(explorer.explore(decode, [0.1, 0.2, 0.3], [2, 0, 1], 2))
    assert [slider.description for slider in sliders] == ["z_3", "z_1"]
    np.testing.assert_allclose([slider.value for slider in sliders], [0.3, 0.1], rtol=1e-6)
    assert {(slider.min, slider.max) for slider in sliders} == {(-3, 3)}
    assert pixels(picture).shape == (224, 224, 3)
    assert (pixels(picture) == grey(0.6)).all()


def test_a_moved_slider_changes_the_picture_and_no_other_dimension():
    sliders, _, picture = parts(explorer.explore(decode, [0.0, 1.0, -1.0], [2, 0, 1], 2))
    before = picture.value
    sliders[0].value = 2.0  # the third dimension, from -1
    assert picture.value != before
    assert (pixels(picture) == grey(0 + 1 + 2)).all()
    sliders[1].value = -3.0
    assert (pixels(picture) == grey(-3 + 1 + 2)).all()


def test_the_button_sets_everything_back():
    sliders, button, picture = parts(explorer.explore(decode, [0.5, 0.0], [0, 1]))
    before = picture.value
    for slider in sliders:
        slider.value = -2.0
    assert picture.value != before
    button.click()
    assert picture.value == before
    assert [slider.value for slider in sliders] == [0.5, 0.0]


@pytest.mark.parametrize("value, expected", [(7.0, 3.0), (-7.0, -3.0)])
def test_a_code_beyond_the_sliders_starts_at_their_end(value, expected):
    sliders, _, picture = parts(explorer.explore(decode, [value], [0]))
    assert sliders[0].value == expected
    assert (pixels(picture) == grey(expected)).all()


def test_the_code_that_was_given_stays_as_it_is():
    z = np.zeros(2, "float32")
    sliders, _, _ = parts(explorer.explore(decode, z, [0, 1]))
    sliders[0].value = 1.0
    assert (z == 0).all()


def test_colours_stay_in_their_channels():
    image = np.zeros((1, 8, 4, 3))
    image[..., 1] = 1
    _, _, picture = parts(explorer.explore(lambda codes: image, [0.0], [0]))
    assert pixels(picture).shape == (224, 112, 3)
    assert (pixels(picture) == [0, 255, 0]).all()
