"""Figures that compare runs: sweeps, rate and distortion, spectra, histories, verdicts.

Each function returns a `matplotlib.figure.Figure`; `title` is shown above all panels.
"""

import itertools
import textwrap

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox, ScaledTranslation
from scipy import stats

from vae_keras.figures import style
from vae_keras.figures.names import COLUMNS, format_difference, heading, label

GEOMETRIC_RATIO = 4  # axes that span at least this factor are logarithmic
MIN_SEEDS = 3  # for an interval
SEED = {"ls": "", "alpha": 0.4, "ms": 3.5, "mew": 0, "mfc": "auto", "zorder": 1}
OFFSETS = ((8, 8), (-8, 8), (8, -8), (-8, -8), (0, 11), (0, -11), (14, 0), (-14, 0))  # points
PLAIN = FuncFormatter(lambda value, _: f"{value:g}")


@style.styled
def sweep_curves(table, swept, measures, together=False, title=None):
    """Draws measures against a swept parameter, with one row of panels per data set.

    Points are means over seeds, bars their 95 % t intervals (of at least three seeds), and faint
    dots single seeds. A dashed grey line shows the linear twin of a measure if the table has it.
    If there is only one measure, the data sets are side by side.

    Args:
        table: `pandas.DataFrame` with one row per run and the columns `dataset`, `likelihood`, the
            swept parameter, the measures and, for their linear twins, `linear_<measure>`.
        swept: name of the swept parameter; its values are the ticks.
        measures: column names. Measures that no run has are left out.
        together: whether all data sets share one row of panels, for measures on a common scale.

    Raises:
        ValueError: if the table has no rows or lacks a column.
    """
    figure, _ = _draw_panels(table, swept, swept, measures, together)
    values = sorted(table[swept].unique())
    geometric = values[0] > 0 and values[-1] >= GEOMETRIC_RATIO * values[0]
    for panel in figure.axes:
        panel.set_xscale("log" if geometric else "linear")
        panel.set_xticks(values, [f"{value:g}" for value in values])
        panel.xaxis.set_minor_locator(NullLocator())
    return style.finish(figure, title, _seed_entries(table, "dataset", "likelihood", swept))


@style.styled
def settings(table, column, measures, title=None):
    """Draws measures of unordered settings, with one row of panels per data set.

    Each setting has its own line: the marker is the mean over seeds with its 95 % interval, and
    faint dots are single seeds.

    Args:
        table: `pandas.DataFrame` with one row per run and the columns `dataset`, `column` and the
            measures.
        column: name of the column that names the settings; they are shown in the table's order.
        measures: column names. Measures that no run has are left out.
    """
    datasets, names = list(table["dataset"].unique()), list(table[column].unique())
    found = _measured(table, measures)
    height = 0.9 + 0.28 * len(names)
    figure, axes = style.panels(len(datasets), len(found), height=height)
    for dataset, row in zip(datasets, axes, strict=True):
        chosen = table[table["dataset"] == dataset]
        color = style.DATASET_COLORS.get(dataset, "black")
        row[0].set_title(label(dataset))
        for panel, measure in zip(row, found, strict=True):
            shared = {"x": measure, "y": column, "order": names, "color": color, "ax": panel}
            sns.stripplot(chosen, **shared, jitter=False, alpha=SEED["alpha"], size=4)
            look = {"linestyle": "none", "linewidth": 1.2, "markersize": 5, "capsize": 0.2}
            sns.pointplot(chosen, **shared, **look, errorbar=_interval)
            panel.set(xlabel=style.axis_label(measure), ylabel="")
            _widen(panel, "x", measure, chosen.groupby(column)[measure])
            whole = COLUMNS.get(measure, ("", "", None))[2] == 0
            panel.xaxis.set_major_locator(MaxNLocator(3, integer=whole))
            panel.tick_params(labelleft=panel is row[0])
    return style.finish(figure, title, _seed_entries(table, "dataset", column))


