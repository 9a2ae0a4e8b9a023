"""Executes the runs of a sweep, each as a notebook in separate processes."""

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from tqdm import tqdm

from vae_keras.study import runs, sweeps
from vae_keras.study.execute_one import BUSY, FAILED, FINISHED
from vae_keras.study.parameters import BEYOND

MEMORY_PER_JOB = 3e9  # bytes
START_SECONDS = 15  # that a run needs besides training and evaluation
TIMED_OUT = 124  # exit status of a run that reached its time limit, as in `timeout`
POLL_SECONDS = 0.5  # between checks on a run
STOP_SECONDS = 5  # for runs to stop
MAX_LINES = 16  # in the display
LOG_SECONDS = 600  # between progress lines in a log
# Runs that agree in these parameters take about the same time per epoch.
ALIKE = ("dataset", "image_size", "architecture", "train_fraction", "evaluation_fraction", *BEYOND)
_thread = threading.local()


def default_jobs():
    """Returns the default number of jobs: one per GPU, or else one per core as memory allows."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return len(visible_gpus()) or max(1, min(num_cores(), int(memory // MEMORY_PER_JOB)))


def num_cores():
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def visible_gpus():
    """Lists the GPUs that this process may use, as named in `CUDA_VISIBLE_DEVICES`."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [gpu for gpu in visible.split(",") if gpu not in ("", "-1", "NoDevFiles")]
    if not shutil.which("nvidia-smi"):
        return []
    listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    gpus = [line for line in listing.stdout.splitlines() if line.startswith("GPU ")]
    return [str(number) for number in range(len(gpus))] if listing.returncode == 0 else []


