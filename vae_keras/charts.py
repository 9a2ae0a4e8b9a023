"""Figures of numbers of one run: grey levels, losses over training, latent codes."""

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator, PercentFormatter

from vae_keras.plotting import StyledFigure, check_labels, styled, to_pixels

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
PANEL_WIDTH, PANEL_HEIGHT = 3.2, 2.7  # inches


@styled
def grey_level_histogram(images):
    """Draws the share of pixels (and channels) at each grey level.

    Args:
        images: dict from data set to images, uint8 or floats in [0, 1],
            `(num_images, height, width, channels)`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if a data set has no colour, or its images are of another shape or range.
    """
    check_known("images", images, DATASET_COLORS)
    figure, axes = plt.subplots(FigureClass=StyledFigure, figsize=(2 * PANEL_WIDTH, PANEL_HEIGHT))
    for name, pixels in images.items():
        levels = to_pixels(pixels).ravel()
        share = np.bincount(levels, minlength=256) / levels.size
        axes.step(range(256), share, where="mid", color=DATASET_COLORS[name], label=name)
    axes.set(xlabel="grey level (0 to 255)", ylabel="share of pixels", yscale="log")
    axes.set_xticks([0, 64, 128, 192, 255])
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=2))
    axes.legend()
    return figure


@styled
def training_curves(history):
    """Draws losses and image quality after each epoch, of training and validation images.

    Args:
        history: `pandas.DataFrame` of a run's `history.csv`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    shown = {
        "reconstruction_loss": "reconstruction loss\n(nats/image)",
        "kl_divergence": "KL divergence\n(nats/image)",
        "psnr": "PSNR (dB)",
        "ssim": "SSIM",
    }
    shown = {name: label for name, label in shown.items() if name in history}
    if "epoch" not in history or not shown:
        raise ValueError(
            f"`history` must have the column epoch and a measure. Received: {list(history.columns)}"
        )
    figure, axes = panels(1, len(shown))
    epochs = history["epoch"] + 1
    for panel, (name, label) in zip(axes.flat, shown.items()):
        panel.plot(epochs, history[name], "o-", color="black", label="training")
        if f"val_{name}" in history:
            panel.plot(epochs, history[f"val_{name}"], "o--", color="0.5", label="validation")
        panel.set(xlabel="epoch", ylabel=label)
        panel.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    axes.flat[0].legend()
    return figure


@styled
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
        raise ValueError(
            f"`codes` must have the shape (num_images, 2). Received: {np.shape(codes)}"
        )
    codes = np.asarray(codes)
    labels = check_labels(labels, codes)
    figure, axes = plt.subplots(
        FigureClass=StyledFigure, figsize=(2 * PANEL_WIDTH, 1.7 * PANEL_HEIGHT)
    )
    scatter_classes(axes, codes, labels, class_names)
    axes.set(xlabel=axis_labels[0], ylabel=axis_labels[1], aspect="equal")
    return figure


@styled
def latent_maps(maps, labels, class_names):
    """Draws several pictures of the same latent codes side by side, coloured by class.

    Args:
        maps: dict from what the picture is to codes in the plane, `(num_images, 2)`.
        labels: integers, `(num_images,)`.
        class_names: names of the classes, in the order of their labels.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    size = (1.5 * PANEL_WIDTH * len(maps), 1.5 * PANEL_HEIGHT)
    figure, axes = plt.subplots(1, len(maps), FigureClass=StyledFigure, figsize=size, squeeze=False)
    for panel, (name, codes) in zip(axes.flat, maps.items()):
        scatter_classes(panel, codes, check_labels(labels, codes), class_names)
        panel.set(xlabel=f"{name}, first axis", ylabel=f"{name}, second axis")
        if panel is not axes.flat[-1]:
            panel.get_legend().remove()
    return figure


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


def check_known(argument, names, known):
    """Raises a `ValueError` if something has no colour or no marker."""
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(f"`{argument}` must name only {list(known)}. Received: {unknown}")


def panels(num_rows, num_columns):
    """Returns a figure in the one style and its axes, `(num_rows, num_columns)`."""
    size = (PANEL_WIDTH * num_columns, PANEL_HEIGHT * num_rows)
    return plt.subplots(
        num_rows, num_columns, FigureClass=StyledFigure, figsize=size, squeeze=False
    )
