"""From the run folders to the table, the figures and the generated blocks of the README."""

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from vae_keras import charts, plotting, runs, sweep

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = {
    "dataset": "data set",
    "likelihood": "likelihood",
    "architecture": "architecture",
    "latent_dim": "latent size",
    "beta": "beta",
    "elbo": "ELBO (nats/image)",
    "train_elbo": "ELBO, training images",
    "reconstruction_loss": "reconstruction loss (nats/image)",
    "kl_divergence": "KL (nats/image)",
    "excess": "excess (nats/image)",
    "nll": "NLL (nats/image)",
    "bits_per_dim": "bits/dim",
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "active_units": "active units",
    "probe_accuracy": "probe accuracy",
    "fd_samples": "FD of samples",
    "fd_gmm": "FD, mixture",
}
DECIMALS = {
    "psnr": 2,
    "ssim": 3,
    "active_units": 0,
    "probe_accuracy": 3,
    "bits_per_dim": 3,
}  # of the others: 1
PARAMETER_COLUMNS = ("dataset", "likelihood", "architecture", "latent_dim", "beta")
NOTEBOOK = "[02_train_vae](notebooks/02_train_vae.ipynb)"


def main():
    """Writes everything that is made from the run folders, and prints the paths."""
    runs.write_results()
    table = runs.load_results()  # as rounded as whoever reads it later finds it
    written = [runs.models_folder() / runs.RESULTS]
    for substitute in (False, True):
        rows = runs.select(table, sweep.declared_runs("quick", substitute=substitute))
        if len(rows):
            written += draw(rows, ROOT / "images")
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    rendered = render(text, table)
    if rendered != text:
        readme.write_text(rendered, encoding="utf-8")
        written.append(readme)
    print("written:", *written, sep="\n  ")
    return 0


def draw(rows, folder):
    """Draws the figures of the sweep `quick`.

    Args:
        rows: `pandas.DataFrame`, the finished runs of the sweep.
        folder: where the figures are written.

    Returns:
        List of their paths, which carry the names of the data sets.
    """
    folder.mkdir(exist_ok=True)
    names = "_".join(dict.fromkeys(rows["dataset"]))
    latent_sizes = rows[rows["beta"] == sweep.FIXED["beta"]].sort_values("latent_dim")
    betas = rows[rows["latent_dim"] == sweep.FIXED["latent_dim"]].sort_values("beta")
    measures = {
        "reconstruction_loss": "reconstruction loss\n(nats/image)",
        "kl_divergence": "KL divergence\n(nats/image)",
        "psnr": "PSNR (dB)",
    }
    figures = {}
    for swept, selected in (("latent_dim", latent_sizes), ("beta", betas)):
        if selected[swept].nunique() > 1:
            figures[swept] = charts.sweep_curves(selected, swept, measures)
    for dataset, selected in latent_sizes.groupby("dataset"):
        if all(_arrays_path(run).exists() for run in selected["run"]):
            figures[f"reconstructions_{dataset}"] = _mosaic(selected)
    paths = []
    for name, figure in figures.items():
        what = name if name.startswith("reconstructions") else f"quick_{names}_{name}"
        paths.append(folder / f"02_{what}.png")
        figure.savefig(paths[-1])
    return paths


def render(readme, table):
    """Fills the generated blocks of the README.

    Args:
        readme: its text, with blocks between `<!-- begin NAME -->` and `<!-- end NAME -->`.
        table: `pandas.DataFrame` of `runs.load_results`.

    Returns:
        The text with the blocks `quick`, `findings` and `pytorch_example` made anew; a block
        whose runs are not all finished stays as it is.
    """
    for name, sweep_name, block in (
        ("quick", "quick", _table_block),
        ("findings", "quick", _findings_block),
        ("pytorch_example", "pytorch_example", _table_block),
    ):
        declared = sweep.declared_runs(sweep_name)
        rows = runs.select(table, declared)
        if len(rows) == len(declared):
            readme = replace_block(readme, name, block(rows))
    return readme