def shares(jobs):
    """Divides the machine among jobs: an equal number of threads, and a GPU for each if possible.

    The number of threads depends only on the number of jobs, because it affects the last digits of
    a training. `VAE_KERAS_THREADS` overrides it.

    Args:
        jobs: number of runs at a time.

    Returns:
        List of dicts of environment variables, one for each job.
    """
    threads = os.environ.get("VAE_KERAS_THREADS") or str(max(1, num_cores() // jobs))
    share, gpus = {"VAE_KERAS_THREADS": threads, "OMP_NUM_THREADS": threads}, visible_gpus()
    if not gpus:
        return [share] * jobs
    return [share | {"CUDA_VISIBLE_DEVICES": gpus[job % len(gpus)]} for job in range(jobs)]


def estimate(todo, records):
    """Estimates the duration of runs, one after the other, from similar finished runs.

    Args:
        todo: list of dicts of parameters.
        records: list of dicts, as returned by `runs.read_records`.

    Returns:
        Pair of the seconds and the number of runs that they cover: those with a similar finished
        run.
    """
    known = {}
    for record in records:
        if "train_seconds" in record:
            kind = _kind(record)
            epoch_seconds = record["train_seconds"] / record["epochs"]
            known.setdefault(kind, []).append((epoch_seconds, record.get("evaluation_seconds", 0)))
    seconds = []
    for run in todo:
        similar = sorted(known.get(_kind(run), []))
        if similar:
            epoch_seconds, evaluation_seconds = similar[len(similar) // 2]  # the median
            seconds.append(run["epochs"] * epoch_seconds + evaluation_seconds + START_SECONDS)
    return sum(seconds), len(seconds)


def _kind(run):
    return tuple((BEYOND | run)[name] for name in ALIKE)


def local_executor(jobs):
    """Makes an executor for this machine, which gives each job its share of it.

    Args:
        jobs: number of runs at a time.

    Returns:
        `concurrent.futures.ThreadPoolExecutor`; each thread waits for the process of one run.
    """
    free = queue.SimpleQueue()
    for share in shares(jobs):
        free.put(share)
    return ThreadPoolExecutor(jobs, initializer=lambda: setattr(_thread, "share", free.get()))


def execute_all(todo, executor, force=False, time_limit=None):
    """Executes the notebooks of runs on an executor, and shows the progress.

    All runs have stopped when this function returns or raises.

    Args:
        todo: list of dicts of parameters, as returned by `check_parameters`.
        executor: any `concurrent.futures.Executor`. Its workers must see the same checkout and the
            same `runs.models_folder()`.
        force: whether to execute finished runs again.
        time_limit: seconds after which a run is stopped, or `None`.

    Returns:
        Pair of a dict from the names of failed runs to the reasons, and a list of the names of runs
        that another sweep is executing.
    """
    failures, busy, waiting, done = {}, [], {}, queue.SimpleQueue()
    folder = runs.models_folder()
    folder.mkdir(parents=True, exist_ok=True)
    handle, token = tempfile.mkstemp(dir=folder, prefix=".sweep_")
    os.close(handle)
    progress = _Progress(todo)
    try:
        options = (str(folder), token, force, time_limit)
        for run in todo:
            notebook = sweeps.notebook(run)
            # The defaults of notebook 08 are an example, so all of its parameters are set.
            values = BEYOND | run if notebook == sweeps.NOTEBOOK_BEYOND else run
            future = executor.submit(execute_run, values, str(notebook), *options)
            waiting[future] = run
            future.add_done_callback(done.put)
        while waiting:
            with contextlib.suppress(queue.Empty):
                future = done.get(timeout=1)
                run = waiting.pop(future)
                status, reason, seconds = _outcome(future, run)
                if status == BUSY:
                    busy.append(runs.run_name(run))
                elif reason:
                    failures[runs.run_name(run)] = reason
                progress.end(run, status, reason, seconds, waiting.values())
            progress.show(waiting.values())
    finally:
        os.unlink(token)  # tells runs that have started to stop
        for future in waiting:
            future.cancel()
        wait(waiting, timeout=STOP_SECONDS)
        progress.close()
    return failures, busy


def execute_run(parameters, notebook, folder, token, force, time_limit):
    """Executes a notebook for one run in separate processes, and waits for them to end.

    Args:
        parameters: dict of all `PARAMETERS`.
        notebook: path of the notebook.
        folder: path of the folder that holds the run folders.
        token: path of a file; the run is stopped once this file is deleted.
        force: whether to execute a finished run again.
        time_limit: seconds after which the run is stopped, or `None`.

    Returns:
        Triple of the exit status of `execute_one` or `TIMED_OUT`, the output, and the duration in
        seconds.
    """
    start, late = time.monotonic(), False
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        paths = [Path(scratch) / name for name in ("stdout.txt", "stderr.txt")]
        command = [sys.executable, "-m", "vae_keras.study.execute_one", notebook]
        environment = {
            **os.environ,
            **getattr(_thread, "share", {}),
            "VAE_KERAS_MODELS": folder,
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "TMPDIR": scratch,  # collects what killed kernels leave behind
            "JUPYTER_RUNTIME_DIR": scratch,
        }
        with (
            open(paths[0], "wb") as stdout,
            open(paths[1], "wb") as stderr,
            subprocess.Popen(
                [*command, json.dumps(parameters), json.dumps(force)],
                env=environment,
                stdin=subprocess.PIPE,  # closes when this process ends, which ends the run
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,  # Ctrl-C reaches only the sweep, which stops its runs
            ) as process,
        ):
            while process.poll() is None:
                late = bool(time_limit) and time.monotonic() > start + time_limit
                if late or not os.path.exists(token):
                    process.kill()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_SECONDS)
        reason, messages = (path.read_text("utf-8", "replace").strip() for path in paths)
    status = TIMED_OUT if late and process.returncode < 0 else process.returncode
    return status, reason or messages[-2000:], time.monotonic() - start


def _outcome(future, parameters):
    """Returns the exit status, the reason of a failure or `None`, and the seconds of a run."""
    try:
        status, reason, seconds = future.result()
    except Exception as error:  # for example, workers that keep dying, or a full disk
        status, seconds = None, 0.0
        reason = f"could not be executed: {type(error).__name__}: {error}"
    if status in (FINISHED, BUSY):
        return status, None, seconds
    if status == FAILED:  # `failed.json` is already written
        return status, reason, seconds
    if status == TIMED_OUT:
        reason = f"stopped after the time limit of {duration(seconds)}"
    elif status is not None and status < 0:
        reason = f"killed by {signal.Signals(-status).name}"
    reason = reason or f"exited with status {status}"
    runs.fail_run(parameters, reason, again=status != TIMED_OUT)
    return status, reason, seconds


class _Progress:
    """Shows the progress: a bar and a line per job in a terminal, a line per run in a log."""

    def __init__(self, todo):
        self.num_runs, self.num_ended, self.epochs_ended = len(todo), 0, 0
        self.resumed = {runs.run_name(run): _resumed_epochs(run) for run in todo}
        self.total = sum(map(self.work, todo))
        self.started, self.shown, self.lines = time.time(), time.monotonic(), []
        self.options = {"disable": not sys.stderr.isatty(), "dynamic_ncols": True, "leave": False}
        self.bar = tqdm(total=self.total, bar_format="{desc} |{bar}|", **self.options)

    def end(self, parameters, status, failure, seconds, waiting):
        self.num_ended += 1
        self.epochs_ended += self.work(parameters)
        text = f"[{self.num_ended}/{self.num_runs}] {sweeps.title(parameters)}"
        if failure:
            text = f"FAILED {text}\n{failure}"
        elif status == BUSY:
            text += ": skipped, another sweep is running it"
        else:
            text += f": {duration(seconds)}{self.left(self.active(waiting))}"
        self.bar.write(text, file=sys.stdout)
        sys.stdout.flush()

    def show(self, waiting):
        """Redraws the bar and lines, at most once a second; in a log, it prints a line at times."""
        if time.monotonic() < self.shown + (LOG_SECONDS if self.bar.disable else 1):
            return
        active = self.active(waiting)
        left = self.left(active)
        self.shown = time.monotonic()
        if self.bar.disable:  # a log
            running = [f"{sweeps.title(run)}: {epochs} epochs" for run, epochs, _ in active]
            print(f"running: {'; '.join(running) or 'nothing yet'}{left}", flush=True)
            return
        self.bar.n = self.epochs_done(active)
        self.bar.set_description_str(f"{self.num_ended}/{self.num_runs} runs{left}")
        while len(self.lines) < min(len(active), MAX_LINES):
            place = len(self.lines) + 1
            self.lines.append(tqdm(position=place, bar_format="{desc}", **self.options))
        for place, line in enumerate(self.lines):
            line.set_description_str(_status(*active[place]) if place < len(active) else "")

    def active(self, waiting):
        """Lists the runs that have started: their parameters, number of epochs and last logs."""
        found, missed = [], 0
        for parameters in waiting:  # roughly in the order in which they start
            folder = runs.models_folder() / runs.run_name(parameters)
            if _is_newer(folder / "params.json", self.started):
                has_logs = _is_newer(folder / "history.csv", self.started)
                found.append((parameters, *(runs.last_epoch(folder) if has_logs else (0, {}))))
            else:
                missed += 1
            if missed > MAX_LINES:
                break
        return found

    def work(self, parameters):
        """Returns the epochs that a run still needs; an evaluation counts as an epoch."""
        return parameters["epochs"] + 1 - self.resumed[runs.run_name(parameters)]

    def epochs_done(self, active):
        """Returns the epochs trained by this sweep, without those before a run was resumed."""
        return self.epochs_ended + sum(
            max(0, epochs - self.resumed[runs.run_name(run)]) for run, epochs, _ in active
        )

    def left(self, active):
        epochs = self.epochs_done(active)
        if not 0 < epochs < self.total:
            return ""
        seconds = (time.time() - self.started) / epochs * (self.total - epochs)
        return f", {duration(seconds)} left"

    def close(self):
        for line in [*self.lines, self.bar]:
            line.close()


def _status(parameters, epochs, logs):
    text = f"{epochs}/{parameters['epochs']} epochs"
    if "loss" in logs:
        text += f", loss {logs['loss']:.1f}"
    if "images_per_second" in logs:
        text += f", {logs['images_per_second']:,.0f} images/s"
    return f"{text}: {sweeps.title(parameters)}"


def _resumed_epochs(parameters):
    """Returns the number of epochs that a run was trained for before it was interrupted."""
    folder = runs.models_folder() / runs.run_name(parameters)
    return runs.last_epoch(folder)[0] if (folder / runs.BACKUP).exists() else 0


def _is_newer(path, seconds):
    try:
        return path.stat().st_mtime > seconds
    except OSError:
        return False


def duration(seconds):
    """Returns a duration as text, such as "45 s", "12 min" or "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
