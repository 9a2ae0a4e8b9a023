"""An interactive explorer of latent space: one slider per dimension, decoded as it moves."""

import io

import ipywidgets as widgets
import numpy as np
from PIL import Image

from vae_keras.figures.pictures import to_pixels

REACH = 3.0  # range of the sliders, in standard deviations of the prior
PICTURE_SIZE = 224  # approximate side of the picture, in screen pixels


def explore(decode, z, order, num_dimensions=8):
    """Makes sliders that change a latent code, beside the image decoded from it.

    Args:
        decode: function from codes, float32 `(num_codes, latent_dim)`, to images in [0, 1],
            `(num_codes, height, width, channels)`.
        z: initial code, `(latent_dim,)`; dimensions with a slider are clipped to [-3, 3].
        order: latent dimensions, sorted by KL divergence, largest first.
        num_dimensions: maximum number of sliders.

    Returns:
        An `ipywidgets.HBox` of the sliders, with a reset button, and the image.
    """
    code = np.array(z, "float32")
    dimensions = [int(dimension) for dimension in order[:num_dimensions]]
    start = [float(value) for value in np.clip(code[dimensions], -REACH, REACH)]
    sliders = [
        widgets.FloatSlider(
            value=value, min=-REACH, max=REACH, step=0.05, description=f"z_{dimension + 1}"
        )
        for dimension, value in zip(dimensions, start, strict=True)
    ]
    picture = widgets.Image(format="png")
    button = widgets.Button(description="Reset")

    def redraw(_=None):
        code[dimensions] = [slider.value for slider in sliders]
        picture.value = _png(decode(code[None]))

    def reset(_):
        for slider, value in zip(sliders, start, strict=True):
            slider.value = value

    for slider in sliders:
        slider.observe(redraw, names="value")
    button.on_click(reset)
    redraw()
    layout = widgets.Layout(align_items="center")  # the default would stretch the image
    return widgets.HBox([widgets.VBox([*sliders, button]), picture], layout=layout)


def _png(images):
    """Encodes the first image as an enlarged PNG."""
    pixels = to_pixels(images)[0]
    scale = max(1, PICTURE_SIZE // max(pixels.shape))
    buffer = io.BytesIO()
    Image.fromarray(pixels.repeat(scale, 0).repeat(scale, 1)).save(buffer, "PNG")
    return buffer.getvalue()
