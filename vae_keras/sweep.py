"""The sweeps, declared as data, and the command that executes notebook 02 for their runs."""

import argparse
import itertools
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

from vae_keras import execution, runs, sources
from vae_keras.datasets import DATASETS
from vae_keras.parameters import PARAMETERS, check

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "02_train_vae.ipynb"

GREY_AND_COLOUR = ["fashion_mnist", "cifar10"]
SEEDS = [0, 1, 2]

# What a sweep does not vary. Every parameter that is in no budget has its value here.
FIXED = {
    "latent_dim": 32,
    "beta": 1.0,
    "likelihood": "bce",
    "architecture": "residual",
    "conditional": False,
    "warmup_epochs": 0.0,
    "kl_cycles": 1,
    "free_bits": 0.0,
    "learning_rate": 1e-3,
    "seed": 0,
}
# How long each run trains.
BUDGETS = {
    "quick": {"epochs": 4, "train_fraction": 0.05, "batch_size": 64},
    "study": {"epochs": 4, "train_fraction": 0.85, "batch_size": 128},  # a 2-core machine
    "full": {"epochs": 50, "train_fraction": 1.0, "batch_size": 128},  # a GPU
}
# The embedded sets are small: all of their images, more often.
SUBSTITUTES = {
    "digits": {"epochs": 30, "train_fraction": 1.0},
    "photos": {"epochs": 3, "train_fraction": 1.0},
}
# Each sweep is a list of grids; what a grid says overrides FIXED and the budget.
SWEEPS = {
    "quick": [
        {"dataset": GREY_AND_COLOUR, "architecture": ["plain"], "latent_dim": [2, 8, 32]},
        {"dataset": GREY_AND_COLOUR, "architecture": ["plain"], "beta": [0.1, 0.5, 4.0]},
    ],
    "latent_dim": [
        {"dataset": GREY_AND_COLOUR, "latent_dim": [2, 4, 8, 16, 32, 64, 128], "seed": SEEDS},
    ],
    "beta": [
        {"dataset": GREY_AND_COLOUR, "beta": [0.01, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0], "seed": SEEDS},
    ],
    "dataset": [
        {
            "dataset": GREY_AND_COLOUR,
            "likelihood": ["bce", "mse", "sigma", "logistic"],
            "seed": SEEDS,
        },
    ],
    "mse_beta": [
        {
            "dataset": GREY_AND_COLOUR,
            "likelihood": ["mse"],
            "beta": [0.001, 0.01, 0.1, 1.0, 10.0],
        },
        {"dataset": GREY_AND_COLOUR, "likelihood": ["sigma"]},
    ],
    "architecture": [
        {
            "dataset": GREY_AND_COLOUR,
            "architecture": ["plain", "residual"],
            "warmup_epochs": [0.0, 1.0],
        },
    ],
    "warmup": [
        {"dataset": GREY_AND_COLOUR},
        {"dataset": GREY_AND_COLOUR, "warmup_epochs": [1.0], "kl_cycles": [1, 2]},
    ],
    "conditional": [
        {"dataset": GREY_AND_COLOUR, "conditional": [False, True]},
    ],
    # PyTorch's own example, the recipe of a published value.
    "pytorch_example": [
        {
            "dataset": ["mnist"],
            "latent_dim": [20],
            "architecture": ["mlp"],
            "epochs": [10],
            "train_fraction": [1.0],
            "batch_size": [128],
        },
    ],
}

STUDY = ("latent_dim", "beta", "dataset", "mse_beta", "architecture", "warmup", "conditional")
SWEEPS["study"] = [grid for name in STUDY for grid in SWEEPS[name]]

MEASURES = ["elbo", "reconstruction_loss", "kl_divergence", "psnr", "ssim", "active_units"]


