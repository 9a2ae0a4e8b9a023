"""The records of runs: a folder for each run, and the table with a row for each finished run.

A run's folder holds `params.json`, written first, and `metrics.json`, written last: a run is
finished once both are whole. `failed.json` says why a run failed.
"""

import contextlib
import csv
import hashlib
import io
import json
import logging
import os
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from vae_keras.data.catalogue import is_own
from vae_keras.figures.names import label as display_name
from vae_keras.study.parameters import ALL_PARAMETERS, BEYOND, RANGES, check_parameters

RESULTS = "results.csv"
BACKUP = "backup.npz"  # see `study.backup`
logger = logging.getLogger(__name__)


def models_folder():
    """Returns the folder that holds one folder for each run.

    That is `$VAE_KERAS_MODELS`, or else `models/` of the checkout, or of the current folder where
    there is no checkout.

    Raises:
        ValueError: if it is a URL.
    """
    folder = os.environ.get("VAE_KERAS_MODELS") or str(_default_folder())
    if "://" in folder:
        raise ValueError(
            f"VAE_KERAS_MODELS must be a local or mounted folder. Received: {folder!r}. Mount it."
        )
    return Path(os.path.abspath(folder))


def images_folder():
    """Returns the folder for figures: beside the default models folder, inside any other one."""
    folder = models_folder()
    folder = (folder.parent if folder == _default_folder() else folder) / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def run_name(parameters):
    """Returns the name of a run's folder, the same for the same parameters.

    The first part is for the eye and is never parsed. The digest at the end covers every
    parameter.

    Args:
        parameters: dict of every one of `PARAMETERS`.
    """
    parameters = check_parameters(**parameters)
    digest = hashlib.sha256(json.dumps(parameters).encode()).hexdigest()[:8]
    parameters["dataset"] = short_name(parameters["dataset"])
    form = "{dataset}_{architecture}_{likelihood}_z{latent_dim}_beta{beta:g}_seed{seed}_"
    return form.format(**parameters) + digest


def short_name(dataset):
    """Returns a data set as it is called in the names of files: `own_birds` of a user's own."""
    if not is_own(dataset):
        return dataset
    stem = re.sub(r"[^A-Za-z0-9]+", "-", Path(dataset).stem)[-30:]
    return f"own_{stem.strip('-')}"


def start_run(**parameters):
    """Makes the folder of a run and writes its `params.json`.

    An existing folder of the same parameters is used again and no longer counts as finished. If it
    was, the run starts anew; otherwise it may go on from its backup.

    Args:
        **parameters: every one of `PARAMETERS`.

    Returns:
        The folder, a `Path`.

    Raises:
        ValueError: if a parameter is missing, unknown or out of its range.
        OSError: if the folder cannot be written.
    """
    parameters = check_parameters(**parameters)
    folder = models_folder() / run_name(parameters)
    folder.mkdir(parents=True, exist_ok=True)
    finished = (folder / "metrics.json").exists()
    for name in ([BACKUP] if finished else []) + ["metrics.json", "failed.json"]:
        (folder / name).unlink(missing_ok=True)
    _write_json(folder / "params.json", parameters)
    return folder


def finish_run(folder, metrics):
    """Writes `metrics.json`, which makes the run count as finished, and removes its backup.

    Args:
        folder: what `start_run` returned.
        metrics: dict of numbers and texts. A measure that does not apply is left out.

    Raises:
        ValueError: if a number is not finite, or there is no measure. The run stays unfinished.
    """
    metrics = {name: getattr(value, "item", lambda v=value: v)() for name, value in metrics.items()}
    _check_metrics(metrics)
    _write_json(Path(folder) / "metrics.json", metrics)
    (Path(folder) / BACKUP).unlink(missing_ok=True)


def fail_run(parameters, reason, again=False):
    """Writes `failed.json`: why a run failed, and after how many epochs; not on a full disk.

    Args:
        parameters: dict of every one of `PARAMETERS`.
        reason: text.
        again: whether the next sweep tries the run again without being asked to.
    """
    folder = models_folder() / run_name(parameters)
    failure = {"reason": reason, "epochs": last_epoch(folder)[0], "again": again}
    with contextlib.suppress(OSError):
        _write_json(folder / "failed.json", failure)


