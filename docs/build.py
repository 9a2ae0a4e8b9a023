"""Builds the site `site/html`: `python docs/build.py [--no-execute]`, or `make site`.

It executes the notebooks into `docs/notebooks`, writes the generated content of the pages and of
the explorer into `docs/generated`, and runs Sphinx. With `--no-execute`, the executed notebooks and
the explorer stay as they are.
"""

import ast
import functools
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import itables
import papermill
import yaml
from itables.javascript import generate_init_offline_itables_html
from sphinx.cmd.build import build_main

from vae_keras.data.catalogue import DATASETS
from vae_keras.figures import names
from vae_keras.published import registry
from vae_keras.study import claims, reproductions, runs, sweeps, tables
from vae_keras.study.execute import START_SECONDS, default_jobs, duration
from vae_keras.study.execute_one import KERNEL_NOT_STARTED, KERNEL_STARTS
from vae_keras.study.parameters import PARAMETERS

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
CHAPTERS, GENERATED, SITE = DOCS / "notebooks", DOCS / "generated", ROOT / "site"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LONGEST = ("02_train_vae", "06_latent_space", "08_beyond")
# Evaluating all test images would take longer than the training.
SHORTER = dict.fromkeys(("02_train_vae", "08_beyond"), {"evaluation_fraction": 0.2})
NUM_CARDS = 4
GPU_IMAGES_PER_SECOND = 20_000  # assumed: batches of 64 leave a GPU waiting for launches
MEASURES = (
    *("elbo", "reconstruction_loss", "kl_divergence", "binary_nll", "bits_per_dim", "psnr"),
    *("ssim", "used_units", "probe_accuracy", "fd_samples", "fd_mixture"),
)


def main():
    for folder in (CHAPTERS, GENERATED, GENERATED / "static"):
        folder.mkdir(exist_ok=True)
    if "--no-execute" not in sys.argv[1:]:
        with ThreadPoolExecutor(default_jobs()) as pool:
            longest_first = sorted(NOTEBOOKS, key=lambda notebook: notebook.stem not in LONGEST)
            tasks = [pool.submit(write_explorer)]
            tasks += [pool.submit(execute, notebook) for notebook in longest_first]
            failures = [task.result() for task in tasks if task.result()]
        if failures:
            print(*failures, sep="\n\n", file=sys.stderr)
            return 1
    for notebook in NOTEBOOKS:
        if not (CHAPTERS / notebook.name).exists():
            shutil.copy(notebook, CHAPTERS)
    table = runs.load_results()
    checked = claims.check_all(table)
    checked = checked[checked["notebook"] != reproductions.NOTEBOOK]
    texts = {
        "cards.md": cards(checked),
        "pretrained.md": models(),
        "findings.md": claims.findings(checked, link_to_chapter),
        "results.html": results(table),
        "hours.md": hours(table),
    }
    for name, text in texts.items():
        (GENERATED / name).write_text(text, encoding="utf-8")
    return build_main(["-q", "-W", "-d", str(SITE / "doctrees"), str(DOCS), str(SITE / "html")])


def execute(notebook):
    """Executes a notebook into `CHAPTERS`; returns the end of its error output if it fails.

    A notebook that trains writes to a separate models folder, so the table and the committed
    figures stay as they are. The others read the study's records and draw its figures.
    """
    environment = {
        **os.environ,
        "VAE_KERAS_THREADS": "1",
        "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, not the user's
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    parameters = parameters_of(notebook)
    if notebook.stem in LONGEST and parameters:  # neither the study's runs nor the published models
        environment["VAE_KERAS_MODELS"] = str(SITE / "models")
    command = [sys.executable, "-m", "papermill", str(notebook), str(CHAPTERS / notebook.name)]
    command += ["--no-progress-bar", "--kernel", "python3"]
    command += ["--parameters_yaml", yaml.safe_dump(parameters)]
    for _ in range(KERNEL_STARTS):
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        if KERNEL_NOT_STARTED not in result.stderr:
            break
    print(f"{notebook.stem}: {'FAILED' if result.returncode else 'executed'}", flush=True)
    return f"{notebook.stem}: {result.stderr[-3000:]}" if result.returncode else None


def write_explorer():
    """Writes the explorer's scripts; returns the end of the error output if that fails."""
    command = [sys.executable, str(DOCS / "explorer.py")]
    environment = {**os.environ, "VAE_KERAS_THREADS": "1"}
    result = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True)
    print(f"explorer: {'FAILED' if result.returncode else 'written'}", flush=True)
    return f"explorer: {result.stderr[-3000:]}" if result.returncode else None


def parameters_of(notebook):
    """Returns the parameters to set: substitutes for data sets that are not available."""
    defaults = papermill.inspect_notebook(str(notebook))
    parameters = dict(SHORTER.get(notebook.stem, {}))
    for name in {"dataset", "datasets"} & set(defaults):
        wanted = ast.literal_eval(defaults[name]["default"])
        found = [available(dataset) for dataset in ([wanted] if name == "dataset" else wanted)]
        if name == "datasets":
            parameters[name] = list(dict.fromkeys(found))
        elif found[0] != wanted:
            quick = sweeps.BUDGETS["quick"] | sweeps.set_by(found[0])
            parameters |= {key: quick[key] for key in quick if key in defaults}
            parameters[name] = found[0]
    return parameters


