"""Figures: arrays in, a Figure out; one style for all of them."""

import functools
import math

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import NullLocator, PercentFormatter

# Okabe & Ito's colours, which colour-blind readers can tell apart.
DATASET_COLORS = {
    "fashion_mnist": "#0072B2",
    "cifar10": "#D55E00",
    "mnist": "#009E73",
    "svhn": "#CC79A7",
    "digits": "#56B4E9",
    "photos": "#E69F00",
}
LIKELIHOOD_MARKERS = {"bce": "o", "mse": "s", "sigma": "^", "logistic": "D"}
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
PANEL_WIDTH, PANEL_HEIGHT = 3.2, 2.7  # inches
GAP = 2  # pixels between the images of a montage
LARGEST_GEOMETRIC_RATIO = 4  # more between the ends of an axis, and it is logarithmic


def _styled(draw):
    """Draws in the one style, and closes the figure, so that a notebook shows it once."""

    @functools.wraps(draw)
    def styled(*args, **kwargs):
        with mpl.rc_context(STYLE):
            figure = draw(*args, **kwargs)
            plt.close(figure)
            return figure

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
    num_images, height, width, _ = pixels.shape
    num_rows = math.ceil(num_images / num_columns)
    height, width = height + GAP, width + GAP
    sheet = np.full((num_rows * height - GAP, num_columns * width - GAP, 3), 255, "uint8")
    for number, image in enumerate(pixels):
        top, left = number // num_columns * height, number % num_columns * width
        sheet[top : top + height - GAP, left : left + width - GAP] = image
    return sheet


@_styled
def image_grid(images, num_columns=10, title=None):
    """Draws images in rows.

    Args:
        images: uint8 or floats in [0, 1], `(num_images, height, width, channels)`.
        num_columns: images in a row.
        title: text above, or `None`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    num_columns = min(num_columns, len(images))
    axes = _sheet_axes(montage(images, num_columns), num_columns, len(images), title)
    axes.set_yticks([])
    return axes.figure


@_styled
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


@_styled
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
    sheet = np.full((len(class_names), num_examples, *images.shape[1:3], 3), 255, "uint8")
    for label in range(len(class_names)):
        examples = to_pixels(images[labels == label][:num_examples])
        sheet[label, : len(examples)] = examples
    return image_rows.__wrapped__(dict(zip(class_names, sheet)))


@_styled
def grey_level_histogram(images):
    """Draws the share of pixels (and channels) at each grey level.

    Args:
        images: dict from data set to uint8 images, `(num_images, height, width, channels)`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure, axes = plt.subplots(figsize=(2 * PANEL_WIDTH, PANEL_HEIGHT))
    for name, pixels in images.items():
        share = np.bincount(pixels.ravel(), minlength=256) / pixels.size
        axes.step(range(256), share, where="mid", color=DATASET_COLORS[name], label=name)
    axes.set(xlabel="grey level (0 to 255)", ylabel="share of pixels", yscale="log")
    axes.set_xticks([0, 64, 128, 192, 255])
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=2))
    axes.legend()
    return figure


