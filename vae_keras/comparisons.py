"""Figures that compare runs: measures over a sweep, rate and distortion, spectra, histories."""

import itertools

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator, NullLocator

from vae_keras.charts import (
    DATASET_COLORS,
    LIKELIHOOD_MARKERS,
    PANEL_HEIGHT,
    PANEL_WIDTH,
    check_known,
    panels,
)
from vae_keras.plotting import StyledFigure, styled

GEOMETRIC_RATIO = 4  # from so much between the ends of an axis on, it is logarithmic


@styled
def sweep_curves(table, swept, measures, together=False):
    """Draws measures against a swept parameter, a row of panels for each data set.

    Of a single measure, the data sets stand side by side.

    The line is the mean over seeds, the bar from the lowest to the highest of them.

    Args:
        table: `pandas.DataFrame` with the columns `dataset`, `likelihood`, the swept parameter and
            the measures; a row for each run.
        swept: name of the swept parameter; its values are the ticks.
        measures: dict from column to axis label.
        together: whether all data sets share one row of panels, for measures on a common scale.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    _check_table(table, [swept, *measures])
    datasets = list(dict.fromkeys(table["dataset"]))
    figure, axes = _rows_of_panels(1 if together else len(datasets), len(measures))
    for number, dataset in enumerate(datasets):
        row = axes[0 if together else number]
        for panel, (measure, label) in zip(row, measures.items()):
            for likelihood, runs in table[table["dataset"] == dataset].groupby("likelihood"):
                _mean_and_range(
                    panel,
                    runs.dropna(subset=measure),
                    swept,
                    measure,
                    color=DATASET_COLORS[dataset],
                    marker=LIKELIHOOD_MARKERS[likelihood],
                    label=f"{dataset}, {likelihood}",
                )
            panel.set(xlabel=swept.replace("_", " "), ylabel=label)
            _set_ticks(panel, sorted(table[swept].unique()))
        row[0].legend()
    return figure


@styled
def rate_distortion(table, swept="beta", distortions=None):
    """Draws what reconstructions cost against what codes cost, a row of panels for each data set.

    Of a single distortion, the data sets stand side by side. Every point is the mean over the seeds of one value of the swept parameter, written beside it;
    bars reach from the lowest to the highest seed, in both directions.

    Args:
        table: `pandas.DataFrame` with the columns `dataset`, `likelihood`, the swept parameter,
            `kl_divergence` and the distortions; a row for each run.
        swept: name of the parameter that leads along the curve.
        distortions: dict from column to axis label; the reconstruction loss by default, which is
            for a single likelihood only.

    Returns:
        A `matplotlib.figure.Figure`.

    Reference:
        Alemi et al., 2018, "Fixing a Broken ELBO", section 2.
    """
    distortions = distortions or {"reconstruction_loss": "reconstruction loss\n(nats/image)"}
    _check_table(table, [swept, "kl_divergence", *distortions])
    if "reconstruction_loss" in distortions and table["likelihood"].nunique() > 1:
        raise ValueError(
            "`distortions` must be common to all likelihoods of the table; the reconstruction loss "
            f"is not. Received: {sorted(table['likelihood'].unique())}"
        )
    datasets = list(dict.fromkeys(table["dataset"]))
    figure, axes = _rows_of_panels(len(datasets), len(distortions))
    for row, dataset in zip(axes, datasets):
        for panel, (measure, label) in zip(row, distortions.items()):
            offsets = itertools.cycle([(4, 4), (4, -11)])  # above one curve, below the next
            for likelihood, runs in table[table["dataset"] == dataset].groupby("likelihood"):
                seeds = runs.groupby(swept)[["kl_divergence", measure]]
                mean, low, high = seeds.mean(), seeds.min(), seeds.max()
                (errors_x, errors_y) = (
                    [mean[name] - low[name], high[name] - mean[name]] for name in mean
                )
                panel.errorbar(
                    mean["kl_divergence"],
                    mean[measure],
                    xerr=errors_x,
                    yerr=errors_y,
                    color=DATASET_COLORS[dataset],
                    marker=LIKELIHOOD_MARKERS[likelihood],
                    alpha=0.9 if likelihood == "bce" else 0.6,
                    capsize=2,
                    label=likelihood,
                )
                offset = next(offsets) if len(mean) > 1 else None
                for value, point in mean.iterrows() if offset else ():
                    panel.annotate(
                        f"{value:g}", point, xytext=offset, textcoords="offset points", fontsize=8
                    )
            panel.set(
                xlabel="KL divergence (nats/image)", ylabel=label, xscale="log", title=dataset
            )
            panel.margins(0.1)
        row[0].legend(loc="upper right" if "reconstruction_loss" in distortions else "lower right")
    return figure


@styled
def spectra(curves, title=None):
    """Draws the KL divergence of each latent dimension, largest first.

    Args:
        curves: dict from label to an array `(latent_dim,)`, in falling order, nats/image.
        title: text above, or `None`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    size = (1.6 * PANEL_WIDTH, 1.2 * PANEL_HEIGHT)
    figure, axes = plt.subplots(FigureClass=StyledFigure, figsize=size)
    colors = plt.colormaps["viridis"](np.linspace(0, 0.9, len(curves)))
    for (label, spectrum), color in zip(curves.items(), colors):
        axes.plot(np.arange(len(spectrum)) + 1, spectrum, ".-", color=color, label=label)
    axes.set(
        xlabel="latent dimension, by its KL divergence",
        ylabel="KL divergence (nats/image)",
        title=title or "",
    )
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


