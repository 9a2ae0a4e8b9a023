"""From the run folders to the table, the figures of `quick` and the README's generated blocks."""

import re
import sys
from pathlib import Path

import pandas as pd

from vae_keras import bench, comparisons, findings, plotting, references, runs, sweep
from vae_keras.tables import markdown

ROOT = Path(__file__).resolve().parents[1]
MEASURES = ("kl_divergence", "psnr", "active_units", "fd_samples")
# The columns of the README's tables of sweeps. Losses of different likelihoods are no common scale,
# and so not among those of `dataset`.
TABLES = {
    "latent_dim": (
        "Over the latent size, with `bce` and beta 1",
        ("latent_dim", "elbo", *MEASURES),
    ),
    "beta": ("Over beta, at latent size 32", ("beta", "elbo", *MEASURES)),
    "dataset": (
        "Over the likelihood, at latent size 32 and beta 1",
        ("likelihood", *MEASURES, "explained_variance", "bits_per_dim"),
    ),
}
REPRODUCTIONS = "reproductions.md"
# What the measures of a sweep over latent sizes or betas are drawn as.
CURVES = {
    "reconstruction_loss": "reconstruction loss\n(nats/image)",
    "kl_divergence": "KL divergence\n(nats/image)",
    "psnr": "PSNR (dB)",
}


def main():
    """Writes everything that is made from the run folders, and prints the paths.

    The README tells of the checkout's own runs only: it stays as it is where `$VAE_KERAS_MODELS`
    names another folder.
    """
    runs.write_results()
    table = runs.load_results()  # as rounded as whoever reads it later finds it
    written = [runs.models_folder() / name for name in (runs.RESULTS, REPRODUCTIONS)]
    written[1].write_text(reproductions(table), encoding="utf-8")
    for substitute in (False, True):
        rows = runs.select(table, sweep.declared_runs("quick", substitute=substitute))
        if len(rows):
            written += draw(rows, runs.images_folder())
    if runs.models_folder() == ROOT / "models":
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
    names = "_".join(dict.fromkeys(rows["dataset"]))
    latent_sizes = rows[rows["beta"] == sweep.FIXED["beta"]].sort_values("latent_dim")
    betas = rows[rows["latent_dim"] == sweep.FIXED["latent_dim"]].sort_values("beta")
    figures = {
        f"quick_{names}_{swept}": comparisons.sweep_curves(selected, swept, CURVES)
        for swept, selected in (("latent_dim", latent_sizes), ("beta", betas))
        if selected[swept].nunique() > 1
    }
    for dataset, selected in latent_sizes.groupby("dataset"):
        pictures = runs.read_pictures(selected, "latent_dim", "reconstructions")
        if pictures:
            figures[f"quick_reconstructions_{dataset}"] = plotting.image_rows(pictures, dataset)
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"02_{name}.png")
        figure.savefig(paths[-1])
    return paths


def render(readme, table):
    """Fills the generated blocks of the README.

    Args:
        readme: its text, with blocks between `<!-- begin NAME -->` and `<!-- end NAME -->`.
        table: `pandas.DataFrame` of `runs.load_results`.

    Returns:
        The text with the blocks `findings`, `results` and `bench` made anew.
    """
    readme = replace_block(readme, "findings", _findings_block(table))
    readme = replace_block(readme, "results", _results_block(table))
    return replace_block(readme, "bench", _bench_block())


def reproductions(table):
    """Renders what was obtained against what others published, as a page in Markdown.

    Args:
        table: `pandas.DataFrame` of `runs.load_results`.
    """
    return (
        "# Obtained against reference\n\nMade by `make report` from the runs' records; "
        "[07_reproductions](../notebooks/07_reproductions.ipynb) says what the columns mean. "
        f"{references.SOURCES}\n\n"
        f"{references.markdown(references.compare(table))}\n"
    )


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


def _results_block(table):
    """The tables of the sweeps, and how long their runs were trained."""
    parts, shown = [], []
    for name, (caption, columns) in TABLES.items():
        declared = sweep.declared_runs(name, "study")
        rows = runs.select(table, declared)
        if len(rows) < len(declared):
            caption += (
                f" ({len(rows)} of {len(declared)} runs are finished; "
                f"`make sweep SWEEP={name} BUDGET=study` goes on)"
            )
        parts.append(f"{caption}:")
        if len(rows):
            parts.append(markdown(rows, columns, across="dataset"))
            shown.append(rows)
    if shown:
        parts.append(_budget(pd.concat(shown)))
    return "\n\n".join(parts)


def _budget(rows):
    seen = rows["images_per_second"] * rows["train_seconds"]
    budgets = "; ".join(
        f"{dataset}: {seen[rows['dataset'] == dataset].median():,.0f} training images seen by a "
        f"run, {group['num_test_images'].iloc[0]:,.0f} test images"
        for dataset, group in rows.groupby("dataset", sort=False)
    )
    epochs, fraction = rows["epochs"].iloc[0], rows["train_fraction"].iloc[0]
    return f"{epochs} epochs over {fraction:.0%} of the training images; {budgets}."


def _bench_block():
    figure = runs.images_folder() / "bench.png"
    text = bench.markdown(bench.load_results())
    if not figure.exists():
        return text
    return f"{text}\n\n![Images per second beside stock Keras](images/{figure.name})"


def _findings_block(table):
    """One line for each claim: the verdict and the numbers on each data set."""
    lines = {}
    for finding in findings.check_all(table):
        notebook = f"[{finding.notebook}](notebooks/{finding.notebook}.ipynb)"
        start = f"- {finding.statement} ({notebook})."
        lines.setdefault(start, []).append(
            f"{finding.dataset}: **{finding.verdict}**, {finding.evidence}."
        )
    return "\n".join(f"{start} {' '.join(parts)}" for start, parts in lines.items())


if __name__ == "__main__":
    sys.exit(main())
