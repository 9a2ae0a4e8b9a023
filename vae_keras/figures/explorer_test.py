import io

import numpy as np
from PIL import Image

from vae_keras.figures import explorer


def decode(codes):
    """Decodes to 4x4 pixels with a grey level of 0.5 plus a tenth of the code's sum."""
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


def test_the_leading_dimensions_get_the_sliders_and_move_alone():
    sliders, _, picture = parts(explorer.explore(decode, [0.0, 1.0, -1.0], [2, 0, 1], 2))
    assert [slider.description for slider in sliders] == ["z_3", "z_1"]
    assert pixels(picture).shape == (224, 224, 3)
    assert (pixels(picture) == grey(0)).all()
    sliders[0].value = 2.0
    assert (pixels(picture) == grey(0 + 1 + 2)).all()
    sliders[1].value = -3.0
    assert (pixels(picture) == grey(-3 + 1 + 2)).all()


def test_the_button_resets_all_sliders():
    sliders, button, picture = parts(explorer.explore(decode, [0.5, 0.0], [0, 1]))
    before = picture.value
    for slider in sliders:
        slider.value = -2.0
    assert picture.value != before
    button.click()
    assert picture.value == before


def test_codes_beyond_the_sliders_are_clipped():
    (slider,), _, picture = parts(explorer.explore(decode, [7.0], [0]))
    assert slider.value == 3
    assert (pixels(picture) == grey(3)).all()
