"""The runs of a sweep, several at a time, each a notebook in processes of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

from vae_keras.study import runs, sweeps
from vae_keras.study.execute_one import BUSY, FAILED, FINISHED

MEMORY_PER_JOB = 3e9  # bytes
START_SECONDS = 15  # what a run takes besides training and evaluation
ALIKE = ("dataset", "image_size", "architecture", "train_fraction", "evaluation_fraction")


def default_jobs():
    """Returns one job for each GPU, or else for each core, as far as the memory suffices."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return len(visible_gpus()) or max(1, min(num_cores(), int(memory // MEMORY_PER_JOB)))


def num_cores():
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def visible_gpus():
    """Lists the GPUs that this process may use, by their names in `CUDA_VISIBLE_DEVICES`."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [gpu for gpu in visible.split(",") if gpu and gpu != "-1"]
    if not shutil.which("nvidia-smi"):
        return []
    listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    gpus = [line for line in listing.stdout.splitlines() if line.startswith("GPU ")]
    return [str(number) for number in range(len(gpus))] if listing.returncode == 0 else []


def shares(jobs):
    """Shares the machine out: a GPU for each job, or else the same number of threads.

    The threads depend on the number of jobs alone, since a training's last digits depend on them.
    `VAE_KERAS_THREADS` overrides them.

    Args:
        jobs: number of runs at a time.

    Returns:
        List of the environment variables of each job.
    """
    gpus = visible_gpus()
    if gpus:
        return [{"CUDA_VISIBLE_DEVICES": gpus[job % len(gpus)]} for job in range(jobs)]
    threads = os.environ.get("VAE_KERAS_THREADS") or str(max(1, num_cores() // jobs))
    return [{"VAE_KERAS_THREADS": threads, "OMP_NUM_THREADS": threads}] * jobs


def estimate(todo, records):
    """Estimates how long runs take, one after the other, from finished runs like them.

    Args:
        todo: list of dicts of parameters.
        records: list of dicts, as `runs.read_records` gives them.

    Returns:
        Pair of the seconds and of the number of runs that they cover: those that have a like.
    """
    known = {}
    for record in records:
        if "train_seconds" in record:
            epoch, evaluation = record["train_seconds"] / record["epochs"], "evaluation_seconds"
            like = tuple(record[name] for name in ALIKE)
            known.setdefault(like, []).append((epoch, record.get(evaluation, 0)))
    costs = [(run["epochs"], sorted(known.get(tuple(run[n] for n in ALIKE), []))) for run in todo]
    medians = [(epochs, found[len(found) // 2]) for epochs, found in costs if found]
    seconds = [epochs * epoch + rest + START_SECONDS for epochs, (epoch, rest) in medians]
    return sum(seconds), len(seconds)


def execute_all(notebook, todo, jobs, force=False, time_limit=None):
    """Executes a notebook for runs, several at a time, and shows the progress.

    All processes have ended when it returns or raises.

    Args:
        notebook: path of the notebook.
        todo: list of dicts of parameters.
        jobs: number of runs at a time.
        force: whether finished runs are executed again.
        time_limit: seconds after which a run is stopped, or `None`.

    Returns:
        Pair of a dict from the name of each run that failed to the reason, and of the list of the
        names of runs that another sweep executes.
    """
    free, waiting, active = shares(jobs), list(todo), []
    failures, busy = {}, []
    progress = _Progress(todo, jobs)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            while waiting or active:
                while waiting and free:
                    active.append(_Job(notebook, waiting.pop(0), free.pop(0), scratch, force))
                time.sleep(0.2)
                for job in [job for job in active if job.has_ended(time_limit)]:
                    active.remove(job)
                    free.append(job.share)
                    if job.status == BUSY:
                        busy.append(job.name)
                    elif job.status != FINISHED:
                        failures[job.name] = job.reason()
                    progress.end(job, failures.get(job.name), active)
                progress.show(active)
        finally:
            for job in active:
                job.stop()
            progress.close()
    return failures, busy


class _Job:
    """The process of one run."""

    def __init__(self, notebook, parameters, share, scratch, force):
        self.parameters, self.share = parameters, share
        self.name = runs.run_name(parameters)
        self.messages = Path(scratch) / f"{self.name}.txt"
        self.started, self.status, self.timed_out = time.time(), None, None
        command = [sys.executable, "-m", "vae_keras.study.execute_one", str(notebook)]
        environment = {**os.environ, **share, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        with open(self.messages, "w", encoding="utf-8") as messages:
            self.process = subprocess.Popen(
                [*command, json.dumps(parameters), json.dumps(force)],
                env={**environment, "TMPDIR": scratch},  # for what killed kernels leave behind
                stdin=subprocess.PIPE,  # its end tells the process that this one is gone
                stdout=messages,
                stderr=messages,
                start_new_session=True,  # Ctrl-C is for the sweep, which then stops its jobs
            )

    def progress(self):
        """Returns the number of epochs of this run so far, and the logs of the last of them."""
        folder = runs.models_folder() / self.name
        try:
            earlier = (folder / "history.csv").stat().st_mtime < self.started
        except OSError:
            return 0, {}
        return (0, {}) if earlier else runs.last_epoch(folder)

    def has_ended(self, time_limit):
        if time_limit and time.time() > self.started + time_limit and self.process.poll() is None:
            self.stop()
            self.timed_out = f"stopped after the time limit of {duration(time_limit)}"
        self.status = self.process.poll()
        if self.status is not None:
            self.process.stdin.close()
        return self.status is not None

    def stop(self):
        self.process.kill()
        self.process.wait()

    def reason(self):
        """Returns why the run failed."""
        if self.status == FAILED and (failure := runs.read_failure(self.parameters)):
            return failure["reason"]
        reason = self.timed_out
        if not reason and self.status < 0:
            reason = f"killed by {signal.Signals(-self.status).name}"
        if not reason:
            messages = self.messages.read_text(encoding="utf-8", errors="replace").strip()
            reason = messages[-2000:] or f"ended with the exit status {self.status}"
        runs.fail_run(self.parameters, reason, again=not self.timed_out)
        return reason


class _Progress:
    """In a terminal a bar over all epochs and a line for each job; in a log a line for each run."""

    def __init__(self, todo, jobs):
        self.num_runs, self.num_ended, self.epochs_ended = len(todo), 0, 0
        self.total = sum(run["epochs"] + 1 for run in todo)  # an evaluation counts as an epoch
        self.started = self.shown = time.monotonic()
        options = {"disable": not sys.stderr.isatty(), "dynamic_ncols": True, "leave": False}
        self.bar = tqdm(total=self.total, bar_format="{desc} |{bar}|", **options)
        self.lines = [
            tqdm(position=place + 1, bar_format="{desc}", **options)
            for place in range(min(jobs, len(todo)))
        ]

    def end(self, job, failure, active):
        self.num_ended += 1
        self.epochs_ended += job.parameters["epochs"] + 1
        text = f"[{self.num_ended}/{self.num_runs}] {sweeps.title(job.parameters)}"
        if failure:
            text = f"FAILED {text}\n{failure}"
        elif job.status == BUSY:
            text += ": another sweep executes it"
        else:
            text += f": {duration(time.time() - job.started)}{self.left(active)}"
        self.bar.write(text, file=sys.stdout)
        sys.stdout.flush()

    def show(self, active):
        """Draws bar and lines anew, at most once a second."""
        if self.bar.disable or time.monotonic() < self.shown + 1:
            return
        left = self.left(active)
        self.shown, self.bar.n = time.monotonic(), self.epochs(active)
        self.bar.set_description_str(f"{self.num_ended}/{self.num_runs} runs{left}")
        for place, line in enumerate(self.lines):
            text = ""
            if place < len(active):
                parameters, (epochs, logs) = active[place].parameters, active[place].progress()
                text = f"{epochs}/{parameters['epochs']} epochs"
                text += f", loss {logs['loss']:.1f}" if "loss" in logs else ""
                speed = logs.get("images_per_second")
                text += f", {speed:,.0f} images/s" if speed else ""
                text += f": {sweeps.title(parameters)}"
            line.set_description_str(text)

    def epochs(self, active):
        return self.epochs_ended + sum(job.progress()[0] for job in active)

    def left(self, active):
        epochs = self.epochs(active)
        if not 0 < epochs < self.total:
            return ""
        seconds = (time.monotonic() - self.started) / epochs * (self.total - epochs)
        return f", {duration(seconds)} left"

    def close(self):
        for line in [*self.lines, self.bar]:
            line.close()


def duration(seconds):
    """Returns a time as text: "45 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
