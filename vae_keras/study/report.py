"""From the records of runs to tables, pages, figures and the generated blocks of the README."""

import re
import shutil
from pathlib import Path

from vae_keras.figures import many_runs, names, pictures
from vae_keras.study import claims, reproductions, runs, sweeps, tables

ROOT = Path(__file__).resolve().parents[2]
MEASURES = ("elbo", "binary_nll", "psnr", "used_units", "fd_samples")
# The rows of the README's tables: what each changes in the setting from which every sweep starts.
SETTINGS = (
    *({"latent_dim": size} for size in (2, 8, 32, 128)),
    *({"beta": beta} for beta in (0.1, 4.0)),
    *({"likelihood": likelihood} for likelihood in ("mse", "sigma", "logistic")),
    {"conditional": True},
)
QUICK_MEASURES = ("reconstruction_loss", "kl_divergence", "psnr")


def main():
    """Writes the report and prints what it wrote."""
    print("written:", *write_report(), sep="\n  ")
    return 0


def write_report():
    """Writes everything that is made from the records of runs.

    That is `results.csv` and the figures of the sweep `quick`. Of the checkout's own runs, it is
    also the pages `findings.md` and `reproductions.md`, the figure of all claims, and the README
    with its animation.

    Returns:
        List of the paths.
    """
    runs.write_results()
    table = runs.load_results()
    models, images = runs.models_folder(), runs.images_folder()
    written = [models / runs.RESULTS]
    for substitute in (False, True):
        quick = runs.select(table, sweeps.declared_runs("quick", substitute=substitute))
        written += _draw_quick(quick, images)
    if models != ROOT / "models":
        return written
    checked = claims.check_all(table)
    estimated = checked[checked["difference"].notna()]
    many_runs.forest(estimated if len(estimated) else checked).savefig(images / "claims.png")
    written += [images / "claims.png", *_copy_animation(images)]
    readme = ROOT / "README.md"
    texts = {
        models / "findings.md": findings_page(checked),
        models / "reproductions.md": reproductions_page(table),
        readme: fill_blocks(readme.read_text(encoding="utf-8"), readme_blocks(table, checked)),
    }
    for path, text in texts.items():
        with runs.atomic(path) as partial:
            partial.write_text(text, encoding="utf-8")
    return [*written, *texts]


def findings_page(checked):
    """Renders `models/findings.md` from what `claims.check_all` returns."""
    return f"# Findings\n\n{claims.METHOD}\n\n{claims.render(checked, _link)}\n"


def reproductions_page(table):
    """Renders `models/reproductions.md`: the table, then each experiment and what its authors saw.

    Args:
        table: `pandas.DataFrame` of `runs.load_results`.
    """
    checked = claims.check_all(table, reproductions.CLAIMS)
    parts = [
        "# Reproductions",
        f"{reproductions.EARLIER_STUDIES} Losses in nats/image: total = reconstruction loss + KL "
        "divergence, the mean ± standard deviation over seeds. The difference is that of the "
        "totals; on test images that are not the official ones, of the totals above the entropy of "
        f"the grey levels. That of MNIST's exact test images is {reproductions.FLOORS['mnist']}; "
        "45.38 is also quoted.",
        reproductions.markdown(reproductions.compare(table)),
        claims.METHOD.split("\n\n")[0],
    ]
    for name, entry in reproductions.REPRODUCTIONS.items():
        parts.append(f"## {name}\n\n{entry.source}. {entry.setup}")
        if entry.claims:
            seen = checked[checked["statement"].isin(entry.claims)]
            parts.append(claims.render(seen, _link))
    return "\n\n".join(parts) + "\n"


def readme_blocks(table, checked):
    """Returns the generated blocks of the README, a dict from name to Markdown.

    Args:
        table: `pandas.DataFrame` of `runs.load_results`.
        checked: what `claims.check_all` returns.
    """
    bench = runs.models_folder() / "bench.md"
    measured = "Not measured yet: `make bench`."
    return {
        "findings": _findings(checked),
        "results": "\n\n".join(_results(table, name) for name in sweeps.GREY_AND_COLOUR),
        "claims": "[![The claims that several seeds test, with their intervals](images/claims.png)]"
        "(models/findings.md)",
        "bench": bench.read_text(encoding="utf-8").strip() if bench.exists() else measured,
    }


