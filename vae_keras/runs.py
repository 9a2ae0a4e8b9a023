"""The run folder and the table: one folder of records for each run, one row for each finished run."""

import hashlib
import json
import math
import os
from pathlib import Path

import numpy as np
import pandas as pd

from vae_keras.parameters import LATER, PARAMETERS, check

RESULTS = "results.csv"


def models_folder():
    """Returns the folder that holds one folder for each run.

    That is `$VAE_KERAS_MODELS`, otherwise `models/` of the checkout this file lies in, otherwise
    (the package was installed from an archive, as on Colab) `models/` of the current folder.
    """
    checkout = Path(__file__).resolve().parents[1]
    in_checkout = (checkout / "pyproject.toml").exists()
    default = (checkout if in_checkout else Path.cwd()) / "models"
    # Not resolved: where `models` is a link to a larger disk, `images` still lies beside the link.
    return Path(os.path.abspath(os.environ.get("VAE_KERAS_MODELS") or default))


def images_folder():
    """Returns the folder `images`, beside that of the runs; it is made if need be."""
    folder = models_folder().parent / "images"
    folder.mkdir(exist_ok=True)
    return folder


def run_name(parameters):
    """Returns the name of a run's folder, the same for the same parameters.

    The readable part is for the eye and is never parsed; the digest at the end covers every
    parameter, so that no two runs collide, but for those of `parameters.LATER` at their usual value.
    """
    parameters = _complete(parameters)
    named = [name for name in PARAMETERS if parameters[name] != LATER.get(name)]
    text = json.dumps({name: parameters[name] for name in named})
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return (
        "{dataset}_{architecture}_{likelihood}_z{latent_dim}_beta{beta:g}_seed{seed}_".format(
            **parameters
        )
        + digest
    )


def start_run(**parameters):
    """Makes the folder of a run and writes its `params.json`.

    A folder of the same parameters is used again; it counts as unfinished from now on.

    Args:
        **parameters: every one of `parameters.PARAMETERS`.

    Returns:
        The folder, a `Path`.

    Raises:
        ValueError: if a parameter is missing, unknown or out of its range.
        OSError: if the folder cannot be written.
    """
    parameters = _complete(parameters)
    folder = models_folder() / run_name(parameters)
    make_writable(folder)
    (folder / "metrics.json").unlink(missing_ok=True)
    _write_json(folder / "params.json", parameters)
    return folder


def finish_run(folder, metrics):
    """Writes `metrics.json`, the sign that a run is complete.

    Args:
        folder: what `start_run` returned.
        metrics: dict of numbers and strings; a measure that does not apply is left out.

    Raises:
        ValueError: if a number is not finite: the run then counts as unfinished.
    """
    for name, value in metrics.items():
        if not isinstance(value, str) and not math.isfinite(value):
            raise ValueError(
                f"`{name}` must be a finite number; the training has diverged: a lower "
                f"learning_rate may help. Received: {value!r}"
            )
    _write_json(Path(folder) / "metrics.json", metrics)


def is_finished(parameters):
    """Tells whether the run of these parameters is complete."""
    return (models_folder() / run_name(parameters) / "metrics.json").exists()


def write_results():
    """Writes `results.csv`, a row for each finished run, and returns the table.

    Returns:
        `pandas.DataFrame` with a column for the run's name, each parameter and each measure.
    """
    rows = []
    for path in sorted(models_folder().glob("*/metrics.json")):
        parameters = LATER | json.loads((path.parent / "params.json").read_text())
        rows.append({"run": path.parent.name, **parameters, **json.loads(path.read_text())})
    names = dict.fromkeys(["run", *PARAMETERS, *(name for row in rows for name in row)])
    table = pd.DataFrame(rows, columns=list(names))
    make_writable(models_folder())
    _write(models_folder() / RESULTS, table.to_csv(index=False, float_format="%.6g"))
    return table


def load_results():
    """Reads `results.csv`.

    Returns:
        `pandas.DataFrame` as `write_results` wrote it, in the order of the runs' names. A table of
        before a parameter was added gets its column.

    Raises:
        FileNotFoundError: if there is no table yet.
    """
    path = models_folder() / RESULTS
    if not path.exists():
        raise FileNotFoundError(f"there is no {path} yet: `make sweep` trains models and writes it")
    table = pd.read_csv(path)
    return table.assign(**{name: LATER[name] for name in LATER if name not in table})


def select(table, runs):
    """Returns the rows of a table that belong to the given runs, in their order.

    Args:
        table: `pandas.DataFrame` of `load_results`.
        runs: list of dicts of parameters, as `sweep.declared_runs` gives them.

    Returns:
        `pandas.DataFrame`; runs that are not finished are not in it.
    """
    table = table.set_index("run", drop=False)
    names = [run_name(parameters) for parameters in runs]
    return table.loc[[name for name in names if name in table.index]].reset_index(drop=True)


def read_arrays(run, file="arrays.npz"):
    """Reads the arrays that a run has left behind.

    Args:
        run: name of the run.
        file: `arrays.npz` or `pictures.npz`, see notebook 02.

    Returns:
        Dict from name to array.
    """
    with np.load(models_folder() / run / file) as arrays:
        return dict(arrays)


def read_pictures(rows, label, name):
    """Reads pictures of several runs, to be drawn one row below the other.

    Args:
        rows: `pandas.DataFrame` of `select`, of one data set.
        label: column whose values name the rows; of runs that have the same, the first counts.
        name: `reconstructions`, below the `originals`, or `samples`.

    Returns:
        Dict from label to uint8 images; empty where the runs have left no pictures.
    """
    pictures = {}
    for _, row in rows.drop_duplicates(label).iterrows():
        if not (models_folder() / row["run"] / "pictures.npz").exists():
            continue
        arrays = read_arrays(row["run"], "pictures.npz")
        if name == "reconstructions":
            pictures.setdefault("original", arrays["originals"])
        value = row[label]
        text = value if isinstance(value, str) else f"{label.replace('_', ' ')} {value:g}"
        pictures[text] = arrays[name][:10]
    return pictures


def make_writable(folder):
    """Makes a folder and tries to write in it; an `OSError` says what cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OSError(
            f"cannot write to {folder} ({error.strerror}): free the place or set VAE_KERAS_MODELS "
            "to a folder that can be written"
        ) from error


def _complete(parameters):
    missing = [name for name in PARAMETERS if name not in parameters]
    if missing:
        raise ValueError(f"a run needs every parameter. Missing: {', '.join(missing)}")
    return check(**parameters)


def _write_json(path, content):
    _write(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def _write(path, text):
    """Writes a file at once or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
