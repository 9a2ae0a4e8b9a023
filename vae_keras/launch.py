"""The command that executes notebook 02 for the runs of a sweep."""

import argparse
import os
import signal
import subprocess
import sys
import textwrap

from vae_keras import execution, runs, sources, sweep
from vae_keras.datasets import DATASETS
from vae_keras.parameters import PARAMETERS

MEASURES = ["elbo", "reconstruction_loss", "kl_divergence", "psnr", "ssim", "active_units"]


def choose_runs(name, budget, data):
    """Decides once which data sets a sweep uses.

    Args:
        name: name of one of `sweep.SWEEPS`.
        budget: name of one of `sweep.BUDGETS`.
        data: "real", "embedded", or "auto", which is real where every data set can be had.

    Returns:
        Pair of the list of runs and of the names of the data sets that must be downloaded first.

    Raises:
        FileNotFoundError: if `data` is "real" and a data set cannot be had.
        ValueError: if a name is unknown or a file in `$VAE_KERAS_DATA` is damaged.
    """
    declared = sweep.declared_runs(name, budget, substitute=data == "embedded")
    places, errors = {}, []
    for dataset in sorted({parameters["dataset"] for parameters in declared}):
        try:
            places[dataset] = sources.find(dataset)
        except FileNotFoundError as error:
            errors.append(error)
    if errors and data == "real":
        raise errors[0]
    if errors:
        _announce_substitutes(errors[0])
        return sweep.declared_runs(name, budget, substitute=True), []
    return declared, [dataset for dataset, place in places.items() if place == "network"]


def download(names):
    """Fetches data sets into Keras's cache, so that parallel runs find them there.

    Raises:
        FileNotFoundError: if that fails.
    """
    command = [sys.executable, "-m", "vae_keras.data", *names]
    print(f"downloading {', '.join(names)} ...", flush=True)
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise FileNotFoundError(result.stderr.strip() or f"{' '.join(command)} failed")


def obtainable(name):
    """Returns a data set's name, downloaded if need be, or that of its substitute.

    Raises:
        ValueError: if a file in `$VAE_KERAS_DATA` is damaged.
    """
    try:
        if sources.find(name) == "network":
            download([name])
    except FileNotFoundError as error:
        print(error)
        return DATASETS[name]["substitute"]
    return name


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m vae_keras.launch", description=__doc__)
    parser.add_argument("sweep", help=", ".join(sweep.SWEEPS))
    parser.add_argument("--budget", default="quick", help=", ".join(sweep.BUDGETS))
    parser.add_argument("--jobs", type=int, help="runs at a time (default: what the machine bears)")
    parser.add_argument("--data", default="auto", choices=["real", "embedded", "auto"])
    parser.add_argument("--force", action="store_true", help="run finished runs again")
    options = parser.parse_args(arguments)
    stopped = "stopped; the same command goes on with what is not finished"
    return exit_status(lambda: _run(options), stopped)


def exit_status(command, stopped):
    """Does what a command is for; ends with one line on errors that are the user's to mend.

    Args:
        command: function without arguments that returns the exit status.
        stopped: what is said when the user has stopped it.

    Returns:
        The exit status, 2 after an error and 130 if it was stopped.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return command()
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{stopped}", file=sys.stderr)
        return 130


def _run(options):
    jobs = execution.default_jobs() if options.jobs is None else options.jobs
    if jobs < 1:
        raise ValueError(f"`--jobs` must be at least 1. Received: {jobs}")
    execution.check_notebook(sweep.NOTEBOOK, PARAMETERS)
    runs.make_writable(runs.models_folder())
    declared, missing = choose_runs(options.sweep, options.budget, options.data)
    todo = [run for run in declared if options.force or not runs.is_finished(run)]
    if todo and missing:
        try:
            download(missing)
        except FileNotFoundError as error:
            if options.data == "real":
                raise
            _announce_substitutes(error)
            declared = sweep.declared_runs(options.sweep, options.budget, substitute=True)
            todo = [run for run in declared if options.force or not runs.is_finished(run)]
    print(
        f"sweep {options.sweep}, budget {options.budget}: {len(declared)} runs, "
        f"{len(declared) - len(todo)} of them finished before"
    )
    failures = execution.execute_all(sweep.NOTEBOOK, todo, min(jobs, len(todo))) if todo else {}
    _report(declared, failures, trained_now=bool(todo))
    return 1 if failures else 0


def _report(declared, failures, trained_now):
    table = runs.select(runs.write_results(), declared)
    shown = [name for name in PARAMETERS if name in table and table[name].nunique() > 1]
    if len(table):
        shown += [name for name in MEASURES if name in table]
        print(table[shown].to_string(index=False, float_format="{:.4g}".format))
    without_weights = [
        run for run in table["run"] if not (runs.models_folder() / run / "model.keras").exists()
    ]
    if without_weights and not trained_now:
        print(
            f"{len(without_weights)} of these runs are here as records without weights: "
            "`make sweep FORCE=1` trains them again"
        )
    print(f"table: {runs.models_folder() / runs.RESULTS}")
    print(f"runs: {runs.models_folder()}{os.sep}<run>")
    if failures:
        print(f"{len(failures)} of {len(declared)} runs FAILED:", *failures, sep="\n  ")


def _announce_substitutes(error):
    line = "!" * 88
    print(f"\n{line}\nThe real images cannot be had here:")
    print(textwrap.fill(str(error), len(line)))
    print("This sweep therefore runs on the EMBEDDED image sets `digits` and `photos`.")
    print(f"`make sweep DATA=real` makes this an error instead.\n{line}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