@style.styled
def rate_distortion(table, distortions=("reconstruction_loss",), title=None):
    """Draws reconstruction quality against the rate, with one row of panels per data set.

    Points are means over seeds. Each is labelled with its beta if there is room. With the
    reconstruction loss, a dotted line joins the points with the ELBO of beta 1. In all other
    respects the figure is like that of `sweep_curves`.

    Args:
        table: `pandas.DataFrame` with one row per run and the columns `dataset`, `likelihood`,
            `beta`, `kl_divergence` and the distortions.
        distortions: column names.

    Raises:
        ValueError: if reconstruction losses of different likelihoods would share a panel.

    Reference:
        Alemi et al., 2018, "Fixing a Broken ELBO", section 2.
    """
    if "reconstruction_loss" in distortions and table["likelihood"].nunique() > 1:
        raise ValueError(
            "`distortions` must be comparable between the likelihoods of the table, as psnr is; "
            f"the reconstruction loss is not. Received: {sorted(table['likelihood'].unique())}"
        )
    figure, curves = _draw_panels(table, "beta", "kl_divergence", distortions)
    for panel in figure.axes:
        panel.margins(x=0.1)
        panel.set_xlim(left=0)
        if "reconstruction_loss" in distortions:
            for curve in curves[panel]:
                for point in curve[curve.index == 1.0].itertuples():
                    look = {"color": "0.5", "linestyle": ":", "label": "ELBO of beta 1"}
                    panel.axline((point.x, point.y), slope=-1, **look)
    crowded = any(len(drawn) > 1 for drawn in curves.values())
    place = "at the ends of each curve" if crowded else "beside points"
    legend_title = f"numbers {place}: beta"
    extra = _seed_entries(table, "dataset", "likelihood", "beta")
    style.finish(figure, title, extra, legend_title)
    figure.draw_without_rendering()  # lays out the panels, on which label positions depend
    for panel in figure.axes:
        _annotate(panel, curves[panel])
    return figure


@style.styled
def spectra(curves, title=None):
    """Draws the KL divergence of each latent dimension, largest first.

    Args:
        curves: dict from label to an array `(latent_dim,)` in descending order, nats/image.
    """
    figure, ((axes,),) = style.panels(width=5.8, height=3.3)
    for (name, spectrum), color in zip(curves.items(), _colors(curves), strict=True):
        axes.plot(np.arange(len(spectrum)) + 1, spectrum, ".-", color=color, label=name)
    axes.axhline(0.5, color="0.5", linestyle=":", label="used units: above 0.5")
    axes.set(xlabel="latent dimension, largest first", ylabel=heading("kl_divergence"))
    axes.set_xlim(left=0.5)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    return style.finish(figure, title, beside=True)


@style.styled
def epoch_curves(histories, measures, title=None):
    """Draws measures of several runs after each epoch, with dashed lines for validation images.

    Args:
        histories: dict from label to the `pandas.DataFrame` of a run's `history.csv`.
        measures: column names. A history may have `<measure>`, `val_<measure>` for validation
            images, or both.

    Raises:
        ValueError: if `measures` is empty.
    """
    if not measures:
        raise ValueError("`measures` must name at least one column. Received: none")
    figure, axes = style.panels(1, len(measures))
    for panel, measure in zip(axes.flat, measures, strict=True):
        for (name, history), color in zip(histories.items(), _colors(histories), strict=True):
            for column, line, shown in ((measure, "-", name), (f"val_{measure}", "--", None)):
                if column in history:
                    look = {"color": color, "linestyle": line, "label": shown, "markersize": 3}
                    panel.plot(history["epoch"] + 1, history[column], marker="o", **look)
        panel.set(xlabel="epoch", ylabel=style.axis_label(measure))
        panel.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    kinds = {"training images": "-", "validation images": "--"}
    if not any(f"val_{name}" in history for history in histories.values() for name in measures):
        kinds = {}
    extra = [Line2D([], [], color="0.3", ls=line, label=kind) for kind, line in kinds.items()]
    return style.finish(figure, title, extra)