@styled
def epoch_curves(histories, measures, title=None):
    """Draws measures after every epoch of several runs, those of held-out images dashed.

    Args:
        histories: dict from label to the `pandas.DataFrame` of a run's `history.csv`.
        measures: dict from column to axis label; where there is a column of the same name with
            `val_` before it, it is drawn beside.
        title: text above, or `None`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure, axes = panels(1, len(measures))
    colors = plt.colormaps["viridis"](np.linspace(0, 0.9, len(histories)))
    for panel, (measure, label) in zip(axes.flat, measures.items()):
        for (name, history), color in zip(histories.items(), colors):
            epochs = history["epoch"] + 1
            panel.plot(epochs, history[measure], "o-", color=color, label=name)
            if f"val_{measure}" in history:
                panel.plot(epochs, history[f"val_{measure}"], "o--", color=color)
        panel.set(xlabel="epoch", ylabel=label)
        panel.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    axes.flat[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(title or "")
    return figure


def _rows_of_panels(num_rows, num_columns):
    """Like `panels`, but a single column lies on its side."""
    if num_columns > 1:
        return panels(num_rows, num_columns)
    figure, axes = panels(1, num_rows)
    return figure, axes.T


def _mean_and_range(panel, runs, swept, measure, **style):
    import seaborn as sns  # here, for it takes longer to import than all the rest

    sns.lineplot(
        runs,
        x=swept,
        y=measure,
        errorbar=("pi", 100),  # from the lowest to the highest
        err_style="bars",
        err_kws={"capsize": 3},
        markeredgewidth=0,
        legend=False,
        ax=panel,
        **style,
    )


def _set_ticks(panel, values):
    geometric = values[0] > 0 and values[-1] >= GEOMETRIC_RATIO * values[0]
    panel.set_xscale("log" if geometric else "linear")
    panel.set_xticks(values, [f"{value:g}" for value in values])
    panel.xaxis.set_minor_locator(NullLocator())


def _check_table(table, columns):
    missing = {"dataset", "likelihood", *columns} - set(table.columns)
    if missing or table.empty:
        raise ValueError(
            "`table` must have rows, and the columns dataset, likelihood, the swept one and the "
            f"measures. Received: {len(table)} rows, missing columns {sorted(missing)}"
        )
    check_known("table", table["dataset"], DATASET_COLORS)
    check_known("table", table["likelihood"], LIKELIHOOD_MARKERS)
