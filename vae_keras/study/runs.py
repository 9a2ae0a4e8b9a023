"""The records of runs: a folder for each run, and a table with a row for each finished run.

A run's folder holds `params.json`, written first, and `metrics.json`, written last: a run is
finished once both are complete. `failed.json` says why a run failed.
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

    That is `$VAE_KERAS_MODELS` if set, or else `models/` in the checkout, or in the current folder
    outside a checkout.

    Raises:
        ValueError: if `$VAE_KERAS_MODELS` is a URL.
    """
    folder = os.environ.get("VAE_KERAS_MODELS") or str(_default_folder())
    if "://" in folder:
        raise ValueError(
            f"VAE_KERAS_MODELS must be a local or mounted folder. Received: {folder!r}. Mount it."
        )
    return Path(os.path.abspath(folder))


def images_folder():
    """Returns the folder for figures: beside the default models folder, or inside any other."""
    folder = models_folder()
    folder = (folder.parent if folder == _default_folder() else folder) / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def run_name(parameters):
    """Returns the name of a run's folder, a function of its parameters.

    The first part is for readers and is never parsed. The digest at the end covers all parameters.

    Args:
        parameters: dict of all `PARAMETERS`.
    """
    parameters = check_parameters(**parameters)
    digest = hashlib.sha256(json.dumps(parameters).encode()).hexdigest()[:8]
    parameters["dataset"] = short_name(parameters["dataset"])
    form = "{dataset}_{architecture}_{likelihood}_z{latent_dim}_beta{beta:g}_seed{seed}_"
    return form.format(**parameters) + digest


def short_name(dataset):
    """Returns a data set's name for use in file names, such as `own_birds` for own images."""
    if not is_own(dataset):
        return dataset
    stem = re.sub(r"[^A-Za-z0-9]+", "-", Path(dataset).stem)[-30:]
    return f"own_{stem.strip('-')}"


def start_run(**parameters):
    """Creates the folder of a run and writes its `params.json`.

    A folder with the same parameters is reused, and no longer counts as finished. A finished run
    starts over; an unfinished one keeps its backup, from which it can resume.

    Args:
        **parameters: all of `PARAMETERS`.

    Returns:
        The folder, a `Path`.

    Raises:
        ValueError: if a parameter is missing, unknown or out of range.
        OSError: if the folder cannot be written.
    """
    parameters = check_parameters(**parameters)
    folder = models_folder() / run_name(parameters)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "metrics.json").exists():
        (folder / BACKUP).unlink(missing_ok=True)
    for name in ("metrics.json", "failed.json"):
        (folder / name).unlink(missing_ok=True)
    write_json(folder / "params.json", parameters)
    return folder


def finish_run(folder, metrics):
    """Writes `metrics.json`, which marks the run as finished, and removes its backup.

    Args:
        folder: folder from `start_run`.
        metrics: dict of numbers and strings. Leave out measures that do not apply.

    Raises:
        ValueError: if a number is not finite, or `metrics` is empty. The run stays unfinished.
    """
    metrics = {
        name: value.item() if hasattr(value, "item") else value for name, value in metrics.items()
    }
    _check_metrics(metrics)
    write_json(Path(folder) / "metrics.json", metrics)
    (Path(folder) / BACKUP).unlink(missing_ok=True)


def fail_run(parameters, reason, again=False):
    """Writes `failed.json`: why and after how many epochs a run failed. Ignores a full disk.

    Args:
        parameters: dict of all `PARAMETERS`.
        reason: string.
        again: whether the next sweep retries the run even without `--retry-failed`.
    """
    folder = models_folder() / run_name(parameters)
    with contextlib.suppress(OSError):
        epochs, _ = last_epoch(folder)
        write_json(folder / "failed.json", {"reason": reason, "again": again, "epochs": epochs})


def print_path(write, *arguments):
    """Calls a function that writes a record, and prints the path that it returns.

    Returns:
        The exit code: 0, or 1 after printing an `OSError` or `ValueError` to stderr.
    """
    try:
        print(f"written: {write(*arguments)}")
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def read_failure(parameters):
    """Returns `reason` and `again` of a failed run, a dict, or `None` without a readable record."""
    path = models_folder() / run_name(parameters) / "failed.json"
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        failure = json.loads(path.read_text(encoding="utf-8"))
        return {name: failure[name] for name in ("reason", "again")}


def is_finished(parameters):
    """Returns whether the run with these parameters has complete records."""
    with contextlib.suppress(OSError, ValueError):
        return bool(read_record(models_folder() / run_name(parameters)))
    return False


def read_record(folder):
    """Reads the records of a finished run.

    Args:
        folder: path of the run's folder.

    Returns:
        Dict with the run's name as `run`, all parameters, including those of `BEYOND`, and the
        measures.

    Raises:
        FileNotFoundError: if a record is missing.
        ValueError: if a record is damaged, or the parameters do not match the folder's name.
    """
    folder = Path(folder)
    path = folder / "params.json"
    try:
        parameters = check_parameters(**json.loads(path.read_text(encoding="utf-8")))
        if run_name(parameters) != folder.name:
            raise ValueError(f"its parameters belong to {run_name(parameters)}")
        path = folder / "metrics.json"
        metrics = json.loads(path.read_text(encoding="utf-8"))
        _check_metrics(metrics)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return {"run": folder.name, **BEYOND, **parameters, **metrics}


