"""Figures of images.

Functions that draw return a `matplotlib.figure.Figure`; `title` is shown above it.
"""

import math

import numpy as np

from vae_keras.figures.style import StyledFigure, styled

GAP = 2  # pixels between the images of a montage


def to_pixels(images):
    """Converts images to uint8 with three channels, without rescaling their contrast.

    Args:
        images: uint8 or floats in [0, 1], `(num_images, height, width, channels)`.

    Returns:
        uint8 array, `(num_images, height, width, 3)`.

    Raises:
        ValueError: if the images have a different shape or range.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        raise ValueError(
            "`images` must have the shape (num_images, height, width, channels), with 1 or 3 "
            f"channels. Received: {images.shape}"
        )
    if images.dtype != np.uint8:
        if images.size and not (images.min() >= 0 and images.max() <= 1):
            raise ValueError(
                "`images` must be uint8 or floats in [0, 1]; divide grey levels by 255. "
                f"Received: from {images.min():.3g} to {images.max():.3g}"
            )
        images = np.round(255 * images).astype("uint8")
    return np.broadcast_to(images, (*images.shape[:3], 3))


def montage(images, num_columns):
    """Lays out images in rows on white; returns uint8 pixels, `(height, width, 3)`."""
    pixels = to_pixels(images)
    if len(pixels) == 0 or num_columns < 1:
        raise ValueError(
            "`images` must hold at least one image, and `num_columns` must be at least 1. "
            f"Received: {len(pixels)} images, num_columns={num_columns}"
        )
    num_images, height, width, _ = pixels.shape
    num_rows = math.ceil(num_images / num_columns)
    sheet = np.full((num_rows * num_columns, height + GAP, width + GAP, 3), 255, "uint8")
    sheet[:num_images, :height, :width] = pixels
    sheet = sheet.reshape(num_rows, num_columns, *sheet.shape[1:]).swapaxes(1, 2)
    return sheet.reshape(num_rows * (height + GAP), -1, 3)[:-GAP, :-GAP]


@styled
def image_grid(images, num_columns=10, title=None):
    """Draws images, see `to_pixels`, in rows of at most `num_columns`."""
    sheet = montage(images, min(num_columns, max(1, len(images))))
    width = min(10.0, 0.75 * sheet.shape[1] / (np.shape(images)[2] + GAP))
    figure = StyledFigure(figsize=(width, width * sheet.shape[0] / sheet.shape[1] + 0.1))
    axes = figure.subplots()
    axes.imshow(sheet, vmin=0, vmax=255, interpolation="nearest")
    axes.set(title=title or "", xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


@styled
def image_rows(rows, title=None):
    """Draws labelled rows of images, such as originals above their reconstructions.

    Args:
        rows: dict from label to images, see `to_pixels`, all of the same size. Shorter rows end in
            white.

    Raises:
        ValueError: if the images differ in size.
    """
    pixels = [to_pixels(images) for images in rows.values()]
    sizes = {row.shape[1:] for row in pixels}
    if len(sizes) != 1:
        raise ValueError(f"all `rows` must have images of one size. Received: {sorted(sizes)}")
    (size,), num_columns = sizes, max(map(len, pixels))
    sheet = np.full((len(rows), num_columns, *size), 255, "uint8")
    for number, row in enumerate(pixels):
        sheet[number, : len(row)] = row
    figure = image_grid(sheet.reshape(-1, *size), num_columns, title)
    middles = (size[0] + GAP) * np.arange(len(rows)) + size[0] / 2
    figure.axes[0].set_yticks(middles, [str(name) for name in rows])
    return figure


def class_examples(images, labels, class_names, num_examples=8, title=None):
    """Draws the first images of each class, with one row per class.

    Args:
        images: see `to_pixels`.
        labels: integers, `(num_images,)`.
        class_names: names of the classes, in the order of their labels.
        num_examples: maximum number of images per class.
    """
    check_labels(labels, images)
    chosen = [np.flatnonzero(np.equal(labels, n))[:num_examples] for n in range(len(class_names))]
    rows = zip(class_names, (np.asarray(images)[places] for places in chosen), strict=True)
    return image_rows(dict(rows), title)


def check_labels(labels, images):
    """Raises a `ValueError` unless there is one label for each image."""
    if np.shape(labels) != (len(images),):
        raise ValueError(
            f"`labels` must have the shape ({len(images)},), one for each image. "
            f"Received: {np.shape(labels)}"
        )