@style.styled
def forest(verdicts, title=None):
    """Draws, for each claim, the difference that tests it, with its 95 % interval, in margins.

    Args:
        verdicts: `pandas.DataFrame` with one row per claim and data set and the columns
            `statement`, `dataset`, `measure`, `difference` (positive in the claimed direction), its
            interval `low` to `high`, `margin`, `unit` and `verdict`.
    """
    figure, ((axes,),) = style.panels(width=10.0, height=1.6 + 0.3 * len(verdicts))
    axes.set_xscale("symlog", linthresh=1)
    axes.axvspan(-1, 1, color="0.9", zorder=0)
    axes.axvline(0, color="0.6", linewidth=0.8)
    place, middles = 0.0, {}
    for statement, rows in verdicts.groupby("statement", sort=False):
        middles[place + (len(rows) - 1) / 2] = textwrap.fill(statement, 60)
        for number, (_, row) in enumerate(rows.iterrows()):
            _draw_verdict(axes, row, place + number)
        place += len(rows) + 0.6
    axes.set_yticks([*middles], [*middles.values()])
    axes.set(
        ylim=(place - 0.8, -0.8),
        xlabel="difference in the direction of the claim, in multiples of the margin "
        "(logarithmic beyond 1)\nThe verdicts are corrected for the number of tests, the 95 % "
        "intervals are not.",
    )
    axes.xaxis.set_major_formatter(PLAIN)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return style.finish(figure, title, [Patch(color="0.9", label="too small to matter")])


def _draw_panels(table, swept, across, measures, together=False):
    """Draws measures against the column `across`; returns the figure and a dict of curves by panel.

    See `_draw_panel` for the curves.
    """
    missing = {"dataset", "likelihood", swept, across} - set(table.columns)
    if missing or table.empty:
        raise ValueError(
            f"`table` must have rows and the columns dataset, likelihood, {swept} and {across}. "
            f"Received: {len(table)} rows without {sorted(missing)}"
        )
    measures = _measured(table, measures) or measures
    groups = [("", table)] if together else [*table.groupby("dataset", sort=False)]
    shape = len(groups), len(measures)
    figure, axes = style.panels(*(shape if shape[1] > 1 else shape[::-1]))
    curves = {}
    for (dataset, runs), row in zip(groups, axes.reshape(shape), strict=True):
        row[0].set_title(label(dataset))
        for panel, measure in zip(row, measures, strict=True):
            panel.set(xlabel=heading(across), ylabel=style.axis_label(measure))
            measured = runs.dropna(subset=measure) if measure in runs else runs[:0]
            curves[panel] = _draw_panel(panel, measured, swept, across, measure)
    return figure, curves


def _measured(table, measures):
    return [name for name in measures if name in table and table[name].notna().any()]


def _draw_panel(panel, runs, swept, across, measure):
    """Draws a curve for each data set and likelihood, and the linear twin.

    Returns the list of curves, `pandas.DataFrame`s of `x` and `y` indexed by the swept values.
    """
    if runs.empty:
        panel.set_yticks([])
        panel.text(0.5, 0.5, "not measured", transform=panel.transAxes, ha="center")
        return []
    curves, move = [], ScaledTranslation(5 / 72, 0, panel.figure.dpi_scale_trans)
    for (dataset, likelihood), group in runs.groupby(["dataset", "likelihood"], sort=False):
        look = {
            "color": style.DATASET_COLORS.get(dataset, "black"),
            "marker": style.LIKELIHOOD_MARKERS.get(likelihood, "X"),
            "mfc": "auto" if likelihood == "bce" else "white",  # distinguishes crossing curves
        }
        repeated = group[group.duplicated(swept, keep=False)]
        beside = panel.transData + move if across == swept else panel.transData
        panel.plot(repeated[across], repeated[measure], transform=beside, **look | SEED)
        seeds = group.groupby(swept)
        x, y, errors = seeds[across].mean(), seeds[measure].mean(), seeds[measure].agg(_half_width)
        across_errors = None if across == swept else seeds[across].agg(_half_width)
        name = f"{label(dataset)}, {label(likelihood)}{', one seed' if repeated.empty else ''}"
        panel.errorbar(x, y, errors, across_errors, capsize=2, label=name, **look)
        curves.append(pd.DataFrame({"x": x, "y": y}))
    if across == swept and f"linear_{measure}" in runs:
        twins = runs.dropna(subset=f"linear_{measure}").groupby("dataset", sort=False)
        for (dataset, group), dash in zip(twins, itertools.cycle(["--", ":", "-."])):
            line = group.groupby(swept)[f"linear_{measure}"].mean()
            name = "linear twin" + (f", {label(dataset)}" if len(twins) > 1 else "")
            panel.plot(line.index, line, dash, color="0.45", label=name)
    panel.margins(y=0.1)
    _widen(panel, "y", measure, runs.groupby(["dataset", "likelihood", swept])[measure])
    return curves


