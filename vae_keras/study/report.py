"""Turns the records of runs into tables, pages, figures and the README's generated blocks."""

import re
import shutil
from pathlib import Path

from vae_keras.figures import many_runs, names, pictures
from vae_keras.study import best, claims, reproductions, runs, sweeps, tables

ROOT = Path(__file__).resolve().parents[2]
MEASURES = ("elbo", "binary_nll", "psnr", "used_units", "fd_samples")
# The rows of the README's tables: the parameters that differ from `sweeps.FIXED`.
SETTINGS = (
    *({"latent_dim": size} for size in (2, 8, 32, 128)),
    *({"beta": beta} for beta in (0.1, 4.0)),
    *({"likelihood": likelihood} for likelihood in ("mse", "sigma", "logistic")),
    {"conditional": True},
)
QUICK_MEASURES = ("reconstruction_loss", "kl_divergence", "psnr")


def main():
    """Writes the report, prints the paths written and returns the exit code."""
    print("written:", *write_report(), sep="\n  ")
    return 0


def write_report():
    """Writes everything that is generated from the records of runs.

    These are `results.csv` and the figures of the sweep `quick`. If the models folder is that of
    the checkout, they are also the pages `findings.md` and `reproductions.md`, the figure of all
    claims, and the README's blocks and animation.

    Returns:
        List of the paths written.
    """
    table = runs.write_results()
    models, images = runs.models_folder(), runs.images_folder()
    written = [models / runs.RESULTS]
    for substitute in (False, True):
        quick = runs.select(table, sweeps.declared_runs("quick", substitute=substitute))
        written += _draw_quick(quick, images)
    if models != ROOT / "models":
        return written
    checked = claims.check_all(table)
    reproduced = checked["notebook"] == reproductions.NOTEBOOK
    reproduced, checked = checked[reproduced], checked[~reproduced]
    estimated = checked[checked["difference"].notna()]
    many_runs.forest(estimated if len(estimated) else checked).savefig(images / "claims.png")
    written += [images / "claims.png", *_copy_animation(images)]
    readme = ROOT / "README.md"
    texts = {
        models / "findings.md": findings_page(checked),
        models / "reproductions.md": reproductions_page(table, reproduced),
        readme: fill_blocks(readme.read_text(encoding="utf-8"), readme_blocks(table, checked)),
    }
    for path, text in texts.items():
        with runs.atomic(path) as partial:
            partial.write_text(text, encoding="utf-8")
    return [*written, *texts]


def findings_page(checked):
    """Renders `models/findings.md` from the result of `claims.check_all`."""
    return f"# Findings\n\n{claims.findings(checked, _link)}"


def reproductions_page(table, checked):
    """Renders `models/reproductions.md`: the table, then each experiment and its claims.

    Args:
        table: `pandas.DataFrame` of `runs.load_results`.
        checked: rows of `claims.check_all`.
    """
    parts = [
        "# Reproductions",
        f"{reproductions.EARLIER_STUDIES} Losses in nats/image: total = reconstruction loss + KL "
        "divergence, mean ± standard deviation over seeds. The difference compares totals or, if "
        "the test images are not the official ones, totals minus the entropy of the grey levels. "
        f"For MNIST's official test images, this entropy is {reproductions.FLOORS['mnist']} nats.",
        reproductions.markdown(reproductions.compare(table)),
        claims.METHOD,
    ]
    for name, entry in reproductions.REPRODUCTIONS.items():
        runs_of = f", sweep `{name}`" if entry.grids else ""
        parts.append(f"## {entry.title}\n\n{entry.source}{runs_of}. {entry.setup}")
        if entry.claims:
            seen = checked[checked["statement"].isin(entry.claims)]
            parts.append(claims.render(seen, _link))
    return "\n\n".join(parts) + "\n"


def readme_blocks(table, checked):
    """Returns the generated blocks of the README, as a dict from name to Markdown.

    Args:
        table: `pandas.DataFrame` of `runs.load_results`.
        checked: `pandas.DataFrame` of `claims.check_all`.
    """
    bench = runs.models_folder() / "bench.md"
    speed = "Not measured yet: `make bench`."
    if bench.exists():
        speed = bench.read_text(encoding="utf-8").strip()
    return {
        "findings": _findings(checked),
        "results": "\n\n".join(
            [
                f"Each row changes one of the default settings: {sweeps.DEFAULT}.",
                *(_results(table, name) for name in sweeps.GREY_AND_COLOUR),
            ]
        ),
        "best": best.markdown(),
        "claims": "[![All tested claims, with 95 % intervals](images/claims.png)]"
        "(models/findings.md)",
        "bench": speed,
    }


