"""Figures of numbers: losses over training, latent codes, measures over a sweep."""

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter

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
GEOMETRIC_RATIO = 4  # from so much between the ends of an axis on, it is logarithmic


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
    _check_known("images", images, DATASET_COLORS)
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
    panels = {
        "reconstruction_loss": "reconstruction loss\n(nats/image)",
        "kl_divergence": "KL divergence\n(nats/image)",
        "psnr": "PSNR (dB)",
        "ssim": "SSIM",
    }
    panels = {name: label for name, label in panels.items() if name in history}
    if "epoch" not in history or not panels:
        raise ValueError(
            f"`history` must have the column epoch and a measure. Received: {list(history.columns)}"
        )
    figure, axes = _panels(1, len(panels))
    epochs = history["epoch"] + 1
    for panel, (name, label) in zip(axes.flat, panels.items()):
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
    import seaborn as sns  # here, for it takes longer to import than all the rest

    missing = {"dataset", "likelihood", swept, *measures} - set(table.columns)
    if missing or table.empty:
        raise ValueError(
            "`table` must have rows, and the columns dataset, likelihood, the swept one and the "
            f"measures. Received: {len(table)} rows, missing columns {sorted(missing)}"
        )
    _check_known("table", table["dataset"], DATASET_COLORS)
    _check_known("table", table["likelihood"], LIKELIHOOD_MARKERS)
    datasets = list(dict.fromkeys(table["dataset"]))
    figure, axes = _panels(len(datasets), len(measures))
    values = sorted(table[swept].unique())
    geometric = values[0] > 0 and values[-1] >= GEOMETRIC_RATIO * values[0]
    for row, dataset in zip(axes, datasets):
        for panel, (measure, label) in zip(row, measures.items()):
            for likelihood, runs in table[table["dataset"] == dataset].groupby("likelihood"):
                sns.lineplot(
                    runs,
                    x=swept,
                    y=measure,
                    errorbar=("pi", 100),  # from the lowest to the highest
                    err_style="bars",
                    err_kws={"capsize": 3},
                    markeredgewidth=0,
                    color=DATASET_COLORS[dataset],
                    marker=LIKELIHOOD_MARKERS[likelihood],
                    label=f"{dataset}, {likelihood}",
                    legend=False,
                    ax=panel,
                )
            panel.set(xlabel=swept.replace("_", " "), ylabel=label)
            panel.set_xscale("log" if geometric else "linear")
            panel.set_xticks(values, [f"{value:g}" for value in values])
            panel.xaxis.set_minor_locator(NullLocator())
        row[0].legend()
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


def _check_known(argument, names, known):
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(f"`{argument}` must name only {list(known)}. Received: {unknown}")


def _panels(num_rows, num_columns):
    size = (PANEL_WIDTH * num_columns, PANEL_HEIGHT * num_rows)
    return plt.subplots(
        num_rows, num_columns, FigureClass=StyledFigure, figsize=size, squeeze=False
    )