def read_failure(parameters):
    """Returns the dict that `fail_run` wrote, or `None`."""
    path = models_folder() / run_name(parameters) / "failed.json"
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        failure = json.loads(path.read_text(encoding="utf-8"))
        return {name: failure[name] for name in ("reason", "epochs", "again")}


def is_finished(parameters):
    """Tells whether the run of these parameters has whole records."""
    with contextlib.suppress(OSError, ValueError):
        return bool(read_record(models_folder() / run_name(parameters)))
    return False


def read_record(folder):
    """Reads the records of a finished run.

    Args:
        folder: path of the run's folder.

    Returns:
        Dict of the run's name as `run`, its parameters, those of `BEYOND` included, and its
        measures.

    Raises:
        FileNotFoundError: if a record is missing.
        ValueError: if a record is damaged, or the parameters are not those of the folder's name.
    """
    folder = Path(folder)
    path = folder / "params.json"
    try:
        parameters = check_parameters(**json.loads(path.read_text(encoding="utf-8")))
        if run_name(parameters) != folder.name:
            raise ValueError(f"its parameters are those of {run_name(parameters)}")
        path = folder / "metrics.json"
        metrics = json.loads(path.read_text(encoding="utf-8"))
        _check_metrics(metrics)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return {"run": folder.name, **BEYOND, **parameters, **metrics}


def read_records(folder=None):
    """Reads the records of all finished runs.

    Damaged ones are named in a warning and left out: the next sweep trains these runs again.

    Args:
        folder: path of the folder of run folders, by default `models_folder()`.

    Returns:
        List of dicts as `read_record` gives them, in the order of the runs' names.
    """
    records = []
    for path in sorted(Path(folder or models_folder()).glob("*/metrics.json")):
        try:
            records.append(read_record(path.parent))
        except (OSError, ValueError) as error:
            logger.warning("left out of the table: %s", error)
    return records


def write_results():
    """Writes `results.csv`, a row for each finished run.

    Returns:
        `pandas.DataFrame` with a column for the run's name, each parameter and each measure, which
        is rounded to six digits: what `load_results` reads.
    """
    records = read_records()
    measured = (name for row in records for name in row)
    names = dict.fromkeys(["run", *ALL_PARAMETERS, *measured])
    table = pd.DataFrame(records, columns=list(names))
    measures = table.columns.difference(ALL_PARAMETERS)
    for name in table[measures].select_dtypes("float"):
        table[name] = table[name].map("{:.6g}".format).astype(float)
    models_folder().mkdir(parents=True, exist_ok=True)
    with atomic(models_folder() / RESULTS) as partial:
        table.to_csv(partial, index=False)
    return table


def load_results():
    """Reads `results.csv`; a damaged one is written again from the run folders.

    Returns:
        `pandas.DataFrame` as `write_results` writes it, in the order of the runs' names.

    Raises:
        FileNotFoundError: if there is no table yet.
    """
    path = models_folder() / RESULTS
    if not path.exists():
        raise FileNotFoundError(f"there is no {path} yet: `make sweep` trains models and writes it")
    try:
        if not path.read_bytes().endswith(b"\n"):
            raise ValueError("its last line is cut off")
        exact = {name: float for name, (kind, *_) in RANGES.items() if kind is float}
        table = pd.read_csv(path, converters=exact)
        parameters = table[[*ALL_PARAMETERS]].to_dict("records")
        if [run_name(row) for row in parameters] != [*table["run"]]:
            raise ValueError("its parameters are not those of the runs")
    except (ValueError, KeyError) as error:
        logger.warning("%s is written again: %s", path, error)
        return write_results()
    return table


def select(table, runs):
    """Returns the rows of a table that belong to the given runs, in their order.

    Args:
        table: `pandas.DataFrame` of `load_results`.
        runs: list of dicts of parameters, as `sweeps.declared_runs` gives them.

    Returns:
        `pandas.DataFrame` without the runs that are not finished.
    """
    table = table.set_index("run", drop=False)
    names = [run_name(parameters) for parameters in runs]
    return table.loc[[name for name in names if name in table.index]].reset_index(drop=True)