def declared_runs(sweep, budget="quick", substitute=False):
    """Lists the runs of a sweep.

    Args:
        sweep: name of one of `SWEEPS`.
        budget: name of one of `BUDGETS`.
        substitute: whether each data set is replaced by the embedded one of the same colour,
            which is trained for as long as `SUBSTITUTES` says.

    Returns:
        List of dicts that name every parameter of notebook 02, without repetitions, the first seed
        of all of them first.

    Raises:
        ValueError: if a name is unknown or the declaration has a bad value.
    """
    for name, value, valid in (("sweep", sweep, SWEEPS), ("budget", budget, BUDGETS)):
        if value not in valid:
            raise ValueError(f"unknown {name} {value!r}. Valid values: {', '.join(valid)}")
    listed = {}
    for grid in SWEEPS[sweep]:
        for values in itertools.product(*grid.values()):
            parameters = {**FIXED, **BUDGETS[budget], **dict(zip(grid, values))}
            if substitute:
                dataset = parameters["dataset"]
                dataset = DATASETS[dataset]["substitute"] or dataset
                parameters |= {"dataset": dataset, **SUBSTITUTES[dataset]}
            listed[runs.run_name(parameters)] = check(**parameters)
    return sorted(listed.values(), key=lambda parameters: parameters["seed"])


def finished_runs(table, sweep, budget):
    """Returns the rows of a sweep's finished runs.

    Args:
        table: `pandas.DataFrame` of `runs.load_results`.
        sweep: name of one of `SWEEPS`.
        budget: name of one of `BUDGETS`.

    Returns:
        `pandas.DataFrame`, in the order of the declaration, the first seed first.

    Raises:
        FileNotFoundError: if no run of it is finished.
        ValueError: if a name is unknown.
    """
    rows = runs.select(table, declared_runs(sweep, budget))
    if rows.empty:
        raise FileNotFoundError(
            f"no run of the sweep {sweep!r} with the budget {budget!r} is finished: "
            f"`make sweep SWEEP={sweep} BUDGET={budget}` trains them"
        )
    return rows


def choose_runs(sweep, budget, data):
    """Decides once which data sets a sweep uses.

    Args:
        sweep: name of one of `SWEEPS`.
        budget: name of one of `BUDGETS`.
        data: "real", "embedded", or "auto", which is real where every data set can be had.

    Returns:
        Pair of the list of runs and of the names of the data sets that must be downloaded first.

    Raises:
        FileNotFoundError: if `data` is "real" and a data set cannot be had.
        ValueError: if a name is unknown or a file in `$VAE_KERAS_DATA` is damaged.
    """
    declared = declared_runs(sweep, budget, substitute=data == "embedded")
    places, errors = {}, []
    for name in sorted({parameters["dataset"] for parameters in declared}):
        try:
            places[name] = sources.find(name)
        except FileNotFoundError as error:
            errors.append(error)
    if errors and data == "real":
        raise errors[0]
    if errors:
        _announce_substitutes(errors[0])
        return declared_runs(sweep, budget, substitute=True), []
    return declared, [name for name, place in places.items() if place == "network"]


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


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m vae_keras.sweep", description=__doc__)
    parser.add_argument("sweep", help=", ".join(SWEEPS))
    parser.add_argument("--budget", default="quick", help=", ".join(BUDGETS))
    parser.add_argument("--jobs", type=int, help="runs at a time (default: what the machine bears)")
    parser.add_argument("--data", default="auto", choices=["real", "embedded", "auto"])
    parser.add_argument("--force", action="store_true", help="run finished runs again")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return _run(options)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on with what is not finished", file=sys.stderr)
        return 130


def _run(options):
    jobs = execution.default_jobs() if options.jobs is None else options.jobs
    if jobs < 1:
        raise ValueError(f"`--jobs` must be at least 1. Received: {jobs}")
    execution.check_notebook(NOTEBOOK, PARAMETERS)
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
            declared = declared_runs(options.sweep, options.budget, substitute=True)
            todo = [run for run in declared if options.force or not runs.is_finished(run)]
    print(
        f"sweep {options.sweep}, budget {options.budget}: {len(declared)} runs, "
        f"{len(declared) - len(todo)} of them finished before"
    )
    failures = execution.execute_all(NOTEBOOK, todo, min(jobs, len(todo))) if todo else {}
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