def fill_blocks(text, blocks):
    """Replaces the text between the markers `<!-- begin NAME -->` and `<!-- end NAME -->`.

    Args:
        text: Markdown.
        blocks: dict from name to the new content. Blocks without markers in the text are ignored.

    Raises:
        ValueError: if the text has a block with an unknown name or without an end.
    """
    for name in re.findall(r"<!-- begin (\w+) -->", text):
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        if name not in blocks or not found:
            raise ValueError(
                f"blocks of the README must have an end and one of the names {', '.join(blocks)}. "
                f"Received: {begin.strip()}"
            )
        text = f"{before}{begin}{blocks[name]}\n{end}{after}"
    return text


def _link(stem, images="../images"):
    return f"[{stem}]({images}/{stem}.png)"


def _findings(checked):
    """Renders the first decided claim of each of the first five figures, one line each."""
    lines = []
    for stem, rows in claims.headlines(checked)[:5]:
        found = "; ".join(
            f"{names.label(row['dataset'])} {claims.describe(row)}"
            for row in rows.to_dict("records")
        )
        lines.append(f"- {rows['statement'].iloc[0]}: {found}. {_link(stem, 'images')}")
    undecided = "No claims decided yet. Train the study: `make sweep SWEEP=study BUDGET=study`."
    return "\n".join(lines) or undecided


def _results(table, dataset):
    """Renders the table of one data set, under a caption with the number of runs."""
    declared = sweeps.declared_runs("study", sweeps.SHOWN_BUDGET)
    declared = [run for run in declared if run["dataset"] == dataset]
    shown, title = runs.select(table, declared), f"**{names.label(dataset)}**"
    if shown.empty:
        return f"{title}: no finished runs yet. Train them: `make sweep SWEEP=study BUDGET=study`."
    measures = [name for name in MEASURES if name in shown and shown[name].notna().any()]

    def values(name, changes):
        return claims.values_of(shown, dataset, name, changes)

    cells = []
    for changes in SETTINGS:
        texts = [tables.spread(name, values(name, changes)) for name in measures]
        if "likelihood" in changes:
            texts[0] = ""  # ELBOs under different likelihoods are not comparable
        cells.append([sweeps.phrase(changes), *texts])
    size = {"latent_dim": sweeps.FIXED["latent_dim"]}
    twin = [[*values(f"linear_{name}", size).values()][:1] for name in measures]  # has no seed
    cells.append([f"linear twin, {sweeps.phrase(size)}", *map(tables.spread, measures, twin)])
    cells = [row for row in cells if any(row[1:])]
    first = shown.iloc[0]
    caption = (
        f"{title}: {len(shown)} of {len(declared)} runs, {first['epochs']} epochs, "
        f"{first['num_test_images']:,.0f} test images."
    )
    return f"{caption}\n\n{tables.render(cells, ['setting', *measures])}"


def _copy_animation(folder):
    """Copies the latent map's animation of the first two-dimensional run, if it exists."""
    declared = sweeps.declared_runs("latent_dim", sweeps.SHOWN_BUDGET)
    first = next(run for run in declared if run["latent_dim"] == 2)
    animation = runs.models_folder() / runs.run_name(first) / "latent_map.gif"
    if not animation.exists():
        return []
    shutil.copyfile(animation, folder / "02_latent_map.gif")
    return [folder / "02_latent_map.gif"]


def _draw_quick(rows, folder):
    """Draws the finished runs of the sweep `quick`; returns the paths of the figures."""
    figures, datasets = {}, "_".join(dict.fromkeys(rows["dataset"]))
    default, largest = rows["beta"] == sweeps.FIXED["beta"], rows["latent_dim"].max()
    for swept, chosen in (
        ("latent_dim", rows[default]),
        ("beta", rows[rows["latent_dim"] == largest]),
    ):
        if chosen[swept].nunique() > 1:
            curves = many_runs.sweep_curves(chosen, swept, QUICK_MEASURES)
            figures[folder / f"02_quick_{datasets}_{swept}.png"] = curves
    for dataset, chosen in rows[default].groupby("dataset"):
        chosen = chosen.sort_values("latent_dim")
        images = runs.read_pictures(chosen, "latent_dim", "reconstructions")
        if images:
            path = folder / f"02_quick_reconstructions_{dataset}.png"
            figures[path] = pictures.image_rows(images)
    for path, figure in figures.items():
        figure.savefig(path)
    return [*figures]
