"""Tables in Markdown: headings with units, mean ± standard deviation over seeds."""

import pandas as pd

from vae_keras.figures import names
from vae_keras.study.parameters import ALL_PARAMETERS


def spread(column, values):
    """Renders the mean of a measure over seeds, as in "18.94 ± 0.21"; of one seed "18.94".

    Args:
        column: name of the measure, which decides the decimals.
        values: `pandas.Series`, or a dict from seed to number; missing ones are left out.
    """
    values = pd.Series(values, dtype="float64").dropna()
    text = names.format_value(column, values.mean())
    if len(values) < 2:
        return text
    return f"{text} ± {names.format_value(column, values.std())}"


def markdown(rows, columns):
    """Renders runs as a table: a row for each setting, seeds together.

    Args:
        rows: `pandas.DataFrame` of `runs.select`.
        columns: names of parameters and measures. Measures that no row has are left out, and so are
            parameters that do not vary, unless none does.
    """
    if rows.empty:
        return "No run is finished."
    parameters = [column for column in columns if column in ALL_PARAMETERS]
    varying = [column for column in parameters if rows[column].nunique() > 1] or parameters[:1]
    measures = [
        column
        for column in columns
        if column not in parameters and column in rows and rows[column].notna().any()
    ]
    cells = [
        [names.format_value(column, seeds[column].iloc[0]) for column in varying]
        + [spread(column, seeds[column]) for column in measures]
        for _, seeds in rows.groupby(varying, sort=False)
    ]
    return render(cells, [*varying, *measures], left=len(varying))


def measured(rows, *columns):
    """Lists the data sets some of whose runs have all of these measures.

    Args:
        rows: `pandas.DataFrame` of `runs.select`.
        *columns: names of measures, which the rows need not have.
    """
    known = rows.reindex(columns=["dataset", *columns]).dropna()
    return list(dict.fromkeys(known["dataset"]))


def render(cells, columns, left=1):
    """Renders rows of texts as a table.

    Args:
        cells: list of lists of texts.
        columns: for each cell of a row, the name of a column, or a heading of its own.
        left: how many columns are aligned to the left; the others are aligned to the right.
    """
    table = pd.DataFrame(cells, columns=[names.heading(column) for column in columns])
    align = ["left"] * left + ["right"] * (len(columns) - left)
    return table.to_markdown(index=False, disable_numparse=True, colalign=align)