def replace_block(text, name, content):
    """Replaces what stands between the two marks of a block.

    Raises:
        ValueError: if the text does not have exactly one such block.
    """
    pattern = rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)"
    if len(re.findall(pattern, text, flags=re.DOTALL)) != 1:
        raise ValueError(
            f"the README must have one block from `<!-- begin {name} -->` to `<!-- end {name} -->`"
        )
    return re.sub(
        pattern,
        lambda match: f"{match.group(1)}{content}\n{match.group(2)}",
        text,
        flags=re.DOTALL,
    )


def markdown_table(rows):
    """Renders the columns of `COLUMNS` that the rows have; parameters that do not vary but the
    data set are left out."""
    shown = [
        column
        for column in COLUMNS
        if column in rows
        and rows[column].notna().any()
        and (column not in PARAMETER_COLUMNS[1:] or rows[column].nunique() > 1 or len(rows) == 1)
    ]
    lines = ["| " + " | ".join(COLUMNS[column] for column in shown) + " |"]
    lines.append("|" + "|".join("---" if c in PARAMETER_COLUMNS else "---:" for c in shown) + "|")
    for _, row in rows.iterrows():
        lines.append("| " + " | ".join(_cell(column, row[column]) for column in shown) + " |")
    return "\n".join(lines)


def _cell(column, value):
    if isinstance(value, str) or column in ("latent_dim", "beta"):
        return value if isinstance(value, str) else f"{value:g}"
    return "" if pd.isna(value) else f"{value:.{DECIMALS.get(column, 1)}f}"


def _table_block(rows):
    counts = "; ".join(
        f"{name}: {group['num_test_images'].iloc[0]:,} test images"
        for name, group in rows.groupby("dataset", sort=False)
    )
    rows = rows.sort_values(list(PARAMETER_COLUMNS), ascending=[False, True, True, True, True])
    epochs, fraction = rows["epochs"].iloc[0], rows["train_fraction"].iloc[0]
    networks = ", ".join(rows["architecture"].unique())
    likelihoods = ", ".join(rows["likelihood"].unique())
    fixed = (
        f"{epochs} epochs over {fraction:.0%} of the training images, one seed; architecture "
        f"{networks}, likelihood {likelihoods}."
    )
    return f"{markdown_table(rows)}\n\n{counts}. {fixed}"


def _findings_block(rows):
    lines = []
    for dataset, group in rows.groupby("dataset", sort=False):
        sizes = group[group["beta"] == sweep.FIXED["beta"]].sort_values("latent_dim")
        betas = group[group["latent_dim"] == sweep.FIXED["latent_dim"]].sort_values("beta")
        small, large = sizes.iloc[0], sizes.iloc[-1]
        low, high = betas.iloc[0], betas.iloc[-1]
        lines += [
            f"- **{dataset}**: from latent size {small['latent_dim']} to {large['latent_dim']} the "
            f"reconstruction loss goes from {small['reconstruction_loss']:.1f} to "
            f"{large['reconstruction_loss']:.1f} nats/image and the KL divergence from "
            f"{small['kl_divergence']:.1f} to {large['kl_divergence']:.1f}; "
            f"{large['active_units']:.0f} of {large['latent_dim']} units are active ({NOTEBOOK}).",
            f"- **{dataset}**: from beta {low['beta']:g} to {high['beta']:g} the reconstruction "
            f"loss goes from {low['reconstruction_loss']:.1f} to "
            f"{high['reconstruction_loss']:.1f} nats/image and the KL divergence from "
            f"{low['kl_divergence']:.1f} to {high['kl_divergence']:.1f} ({NOTEBOOK}).",
        ]
    return "\n".join(lines)


def _arrays_path(run):
    return runs.models_folder() / run / "arrays.npz"


def _mosaic(rows):
    """Draws the same test images as they are and as models of each latent size see them."""
    images = {}
    for _, row in rows.iterrows():
        with np.load(_arrays_path(row["run"])) as arrays:
            images.setdefault("original", arrays["originals"])
            images[f"{row['latent_dim']} latent dimensions"] = arrays["reconstructions"]
    return plotting.image_rows(images, title=rows["dataset"].iloc[0])


if __name__ == "__main__":
    sys.exit(main())
