"""The columns of the tables: headers with units, decimals, and the spread over seeds."""

import pandas as pd

from vae_keras.parameters import PARAMETERS, SWITCHES

COLUMNS = {
    "dataset": "data set",
    "likelihood": "likelihood",
    "architecture": "architecture",
    "conditional": "conditional",
    "warmup_epochs": "warm-up (epochs)",
    "kl_cycles": "cycles",
    "epochs": "epochs",
    "cosine_decay": "cosine decay",
    "learning_rate": "learning rate",
    "encoder_shift": "shift (pixels)",
    "hidden_units": "hidden units",
    "latent_dim": "latent size",
    "beta": "beta",
    "elbo": "ELBO (nats/image)",
    "train_elbo": "ELBO, training images",
    "refined_elbo": "ELBO, refined posteriors",
    "reconstruction_loss": "reconstruction loss (nats/image)",
    "kl_divergence": "KL (nats/image)",
    "excess": "excess (nats/image)",
    "nll": "NLL (nats/image)",
    "bits_per_dim": "bits/dim",
    "mse": "MSE (1/pixel)",
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "explained_variance": "explained variance",
    "sharpness": "sharpness",
    "active_units": "active units",
    "probe_accuracy": "probe accuracy",
    "fd_samples": "FD of samples",
    "fd_reconstructions": "FD of reconstructions",
    "fd_gmm": "FD, mixture",
    "fid": "FID",
}
DECIMALS = {
    "mse": 4,
    "psnr": 2,
    "ssim": 3,
    "explained_variance": 3,
    "sharpness": 3,
    "active_units": 0,
    "probe_accuracy": 3,
    "bits_per_dim": 3,
}  # of the others: 1
SHOWN_PARAMETERS = tuple(name for name in COLUMNS if name in PARAMETERS)


def format_value(column, value):
    """Renders a parameter or a measure; a measure that is missing as an empty text."""
    if isinstance(value, str):
        return value
    if column in SWITCHES:
        return "yes" if value else "no"
    if column in PARAMETERS:
        return f"{value:g}"
    return "" if pd.isna(value) else f"{value:.{DECIMALS.get(column, 1)}f}"


def format_spread(column, values):
    """Renders the mean of a measure over seeds and, of several, half their range after it."""
    values = pd.Series(values, dtype="float64").dropna()
    text = format_value(column, values.mean())
    if len(values) < 2:
        return text
    return f"{text} ± {format_value(column, (values.max() - values.min()) / 2)}"


def markdown(rows, columns, across=None):
    """Renders runs as a table, seeds together.

    Args:
        rows: `pandas.DataFrame` of `runs.select`.
        columns: names of the columns, of `COLUMNS`. Those without a value are left out, and
            parameters that do not vary, but for the data set.
        across: a parameter whose values share a row, each with measures of its own, or `None`; the
            rows are then those of the parameters among the columns.

    Returns:
        Markdown: a row for each setting of the parameters, in the order of the rows.

    Raises:
        KeyError: if a column has no heading.
    """
    headings = {column: COLUMNS[column] for column in columns}
    if rows.empty:
        return "No run is finished."
    shown = [
        column
        for column in columns
        if column in rows
        and rows[column].notna().any()
        and (column not in SHOWN_PARAMETERS[1:] or rows[column].nunique() > 1 or len(rows) == 1)
    ]
    if across is not None:
        keys = [column for column in columns if column in PARAMETERS and column != across]
        return _markdown_across(rows, keys, [c for c in shown if c not in PARAMETERS], across)
    settings = [name for name in PARAMETERS if name != "seed"]
    lines = ["| " + " | ".join(headings[column] for column in shown) + " |"]
    lines.append("|" + "|".join("---" if c in PARAMETERS else "---:" for c in shown) + "|")
    for _, seeds in rows.groupby(settings, sort=False):
        cells = (
            format_value(column, seeds[column].iloc[0])
            if column in PARAMETERS
            else format_spread(column, seeds[column])
            for column in shown
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _markdown_across(rows, keys, measures, across):
    values = list(dict.fromkeys(rows[across]))
    pairs = [(measure, value) for measure in measures for value in values]
    header = [COLUMNS[key] for key in keys] + [f"{COLUMNS[m]}, {value}" for m, value in pairs]
    lines = ["| " + " | ".join(header) + " |"]
    lines.append("|" + "|".join(["---"] * len(keys) + ["---:"] * len(pairs)) + "|")
    for setting, seeds in rows.groupby(keys, sort=False):
        cells = [format_value(key, value) for key, value in zip(keys, setting)]
        for measure, value in pairs:
            cells.append(format_spread(measure, seeds[measure][seeds[across] == value]))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