def read_arrays(run, file="arrays.npz"):
    """Reads the arrays of a run, a dict from name to array.

    Args:
        run: name of the run.
        file: `arrays.npz` or `pictures.npz`, see notebook 02.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged.
    """
    path = _run_folder(run) / file
    with open(path, "rb") as opened, _named(path), np.load(opened) as arrays:
        return dict(arrays)


def read_history(run):
    """Reads what a run's training recorded: a `pandas.DataFrame` with a row for each epoch.

    Args:
        run: name of the run.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged.
    """
    path = _run_folder(run) / "history.csv"
    content = path.read_bytes()
    with _named(path):
        if not content.endswith(b"\n"):
            raise ValueError("its last line is cut off")
        return pd.read_csv(io.BytesIO(content))


def read_pictures(rows, label, name):
    """Reads pictures of several runs, to be drawn one row below the other.

    Args:
        rows: `pandas.DataFrame` of `select`, of one data set.
        label: column whose values name the rows. Of runs with the same value the first counts.
        name: `reconstructions`, which come below the `original` images, or `samples`.

    Returns:
        Dict from label to uint8 images `(10, height, width, channels)`; empty where the runs have
        no pictures.
    """
    pictures = {}
    for _, row in rows.drop_duplicates(label).iterrows():
        try:
            arrays = read_arrays(row["run"], "pictures.npz")
        except FileNotFoundError:
            continue
        if name == "reconstructions":
            pictures.setdefault("original", arrays["originals"])
        value = row[label]
        is_text = isinstance(value, str)
        text = display_name(value) if is_text else f"{display_name(label)} {value:g}"
        pictures[text] = arrays[name][:10]
    return pictures


def last_epoch(folder):
    """Reads how far a run's training has come.

    Args:
        folder: path of the run's folder.

    Returns:
        Pair of the number of epochs in `history.csv`, which may be none, and the dict of numbers
        of the last of them.
    """
    try:
        *lines, _ = (Path(folder) / "history.csv").read_text(encoding="utf-8").split("\n")
        logs = {name: float(value) for name, value in list(csv.DictReader(lines))[-1].items()}
        return int(logs["epoch"]) + 1, logs
    except (OSError, ValueError, TypeError, LookupError):
        return 0, {}


@contextlib.contextmanager
def atomic(path):
    """Gives the path of a partial file that takes the place of `path` once it is whole.

    Args:
        path: path of the file to write. Whoever reads it meets the old file or the new one.
    """
    path = Path(path)
    partial = path.with_name(f".{os.getpid()}.{path.name}")  # the suffix says the format
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _default_folder():
    checkout = Path(__file__).resolve().parents[2]
    return (checkout if (checkout / "pyproject.toml").exists() else Path.cwd()) / "models"


@contextlib.contextmanager
def _named(path):
    """Names the damaged file in whatever error its reader raises, and the cure."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"{path} is damaged: {error}. Delete its folder: the next sweep trains the run again"
        ) from error


def _run_folder(run):
    if Path(run).name != run or run == "..":
        raise ValueError(f"`run` must be the name of a run's folder. Received: {run!r}")
    return models_folder() / run


def _check_metrics(metrics):
    if not isinstance(metrics, dict) or not metrics:
        raise ValueError(f"`metrics` must be a dict of measures. Received: {metrics!r}")
    largest = sys.float_info.max
    for name, value in metrics.items():
        if name == "run" or name in ALL_PARAMETERS:
            raise ValueError(f"`metrics` must not hold the parameter {name!r}")
        is_number = isinstance(value, int | float) and -largest <= value <= largest
        if not isinstance(value, str) and not is_number:
            raise ValueError(
                f"`{name}` must be a text or a finite number. Received: {value!r}. If training "
                f"diverged, try a lower `learning_rate`."
            )


def _write_json(path, content):
    with atomic(path) as partial:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