def read_records(folder=None):
    """Reads the records of all finished runs.

    A damaged record is skipped with a warning; the next sweep trains its run again.

    Args:
        folder: path of the folder that holds the run folders, by default `models_folder()`.

    Returns:
        List of dicts as returned by `read_record`, sorted by run name.
    """
    records = []
    for path in sorted(Path(folder or models_folder()).glob("*/metrics.json")):
        try:
            records.append(read_record(path.parent))
        except (OSError, ValueError) as error:
            logger.warning("left out of the table: %s", error)
    return records


def write_results():
    """Writes `results.csv`, with a row for each finished run.

    Returns:
        `pandas.DataFrame` with a column for the run's name, each parameter and each measure,
        rounded to six digits; `load_results` returns the same table.
    """
    records = read_records()
    found = (name for record in records for name in record)
    names = dict.fromkeys(["run", *ALL_PARAMETERS, *found])
    table = pd.DataFrame(records, columns=list(names))
    measures = table.columns.difference(ALL_PARAMETERS)
    for name in table[measures].select_dtypes("float"):
        table[name] = table[name].map("{:.6g}".format).astype(float)
    models_folder().mkdir(parents=True, exist_ok=True)
    with atomic(models_folder() / RESULTS) as partial:
        table.to_csv(partial, index=False)
    return table


def load_results():
    """Reads `results.csv`, and rewrites it from the run folders if it is damaged.

    Returns:
        `pandas.DataFrame` as returned by `write_results`, sorted by run name.

    Raises:
        FileNotFoundError: if the table does not exist yet.
    """
    path = models_folder() / RESULTS
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist yet. Run `make sweep` to create it")
    try:
        if not path.read_bytes().endswith(b"\n"):
            raise ValueError("its last line is incomplete")
        exact = {name: float for name, (kind, *_) in RANGES.items() if kind is float}
        table = pd.read_csv(path, converters=exact)
        parameters = table[[*ALL_PARAMETERS]].to_dict("records")
        if [run_name(row) for row in parameters] != [*table["run"]]:
            raise ValueError("its parameters do not match the names of its runs")
    except (ValueError, KeyError) as error:
        logger.warning("%s is rewritten: %s", path, error)
        return write_results()
    return table


def select(table, runs):
    """Returns the table rows of the given runs, in the order of the runs.

    Args:
        table: `pandas.DataFrame` from `load_results`.
        runs: list of dicts of parameters, as returned by `sweeps.declared_runs`.

    Returns:
        `pandas.DataFrame` without unfinished runs.
    """
    table = table.set_index("run", drop=False)
    names = [run_name(parameters) for parameters in runs]
    return table.loc[[name for name in names if name in table.index]].reset_index(drop=True)


def read_arrays(run, file="arrays.npz"):
    """Reads the arrays of a run into a dict from name to array.

    Args:
        run: name of the run.
        file: `arrays.npz` or `pictures.npz`, see notebook 02.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it is damaged.
    """
    path = _run_folder(run) / file
    with open(path, "rb") as opened, _named(path), np.load(opened) as arrays:
        return dict(arrays)


def read_history(run):
    """Reads a run's `history.csv` into a `pandas.DataFrame` with a row for each epoch.

    Args:
        run: name of the run.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it is damaged.
    """
    path = _run_folder(run) / "history.csv"
    content = path.read_bytes()
    with _named(path):
        if not content.endswith(b"\n"):
            raise ValueError("its last line is incomplete")
        return pd.read_csv(io.BytesIO(content))


def read_pictures(rows, label, name):
    """Reads pictures of several runs, to be drawn as one row per run.

    Args:
        rows: `pandas.DataFrame` from `select`, of one data set.
        label: column that labels the rows. Only the first run with each value is used.
        name: `reconstructions`, which follow the `original` images, or `samples`.

    Returns:
        Dict from label to uint8 images `(10, height, width, channels)`; empty if the runs have no
        pictures.
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
        if isinstance(value, str):
            text = display_name(value)
        else:
            text = f"{display_name(label)} {value:g}"
        pictures[text] = arrays[name][:10]
    return pictures


def last_epoch(folder):
    """Reads the progress of a run's training from its `history.csv`.

    Args:
        folder: path of the run's folder.

    Returns:
        Pair of the number of complete epochs and the dict of the last epoch's numbers; `(0, {})` if
        there are none.
    """
    try:
        *lines, _ = (Path(folder) / "history.csv").read_text(encoding="utf-8").split("\n")
        logs = {name: float(value) for name, value in list(csv.DictReader(lines))[-1].items()}
        return int(logs["epoch"]) + 1, logs
    except (OSError, ValueError, TypeError, LookupError):
        return 0, {}


@contextlib.contextmanager
def atomic(path):
    """Yields the path of a temporary file, which replaces `path` once it is complete.

    Args:
        path: path of the file to write. Readers see either the old file or the new one.
    """
    path = Path(path)
    partial = path.with_name(f".{os.getpid()}.{path.name}")  # keeps the suffix, for the format
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
    """Turns any error of a reader into one that names the damaged file and the cure."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"{path} is damaged: {error}. Delete its folder; the next sweep trains the run again"
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
            raise ValueError(f"`metrics` must not contain the parameter {name!r}")
        is_finite = isinstance(value, int | float) and -largest <= value <= largest
        if not isinstance(value, str) and not is_finite:
            raise ValueError(
                f"`{name}` must be a string or a finite number. Received: {value!r}. If training "
                f"diverged, try a lower `learning_rate`."
            )


def write_json(path, content):
    """Writes JSON to a file atomically.

    Args:
        path: path of the file.
        content: dict of what JSON can hold; its numbers must be finite.
    """
    with atomic(path) as partial:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