def fill_blocks(text, blocks):
    """Replaces what stands between the marks `<!-- begin NAME -->` and `<!-- end NAME -->`.

    Args:
        text: Markdown.
        blocks: dict from name to the new content; what the text has no marks for is left out.

    Raises:
        ValueError: if the text has a block of another name, or a block that does not end.
    """
    for name in re.findall(r"<!-- begin (\w+) -->", text):
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        if name not in blocks or not found:
            raise ValueError(
                f"the README must have blocks of the names {', '.join(blocks)}, each with its end. "
                f"Received: {begin.strip()}"
            )
        text = f"{before}{begin}{blocks[name]}\n{end}{after}"
    return text


def _link(stem, images="../images"):
    return f"[{stem}]({images}/{stem}.png)"


def _findings(checked):
    """The first claim with a verdict of each figure, for five figures: a sentence each."""
    weak = checked["difference"].isna() | (checked["verdict"] == "inconclusive")
    lines = []
    for _, shown in [*checked[~weak].groupby("figure", sort=False)][:5]:
        statement, stem = shown[["statement", "figure"]].iloc[0]
        found = "; ".join(
            f"{names.label(row['dataset'])} {claims.describe(row)}"
            for row in checked[checked["statement"] == statement].to_dict("records")
        )
        lines.append(f"- {statement}: {found}. {_link(stem, 'images')}")
    return "\n".join(lines) or "No claim is decided yet: `make sweep SWEEP=study BUDGET=study`."


def _results(table, dataset):
    """The table of one data set, under a line that says which runs it shows."""
    declared = sweeps.declared_runs("study", sweeps.SHOWN_BUDGET)
    declared = [run for run in declared if run["dataset"] == dataset]
    shown, title = runs.select(table, declared), f"**{names.label(dataset)}**"
    if shown.empty:
        return f"{title}: no run is finished yet, `make sweep SWEEP=study BUDGET=study`."
    measures = [name for name in MEASURES if name in shown and shown[name].notna().any()]
    cells = []
    for changes in SETTINGS:
        values = [claims.values_of(shown, dataset, name, changes) for name in measures]
        texts = [tables.spread(*pair) for pair in zip(measures, values, strict=True)]
        if "likelihood" in changes:
            texts[0] = ""  # its ELBO is on a scale of its own
        if any(texts):
            cells.append([sweeps.phrase(changes), *texts])
    linear = [claims.values_of(shown, dataset, f"linear_{name}", {}) for name in measures]
    if any(linear):
        texts = [tables.spread(*pair) for pair in zip(measures, linear, strict=True)]
        cells.append(["the linear twin", *texts])
    first = shown.iloc[0]
    caption = (
        f"{title}: {len(shown)} of {len(declared)} runs, {first['epochs']} epochs over "
        f"{first['train_fraction']:.0%} of the training images, {first['num_test_images']:,.0f} "
        "test images."
    )
    return f"{caption}\n\n{tables.render(cells, ['setting', *measures])}"


def _copy_animation(folder):
    """Copies the map over the training of the first run of two dimensions, where it is there."""
    declared = sweeps.declared_runs("latent_dim", sweeps.SHOWN_BUDGET)
    first = next(run for run in declared if run["latent_dim"] == 2)
    animation = runs.models_folder() / runs.run_name(first) / "latent_map.gif"
    if not animation.exists():
        return []
    shutil.copyfile(animation, folder / "02_latent_map.gif")
    return [folder / "02_latent_map.gif"]


def _draw_quick(rows, folder):
    """Draws the finished runs of the sweep `quick`; returns the paths, which name its data sets."""
    figures, datasets = {}, "_".join(dict.fromkeys(rows["dataset"]))
    default, largest = rows["beta"] == sweeps.FIXED["beta"], rows["latent_dim"].max()
    for swept, chosen in (
        ("latent_dim", rows[default]),
        ("beta", rows[rows["latent_dim"] == largest]),
    ):
        if chosen[swept].nunique() > 1:
            curves = many_runs.sweep_curves(chosen, swept, QUICK_MEASURES)
            figures[f"02_quick_{datasets}_{swept}"] = curves
    for dataset, chosen in rows[default].groupby("dataset"):
        chosen = chosen.sort_values("latent_dim")
        images = runs.read_pictures(chosen, "latent_dim", "reconstructions")
        if images:
            figures[f"02_quick_reconstructions_{dataset}"] = pictures.image_rows(images)
    for stem, figure in figures.items():
        figure.savefig(folder / f"{stem}.png")
    return [folder / f"{stem}.png" for stem in figures]