def _widen(panel, axis, measure, seeds):
    """Makes an axis span twice the spread over seeds, and ten units of the last decimal."""
    decimals = COLUMNS[measure][2] if measure in COLUMNS else 1
    min_span = max(2 * (seeds.max() - seeds.min()).max(), 10 * 0.1**decimals)
    low, high = getattr(panel, f"get_{axis}lim")()
    padding = max(0, min_span - (high - low)) / 2
    panel.set(**{f"{axis}lim": (low - padding, high + padding)})


def _seed_entries(table, *columns):
    """Returns legend entries for seeds, if any combination of values in `columns` has several."""
    if not table.duplicated([*columns]).any():
        return []
    dot = Line2D([], [], color="black", marker="o", label="each seed", **SEED)
    bar = Line2D([], [], color="black", marker="|", ms=9, ls="", label="95 % interval")
    return [dot, bar]


def _half_width(values):
    """Returns half the width of the 95 % t interval of the mean, or 0 for too few values."""
    if len(values) < MIN_SEEDS:
        return 0.0
    return stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)


def _interval(values):
    """Returns the ends of the 95 % t interval of the mean, for seaborn."""
    mean, half_width = values.mean(), _half_width(values)
    return mean - half_width, mean + half_width


def _annotate(panel, curves):
    """Labels points with their swept value if there is room; of several curves, only the ends."""
    taken = []
    for curve in curves:
        points = panel.transData.transform(curve)
        lines = np.linspace(points[:-1], points[1:], 50).reshape(-1, 2)
        taken += [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in points]
        taken += [Bbox.from_bounds(x - 1, y - 1, 2, 2) for x, y in lines]
    options = {"textcoords": "offset points", "fontsize": 8, "ha": "center", "va": "center"}
    for number, curve in enumerate(curves):
        if len(curves) > 1:
            curve = curve.iloc[[0, -1]] if len(curve) > 1 else curve[:0]
        for value, point in curve.iterrows():
            note = panel.annotate(f"{value:g}", point, (0, 0), **options)
            for x, y in OFFSETS:
                # Alternate between curves: above one, below the next.
                note.set_position((x, -y if number % 2 else y))
                box = note.get_window_extent()
                if not any(map(box.overlaps, taken)):
                    taken.append(box)
                    break
            else:
                note.remove()


def _draw_verdict(axes, row, place):
    color, text = style.DATASET_COLORS.get(row["dataset"], "black"), row["verdict"]
    difference, low, high = (row[name] / row["margin"] for name in ("difference", "low", "high"))
    if not np.isnan(difference):  # the claim was tested
        (number,) = format_difference(row["measure"], row["difference"])
        text = f"{number} {row['unit'] or label(row['measure'])}, {text}"
        axes.plot([low, high], [place, place], color=color)
        axes.plot(difference, place, "o", color=color, label=label(row["dataset"]))
    options = {"va": "center", "fontsize": 8, "color": color}
    axes.annotate(text, (1.03, place), xycoords=("axes fraction", "data"), **options)


def _colors(curves):
    return mpl.colormaps["viridis"](np.linspace(0, 0.9, len(curves)))
