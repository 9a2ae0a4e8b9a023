"""Markdown tables: headings with units, mean ± standard deviation over seeds."""

import pandas as pd

from vae_keras.figures import names
from vae_keras.study.parameters import ALL_PARAMETERS


def spread(column, values):
    """Renders a measure over seeds, as in "18.94 ± 0.21", or "18.94" for one seed.

    Args:
        column: name of the measure, which sets the number of decimals.
        values: `pandas.Series`, or a dict from seed to number. Missing values are ignored.
    """
    values = pd.Series(values, dtype="float64").dropna()
    text = names.format_value(column, values.mean())
    if len(values) < 2:
        return text
    return f"{text} ± {names.format_value(column, values.std())}"


def markdown(rows, columns):
    """Renders runs as a table with a row for each setting, averaged over seeds.

    Args:
        rows: `pandas.DataFrame` of `runs.select`.
        columns: names of parameters and measures. Measures without values and parameters that do
            not vary are left out; if none varies, the first parameter is kept.
    """
    if rows.empty:
        return "No run is finished."
    texts, num_parameters = cells(rows, columns)
    return render(texts.to_numpy(), texts.columns, left=num_parameters)


def cells(rows, columns):
    """Renders runs as text, with a row for each setting, averaged over seeds.

    Args:
        rows: `pandas.DataFrame` of `runs.select`, at least one run.
        columns: as for `markdown`.

    Returns:
        `pandas.DataFrame` of text, and the number of its columns that are parameters, the first.
    """
    parameters = [column for column in columns if column in ALL_PARAMETERS]
    varying = [column for column in parameters if rows[column].nunique() > 1] or parameters[:1]
    measures = [
        column
        for column in columns
        if column not in parameters and column in rows and rows[column].notna().any()
    ]
    texts = [
        [names.format_value(column, seeds[column].iloc[0]) for column in varying]
        + [spread(column, seeds[column]) for column in measures]
        for _, seeds in rows.groupby(varying, sort=False)
    ]
    return pd.DataFrame(texts, columns=[*varying, *measures]), len(varying)


def measured(rows, *columns):
    """Lists the data sets with at least one run that has all of these measures.

    Args:
        rows: `pandas.DataFrame` of `runs.select`.
        *columns: names of measures, which may be missing from `rows`.
    """
    known = rows.reindex(columns=["dataset", *columns]).dropna()
    return list(dict.fromkeys(known["dataset"]))


def render(cells, columns, left=1):
    """Renders rows of text as a table.

    Args:
        cells: list of rows, each a list of texts.
        columns: list of column names, or of headings to use as they are.
        left: number of left-aligned columns; the others are right-aligned.
    """
    table = pd.DataFrame(cells, columns=[names.heading(column) for column in columns])
    align = ["left"] * left + ["right"] * (len(columns) - left)
    return table.to_markdown(index=False, disable_numparse=True, colalign=align)
