"""The one style of all figures, and figures of images: arrays in, a Figure out."""

import functools
import math

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

STYLE = {
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "savefig.bbox": "tight",
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "legend.frameon": False,
    "lines.markersize": 5,
}
GAP = 2  # pixels between the images of a montage


class StyledFigure(Figure):
    """A figure that is also saved in the one style."""

    def savefig(self, *args, **kwargs):
        with mpl.rc_context(STYLE):
            super().savefig(*args, **kwargs)


def styled(draw):
    """Draws in the one style, and closes the figure, so that a notebook shows it once."""

    @functools.wraps(draw)
    def styled(*args, **kwargs):
        others = set(plt.get_fignums())
        with mpl.rc_context(STYLE):
            try:
                return draw(*args, **kwargs)
            finally:
                for number in set(plt.get_fignums()) - others:
                    plt.close(number)

    return styled


def montage(images, num_columns):
    """Lays images out in rows, on white.

    Args:
        images: uint8 or floats in [0, 1], `(num_images, height, width, channels)`.
        num_columns: images in a row.

    Returns:
        uint8 array, `(total_height, total_width, 3)`.

    Raises:
        ValueError: if the images are of another shape or range.
    """
    pixels = to_pixels(images)
    if len(pixels) == 0 or num_columns < 1:
        raise ValueError(
            "`images` and `num_columns` must be at least 1. "
            f"Received: {len(pixels)} images, num_columns={num_columns}"
        )
    num_images, height, width, _ = pixels.shape
    num_rows = math.ceil(num_images / num_columns)
    height, width = height + GAP, width + GAP
    sheet = np.full((num_rows * height - GAP, num_columns * width - GAP, 3), 255, "uint8")
    for number, image in enumerate(pixels):
        top, left = number // num_columns * height, number % num_columns * width
        sheet[top : top + height - GAP, left : left + width - GAP] = image
    return sheet


@styled
def image_grid(images, num_columns=10, title=None):
    """Draws images in rows.

    Args:
        images: uint8 or floats in [0, 1], `(num_images, height, width, channels)`.
        num_columns: images in a row.
        title: text above, or `None`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    num_columns = min(num_columns, max(1, len(images)))
    axes = _sheet_axes(montage(images, num_columns), num_columns, len(images), title)
    axes.set_yticks([])
    return axes.figure


@styled
def image_rows(rows, title=None):
    """Draws rows of images, each with its label: originals above their reconstructions.

    Args:
        rows: dict from label to images, `(num_images, height, width, channels)`, of one shape.
        title: text above, or `None`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if the rows differ in shape.
    """
    shapes = {np.shape(images) for images in rows.values()}
    if len(shapes) != 1:
        raise ValueError(f"all `rows` must have the same shape. Received: {sorted(shapes)}")
    pixels = np.concatenate([to_pixels(images) for images in rows.values()])
    num_columns, height = next(iter(shapes))[:2]
    axes = _sheet_axes(montage(pixels, num_columns), num_columns, len(pixels), title)
    axes.set_yticks((height + GAP) * np.arange(len(rows)) + height / 2, list(rows))
    return axes.figure


@styled
def class_examples(images, labels, class_names, num_examples=8):
    """Draws the first images of each class, a row a class.

    Args:
        images: uint8 or floats in [0, 1], `(num_images, height, width, channels)`.
        labels: integers, `(num_images,)`.
        class_names: names of the classes, in the order of their labels.
        num_examples: images of each class at the most.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    images, labels = np.asarray(images), check_labels(labels, images)
    sheet = np.full((len(class_names), num_examples, *images.shape[1:3], 3), 255, "uint8")
    for label in range(len(class_names)):
        examples = to_pixels(images[labels == label][:num_examples])
        sheet[label, : len(examples)] = examples
    return image_rows.__wrapped__(dict(zip(class_names, sheet)))


def to_pixels(images):
    """Converts images to three channels of uint8, on the fixed scale from black to white.

    Args:
        images: uint8 or floats in [0, 1], `(num_images, height, width, channels)`.

    Returns:
        uint8 array, `(num_images, height, width, 3)`.

    Raises:
        ValueError: if the images are of another shape or range.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        raise ValueError(
            "images must have the shape (num_images, height, width, channels) with 1 or 3 "
            f"channels. Received: {images.shape}"
        )
    if images.dtype != np.uint8:
        if images.size and not (images.min() >= 0 and images.max() <= 1):
            raise ValueError(
                "images must be uint8 or floats in [0, 1]. "
                f"Received: from {images.min():.3g} to {images.max():.3g}"
            )
        images = np.round(255 * images).astype("uint8")
    return np.repeat(images, 3, axis=3) if images.shape[3] == 1 else images


def check_labels(labels, images):
    """Returns the labels as an array, `(num_images,)`; a `ValueError` says that they are too few."""
    if np.shape(labels) != (len(images),):
        raise ValueError(
            f"`labels` must have the shape ({len(images)},), one for each image. "
            f"Received: {np.shape(labels)}"
        )
    return np.asarray(labels)


def _sheet_axes(sheet, num_columns, num_images, title):
    width = min(10.0, 0.75 * num_columns)
    size = (width, width * sheet.shape[0] / sheet.shape[1] + 0.1)
    _, axes = plt.subplots(FigureClass=StyledFigure, figsize=size)
    axes.imshow(sheet, vmin=0, vmax=255, interpolation="nearest")
    axes.set_title(title or "")
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return axes
