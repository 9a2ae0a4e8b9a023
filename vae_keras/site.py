"""The page of the study: the notebooks executed once more, and `site/index.html` before them."""

import ast
import sys
from functools import partial

import papermill

from vae_keras import execution, findings, launch, pages, runs, sweep

NOTEBOOKS = sweep.NOTEBOOK.parent
# Looks at the weights of the study; without them it trains models for the purpose.
NEEDS_WEIGHTS = "06_latent_space"


def main():
    notebooks, folder = sorted(NOTEBOOKS.glob("*.ipynb")), runs.models_folder().parent / "site"
    return launch.exit_status(lambda: make(notebooks, folder), "stopped")


def make(notebooks, folder):
    """Executes notebooks and writes the pages.

    Args:
        notebooks: list of their paths.
        folder: where the pages are written; the executed notebooks go into `executed/` in it.

    Returns:
        0, or 1 if a notebook fails: then no page is written.

    Raises:
        FileNotFoundError: if there are no notebooks or there is no table.
        ValueError: if a file in `$VAE_KERAS_DATA` is damaged.
    """
    if not notebooks:
        raise FileNotFoundError(
            f"there is no notebook in {NOTEBOOKS}: the page is made in a checkout of the repository"
        )
    table = runs.load_results()
    chosen = choose_data(notebooks)
    print(f"{len(notebooks)} notebooks to execute, some minutes", flush=True)
    failures = execute(chosen, folder / "executed")
    if failures:
        print(f"{len(failures)} of {len(notebooks)} notebooks FAILED:", *failures, sep="\n  ")
        return 1
    described = [
        pages.describe(folder / "executed" / path.name, chosen[path][1], runs.images_folder())
        for path in notebooks
    ]
    written = pages.write(folder, table, findings.check_all(table), described)
    print("written:", *written, sep="\n  ")
    return 0


def choose_data(notebooks):
    """Chooses the data sets of notebooks: the embedded ones where theirs cannot be had.

    Args:
        notebooks: list of paths; some have a parameter `dataset` or `datasets`.

    Returns:
        Dict from path to a pair of the parameters to set and of a sentence for the reader.

    Raises:
        ValueError: if a file in `$VAE_KERAS_DATA` is damaged.
    """
    chosen, used = {}, {}
    for path in notebooks:
        defaults = papermill.inspect_notebook(str(path))
        parameters, sentence = {}, "It reads the table and the records of the runs."
        for parameter in {"dataset", "datasets"} & set(defaults):
            wanted = ast.literal_eval(defaults[parameter]["default"])
            names = [wanted] if isinstance(wanted, str) else wanted
            for name in names:
                used[name] = used.get(name) or launch.obtainable(name)
            found = list(dict.fromkeys(used[name] for name in names))
            sentence = f"Images: {', '.join(found)}."
            if found == names:
                continue
            sentence = f"{sentence[:-1]}, in place of {', '.join(names)}, not to be had here."
            parameters[parameter] = found
            if isinstance(wanted, str):
                quick = sweep.BUDGETS["quick"] | sweep.SUBSTITUTES[found[0]]  # it is small
                parameters |= {name: quick[name] for name in quick if name in defaults}
                parameters[parameter] = found[0]
        chosen[path] = parameters, sentence
    return chosen


def execute(chosen, folder):
    """Executes notebooks in parallel.

    They see the runs and write the figures of the repository, except those that train: what they
    leave stays in a folder of its own, so that the table and the committed figures do not change.

    Args:
        chosen: dict of `choose_data`.
        folder: where the executed copies are written.

    Returns:
        Dict from the stem of each notebook that failed to what went wrong.
    """
    folder.mkdir(parents=True, exist_ok=True)
    study = [runs.run_name(run) for run in sweep.declared_runs("study", "study")]
    has_weights = any((runs.models_folder() / run / "model.keras").exists() for run in study)
    training = {sweep.NOTEBOOK.stem} if has_weights else {sweep.NOTEBOOK.stem, NEEDS_WEIGHTS}
    tasks = {}
    for path, (parameters, _) in chosen.items():
        apart = {"VAE_KERAS_MODELS": str(folder / "models")} if path.stem in training else {}
        tasks[path.stem] = partial(_execute, path, folder / path.name, parameters, apart)
    return execution.in_parallel(tasks, min(execution.default_jobs(), len(tasks)), unit="notebook")


def _execute(notebook, output, parameters, apart, slots, in_hand):
    with slots.environment() as machine:
        variables = {**apart, **machine}
        return execution.run_notebook(
            notebook.stem, notebook, output, parameters, variables, in_hand
        )


if __name__ == "__main__":
    sys.exit(main())
