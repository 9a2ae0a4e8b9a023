"""Figures of a single run: grey levels, training curves, latent codes, the gap.

Each function returns a `matplotlib.figure.Figure`; `title` is shown above all panels.
"""

import matplotlib as mpl
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from vae_keras.figures import many_runs, style
from vae_keras.figures.names import label
from vae_keras.figures.pictures import check_labels, to_pixels

GAP_PARTS = {
    "gap_approximation": "Gaussian\nposterior",
    "gap_amortisation": "encoder,\ntraining images",
    "gap_amortisation_generalisation": "encoder,\ngeneralisation",
    "gap_decoder": "decoder,\ngeneralisation",
}
PLACES = (*range(len(GAP_PARTS)), len(GAP_PARTS) + 0.4)  # the last is that of their total
SEED_DOT = {"marker": "o", "ls": "", "color": "black", "alpha": 0.4, "ms": 3}


@style.styled
def grey_level_histogram(images, title=None):
    """Draws the share of pixels at each grey level, over all channels.

    Args:
        images: dict from data set to images, uint8 or floats in [0, 1],
            `(num_images, height, width, channels)`.
    """
    figure, ((axes,),) = style.panels(width=6.4)
    for name, pixels in images.items():
        levels = to_pixels(pixels).ravel()
        share = np.bincount(levels, minlength=256) / levels.size
        color = style.DATASET_COLORS.get(name, "black")
        axes.step(range(256), share, where="mid", color=color, label=label(name))
    axes.set(xlabel="grey level (0 to 255)", ylabel="share of pixels", yscale="log")
    axes.set_xticks([0, 64, 128, 192, 255])
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=2))
    return style.finish(figure, title)


def training_curves(history, title=None):
    """Draws losses and image quality per epoch from the DataFrame of a run's `history.csv`."""
    shown = ("reconstruction_loss", "kl_divergence", "psnr", "ssim")
    measures = [name for name in shown if name in history]
    return many_runs.epoch_curves({"": history}, measures, title)


@style.styled
def latent_map(codes, labels, class_names, axis_labels=("$z_1$", "$z_2$"), title=None):
    """Draws two-dimensional latent codes, coloured by class.

    Args:
        codes: `(num_images, 2)`.
        labels: integers, `(num_images,)`, or `None` for images without classes.
        class_names: names of the classes, in the order of their labels.
        axis_labels: labels of the two axes.
    """
    figure, ((axes,),) = style.panels(width=6.4, height=4.6)
    scatter_classes(axes, codes, labels, class_names)
    axes.set(xlabel=axis_labels[0], ylabel=axis_labels[1])
    axes.set_aspect("equal", adjustable="datalim")
    return style.finish(figure, title, beside=True)


@style.styled
def latent_maps(maps, labels, class_names, title=None):
    """Draws several maps of the same codes, see `latent_map`.

    Args:
        maps: dict from name to `(num_images, 2)`.
        labels: integers, `(num_images,)`, or `None` for images without classes.
        class_names: names of the classes, in the order of their labels.
    """
    figure, axes = style.panels(1, len(maps), width=4.8, height=4.0)
    for panel, (name, codes) in zip(axes.flat, maps.items(), strict=True):
        scatter_classes(panel, codes, labels, class_names)
        panel.set(title=name, xlabel="first axis", ylabel="second axis")
        panel.set_aspect("equal", adjustable="datalim")
    return style.finish(figure, title, beside=True)


def scatter_classes(axes, codes, labels, class_names):
    """Draws codes into `axes`, coloured by class, see `latent_map`.

    Returns:
        List of one pair per class: a mask of its codes, `(num_images,)`, and their artist.
    """
    if np.ndim(codes) != 2 or np.shape(codes)[1] != 2:
        raise ValueError(
            f"`codes` must have the shape (num_images, 2). Received: {np.shape(codes)}"
        )
    if labels is None:
        labels, class_names = np.zeros(len(codes), int), [None]
    check_labels(labels, codes)
    colors = mpl.colormaps["tab10" if len(class_names) <= 10 else "tab20"].colors
    points = []
    for number, name in enumerate(class_names):
        chosen = np.equal(labels, number)
        look = {"s": 6, "color": colors[number % len(colors)], "label": name}
        points.append((chosen, axes.scatter(*np.asarray(codes)[chosen].T, **look)))
    return points


@style.styled
def gap_bars(models, title=None):
    """Draws the parts of the gap between likelihood and ELBO, with data sets side by side.

    At latent size 2, the likelihood can be computed exactly. The difference between the negative
    ELBO of test images and the exact NLL of training images then splits into four parts.

    Args:
        models: dict from model, one panel each, to a dict from data set to the parts: a dict or a
            `pandas.DataFrame` of runs, with the keys `gap_approximation`, `gap_amortisation`,
            `gap_amortisation_generalisation` and `gap_decoder`. Values are in nats/image, a single
            number or one per seed.

    Reference:
        Cremer et al., 2018, "Inference Suboptimality in Variational Autoencoders", section 3.
    """
    figure, axes = style.panels(len(models), width=7.0, height=2.4)
    datasets = list(dict.fromkeys(name for parts in models.values() for name in parts))
    for panel, (model, parts) in zip(axes.flat, models.items(), strict=True):
        _draw_gap(panel, parts, datasets)
        panel.set_title(model)
    lowest, highest = zip(*(panel.get_ylim() for panel in axes.flat), strict=True)
    for panel in axes.flat:
        panel.set_ylim(min(lowest), max(highest))
    dot = Line2D([], [], **SEED_DOT, label="each seed")
    return style.finish(figure, title, [dot] if any(panel.lines[1:] for panel in axes.flat) else [])


def _draw_gap(axes, parts, datasets):
    width = 0.8 / len(datasets)
    for dataset, values in parts.items():
        seeds = np.array([np.atleast_1d(values[part]) for part in GAP_PARTS])
        seeds = np.concatenate([seeds, seeds.sum(axis=0, keepdims=True)])
        offset = datasets.index(dataset) - (len(datasets) - 1) / 2
        places = np.array(PLACES) + offset * width
        look = {"color": style.DATASET_COLORS.get(dataset, "black"), "label": label(dataset)}
        means = seeds.mean(axis=1)
        axes.bar(places, means, 0.95 * width, **look)
        if seeds.shape[1] > 1:
            axes.plot(places, seeds, **SEED_DOT)
        ends = np.where(means < 0, seeds.min(axis=1), seeds.max(axis=1))
        for place, mean, end in zip(places, means, ends, strict=True):
            offset = {"xytext": (0, -9 if mean < 0 else 3), "textcoords": "offset points"}
            axes.annotate(f"{mean:.2f}", (place, end), ha="center", fontsize=8, **offset)
    axes.set_xticks(PLACES, [*GAP_PARTS.values(), "total"])
    axes.set_ylabel("gap (nats/image)")
    axes.grid(axis="x", visible=False)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.margins(y=0.12)
