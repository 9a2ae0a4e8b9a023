"""The common style of all figures: a figure class, colours, markers and legends."""

import io
import math

import matplotlib as mpl
from matplotlib.figure import Figure

from vae_keras.figures.names import heading

STYLE = {
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "savefig.bbox": "tight",
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "legend.fontsize": 9,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "legend.frameon": False,
    "lines.markersize": 5,
}
# Okabe and Ito's palette for colour-blind readers, and two more colours. Other data sets are black.
DATASET_COLORS = {
    "fashion_mnist": "#0072B2",
    "cifar10": "#D55E00",
    "mnist": "#009E73",
    "svhn": "#CC79A7",
    "digits": "#56B4E9",
    "photos": "#E69F00",
    "sprites": "#7F3C8D",
    "dsprites": "#80BA5A",
}
LIKELIHOOD_MARKERS = {"bce": "o", "mse": "s", "sigma": "^", "logistic": "D"}  # others: X
PANEL_WIDTH, PANEL_HEIGHT, MAX_WIDTH = 3.2, 2.7, 10.4  # inches

styled = mpl.rc_context(STYLE)  # a decorator that applies the style during the call only


class StyledFigure(Figure):
    """A figure that is shown in notebooks and saved in the common style.

    It does not use pyplot: it selects no backend and need not be closed.
    """

    def savefig(self, *args, **kwargs):
        with mpl.rc_context(STYLE):
            super().savefig(*args, **kwargs)

    def _repr_png_(self):
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=self.dpi)
        return buffer.getvalue()


def panels(num_rows=1, num_columns=1, width=PANEL_WIDTH, height=PANEL_HEIGHT):
    """Returns a figure and its panels, `(num_rows, num_columns)`.

    Sizes are in inches per panel. Many columns are narrower, so that texts stay readable where the
    figure is scaled to the width of a page.
    """
    width = min(width, MAX_WIDTH / num_columns)
    figure = StyledFigure(figsize=(width * num_columns, height * num_rows))
    return figure, figure.subplots(num_rows, num_columns, squeeze=False)


def axis_label(column):
    """Returns the heading of a column; a long heading has its unit on a second line."""
    text = heading(column)
    return text if len(text) <= 20 else text.replace(" (", "\n(")


def finish(figure, title=None, extra=(), legend_title=None, beside=False):
    """Adds a title above all panels and one legend below or beside them; returns the figure.

    The legend lists each label of the panels once, followed by those of the artists in `extra`. The
    figure grows in height to keep the size of the panels.
    """
    handles = [handle for axes in figure.axes for handle in axes.get_legend_handles_labels()[0]]
    entries = {handle.get_label(): handle for handle in [*handles, *extra]}
    width, height = figure.get_size_inches()
    options = {"loc": "outside right center", "markerscale": 2}
    lines = 1.5 * bool(title)
    if not beside:
        columns = max(1, int(width / (0.6 + 0.06 * max(map(len, entries), default=0))))
        options = {"loc": "outside lower center", "title": legend_title, "ncols": columns}
        lines += math.ceil(len(entries) / columns) + bool(legend_title)
    figure.set_figheight(height + 0.2 * lines)
    if title:
        figure.suptitle(title)
    if entries:
        figure.legend(entries.values(), entries.keys(), **options)
    return figure