@functools.cache
def available(dataset):
    """Fetches a data set if needed; returns its name, or its substitute's if that fails."""
    command = [sys.executable, "-m", "vae_keras.data", dataset]
    result = subprocess.run(command, capture_output=True, text=True)
    return (result.returncode and DATASETS[dataset]["substitute"]) or dataset


def cards(checked):
    """Renders a card for each of the first `NUM_CARDS` figures with a clear verdict on a claim.

    Args:
        checked: `pandas.DataFrame` of `claims.check_all`.
    """
    drawn = [
        (stem, rows)
        for stem, rows in claims.headlines(checked)
        if (runs.images_folder() / f"{stem}.png").exists()
    ]
    lines = ["::::{grid} 1 1 2 2", ":gutter: 3"]
    for stem, rows in drawn[:NUM_CARDS]:
        lines += [
            f":::{{grid-item-card}} {rows['statement'].iloc[0]}",
            f":img-bottom: ../images/{stem}.png",
            f":link: notebooks/{chapter_of(stem)}",
            ":link-type: doc",
        ]
        for row in rows.to_dict("records"):
            lines.append(f"- {names.label(row['dataset'])}: {claims.describe(row)}")
        lines.append(":::")
    return "\n".join([*lines, "::::", ""])


def models():
    """Lists the published models, each as the line of code that loads it."""
    paths = [Path(name).parts for name in registry.names()]
    found = dict.fromkeys(name for folder, name, *_ in paths if folder == "pretrained")
    lines = [f'- `VAE.from_pretrained("{name}")`' for name in found]
    return "\n".join(lines or ["None is published yet."]) + "\n"


def chapter_of(figure):
    """Returns the stem of the notebook that draws a figure: both begin with the same number."""
    return next(notebook.stem for notebook in NOTEBOOKS if notebook.stem[:2] == figure[:2])


def link_to_chapter(figure):
    return f"[{figure[:2]}](notebooks/{chapter_of(figure)}.ipynb)"


def hours(table):
    """Describes how long the study takes, based on the times that its runs recorded.

    Args:
        table: `pandas.DataFrame` of `runs.load_results`.
    """
    declared = sweeps.declared_runs("study", "study")
    rows = runs.select(table, declared)
    if rows.empty:
        return "No run of the study is finished yet.\n"
    work = rows[["train_seconds", "evaluation_seconds"]].sum(axis=1).median()
    whole = (work + START_SECONDS) * len(declared)
    texts = [f"{duration(whole / jobs)} on {jobs} such cores" for jobs in (2, 8)]
    faster = GPU_IMAGES_PER_SECOND / rows["images_per_second"].median()
    on_gpu = duration((work / faster + START_SECONDS) * len(declared))
    return (
        f"{len(rows)} of the {len(declared)} runs of the study are finished. The median run takes "
        f"{duration(work + START_SECONDS)} on "
        f"{'one core' if set(rows['threads']) == {1} else 'several cores'} "
        f"({rows['device'].mode()[0]}). At this rate, the whole study takes {' and '.join(texts)}. "
        f"On one GPU, we estimate {on_gpu}, assuming {GPU_IMAGES_PER_SECOND:,} images/s in "
        "training and the same speed-up in evaluation.\n"
    )


def results(table):
    """Renders the runs of the study as an interactive table that works offline.

    Args:
        table: `pandas.DataFrame` of `runs.load_results`.
    """
    rows = runs.select(table, sweeps.declared_runs("study", sweeps.SHOWN_BUDGET))
    if rows.empty:
        return "No run of the study is finished yet.\n"
    rows = rows.sort_values(["dataset", "likelihood", "elbo"], ascending=[True, True, False])
    settings = [name for name in PARAMETERS if name != "seed"]
    shown, first = tables.cells(rows, [*settings, *MEASURES])
    counts = rows.groupby(list(shown.columns[:first]), sort=False).size()
    shown.insert(first, "seeds", counts.to_numpy())
    by_mean = itables.JavascriptFunction(
        "function (text, kind) { return kind === 'display' ? text : parseFloat(text) || -1e9; }"
    )
    shown = shown.rename(columns=names.heading)
    table_html = itables.to_html_datatable(
        shown,
        connected=False,
        display_logo_when_loading=False,
        paging=False,
        scrollX=True,
        scrollY="70vh",
        fixedColumns={"start": 1},
        ordering={"indicators": False},
        columnControl=["order", ["searchList"]],
        columnDefs=[{"targets": list(range(first, len(shown.columns))), "render": by_mean}],
    )
    return generate_init_offline_itables_html(itables.options.dt_bundle) + table_html


if __name__ == "__main__":
    sys.exit(main())
