"""An interactive picture: a slider for each latent dimension, decoded while it moves."""

import io

import ipywidgets as widgets
import numpy as np
from PIL import Image

from vae_keras.plotting import to_pixels

REACH = 3.0  # standard deviations of the prior to either side
PICTURE_SIZE = 224  # pixels of the screen, about


def explore(decode, z, order, num_dimensions=8):
    """Makes sliders that move a latent code, beside the image it is decoded to.

    Args:
        decode: function from codes, float32 `(num_codes, latent_dim)`, to images in [0, 1],
            `(num_codes, height, width, channels)`.
        z: code to start from, `(latent_dim,)`. What a slider moves starts within -3 and 3.
        order: latent dimensions, the first of them get the sliders: `codes.kl_spectrum` puts
            those of the largest KL divergence first.
        num_dimensions: number of sliders at the most.

    Returns:
        An `ipywidgets.HBox`: a column of sliders and a button that sets them back, and the image.
    """
    code = np.array(z, "float32")
    dimensions = [int(dimension) for dimension in order[:num_dimensions]]
    sliders = [
        widgets.FloatSlider(
            value=np.clip(code[dimension], -REACH, REACH),
            min=-REACH,
            max=REACH,
            step=0.05,
            description=f"z_{dimension + 1}",
        )
        for dimension in dimensions
    ]
    start = [slider.value for slider in sliders]
    picture = widgets.Image(format="png")
    button = widgets.Button(description="Back to the start")

    def redraw(_=None):
        code[dimensions] = [slider.value for slider in sliders]
        picture.value = _png(decode(code[None]))

    def set_back(_):
        for slider, value in zip(sliders, start):
            slider.value = value

    for slider in sliders:
        slider.observe(redraw, names="value")
    button.on_click(set_back)
    redraw()
    layout = widgets.Layout(align_items="center")  # the default would stretch the image
    return widgets.HBox([widgets.VBox([*sliders, button]), picture], layout=layout)


def _png(images):
    """Encodes the first image, each of its pixels as a square of several."""
    image = Image.fromarray(to_pixels(np.asarray(images))[0])
    scale = max(1, PICTURE_SIZE // max(image.size))
    image = image.resize((scale * image.width, scale * image.height), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
