"""The one style of all figures: a figure class, colours, markers and legends."""

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
# Okabe and Ito's colours, which colour-blind readers can tell apart. Any other data set is black.
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
LIKELIHOOD_MARKERS = {"bce": "o", "mse": "s", "sigma": "^", "logistic": "D"}  # any other: X
PANEL_WIDTH, PANEL_HEIGHT = 3.2, 2.7  # inches

styled = mpl.rc_context(STYLE)  # a decorator: the function draws in the style and leaves no trace


class StyledFigure(Figure):
    """A figure that notebooks show and files hold in the one style.

    pyplot does not know it: no backend is chosen, and nothing has to be closed.
    """

    def savefig(self, *args, **kwargs):
        with mpl.rc_context(STYLE):
            super().savefig(*args, **kwargs)

    def _repr_png_(self):
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=self.dpi)
        return buffer.getvalue()


def panels(num_rows=1, num_columns=1, width=PANEL_WIDTH, height=PANEL_HEIGHT):
    """Returns a figure and its panels, `(num_rows, num_columns)`, of so many inches each."""
    figure = StyledFigure(figsize=(width * num_columns, height * num_rows))
    return figure, figure.subplots(num_rows, num_columns, squeeze=False)


def axis_label(column):
    """Returns the heading of a column, a long one with its unit on a second line."""
    text = heading(column)
    return text if len(text) <= 20 else text.replace(" (", "\n(")


def finish(figure, title=None, extra=(), legend_title=None, beside=False):
    """Puts a title above all panels, and below or beside them one legend.

    The legend has the labels of all panels, each once, and those of the artists in `extra`. The
    figure grows, so that the panels keep their size. Returns the figure.
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