@_styled
def training_curves(history):
    """Draws losses and image quality after each epoch, of training and validation images.

    Args:
        history: `pandas.DataFrame` of a run's `history.csv`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    panels = {
        "reconstruction_loss": "reconstruction loss\n(nats/image)",
        "kl_divergence": "KL divergence\n(nats/image)",
        "psnr": "PSNR (dB)",
        "ssim": "SSIM",
    }
    panels = {name: label for name, label in panels.items() if name in history}
    figure, axes = _panels(1, len(panels))
    epochs = history["epoch"] + 1
    for panel, (name, label) in zip(axes.flat, panels.items()):
        panel.plot(epochs, history[name], "o-", color="black", label="training")
        if f"val_{name}" in history:
            panel.plot(epochs, history[f"val_{name}"], "o--", color="0.5", label="validation")
        panel.set(xlabel="epoch", ylabel=label)
        panel.xaxis.get_major_locator().set_params(integer=True)
    axes.flat[0].legend()
    return figure


@_styled
def latent_map(codes, labels, class_names, axis_labels=("first axis", "second axis")):
    """Draws latent codes in the plane, coloured by class.

    Args:
        codes: `(num_images, 2)`.
        labels: integers, `(num_images,)`.
        class_names: names of the classes, in the order of their labels.
        axis_labels: what the two axes are.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    if np.ndim(codes) != 2 or np.shape(codes)[1] != 2:
        raise ValueError(f"`codes` must have the shape (num_images, 2). Received: {codes.shape}")
    figure, axes = plt.subplots(figsize=(2 * PANEL_WIDTH, 1.7 * PANEL_HEIGHT))
    scatter_classes(axes, codes, labels, class_names)
    axes.set(xlabel=axis_labels[0], ylabel=axis_labels[1], aspect="equal")
    return figure


@_styled
def sweep_curves(table, swept, measures):
    """Draws measures against a swept parameter, a row of panels for each data set.

    The line is the mean over seeds, the bar from the lowest to the highest of them.

    Args:
        table: `pandas.DataFrame` with the columns `dataset`, `likelihood`, the swept parameter and
            the measures; a row for each run.
        swept: name of the swept parameter; its values are the ticks.
        measures: dict from column to axis label.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    datasets = list(dict.fromkeys(table["dataset"]))
    figure, axes = _panels(len(datasets), len(measures))
    values = sorted(table[swept].unique())
    geometric = values[0] > 0 and values[-1] > LARGEST_GEOMETRIC_RATIO * values[0]
    for row, dataset in zip(axes, datasets):
        for panel, (measure, label) in zip(row, measures.items()):
            for likelihood, runs in table[table["dataset"] == dataset].groupby("likelihood"):
                seeds = runs.groupby(swept)[measure].agg(["mean", "min", "max"])
                panel.errorbar(
                    seeds.index,
                    seeds["mean"],
                    yerr=(seeds["mean"] - seeds["min"], seeds["max"] - seeds["mean"]),
                    color=DATASET_COLORS[dataset],
                    marker=LIKELIHOOD_MARKERS[likelihood],
                    label=f"{dataset}, {likelihood}",
                    capsize=3,
                )
            panel.set(xlabel=swept.replace("_", " "), ylabel=label)
            panel.set_xscale("log" if geometric else "linear")
            panel.set_xticks(values, [f"{value:g}" for value in values])
            panel.xaxis.set_minor_locator(NullLocator())
        row[0].legend()
    return figure


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
        if images.size and (images.min() < 0 or images.max() > 1):
            raise ValueError(
                "images must be uint8 or floats in [0, 1]. "
                f"Received: from {images.min():.3g} to {images.max():.3g}"
            )
        images = np.round(255 * images).astype("uint8")
    return np.repeat(images, 3, axis=3) if images.shape[3] == 1 else images


def _sheet_axes(sheet, num_columns, num_images, title):
    width = min(10.0, 0.75 * num_columns)
    figure, axes = plt.subplots(figsize=(width, width * sheet.shape[0] / sheet.shape[1] + 0.1))
    axes.imshow(sheet, vmin=0, vmax=255, interpolation="nearest")
    axes.set_title(title or "")
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return axes


def _panels(num_rows, num_columns):
    size = (PANEL_WIDTH * num_columns, PANEL_HEIGHT * num_rows)
    return plt.subplots(num_rows, num_columns, figsize=size, squeeze=False)


def scatter_classes(axes, codes, labels, class_names):
    """Scatters codes `(num_images, 2)` by class; returns a dict from label to its points."""
    colors = mpl.colormaps["tab10"].colors
    points = {
        label: axes.scatter(
            *codes[labels == label].T, s=6, color=colors[label % len(colors)], label=name
        )
        for label, name in enumerate(class_names)
    }
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=2, handletextpad=0.2)
    return points
