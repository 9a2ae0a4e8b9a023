"""Notebooks executed by papermill, each in a process of its own: the runs of a sweep."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import partial
from queue import SimpleQueue

import papermill
import yaml
from tqdm import tqdm

from vae_keras import runs

MEMORY_PER_JOB = 3e9  # bytes
# Kernels that start at the same time may pick the same port: one of them dies, before it has run
# anything, and is started again.
KERNEL_STARTS = 3
KERNEL_NOT_STARTED = "Kernel died before replying to kernel_info"


class Slots:
    """Shares the machine out among parallel runs: its GPUs one by one, or else its cores evenly.

    Args:
        jobs: number of runs at a time.
    """

    def __init__(self, jobs):
        gpus = visible_gpus()
        self.threads = max(1, num_cores() // jobs)
        self.queue = SimpleQueue()
        for job in range(jobs):
            self.queue.put(gpus[job % len(gpus)] if gpus else None)

    @contextlib.contextmanager
    def environment(self):
        """Waits for a free slot and gives the environment variables of its process."""
        gpu = self.queue.get()
        try:
            if gpu is not None:
                yield {"CUDA_VISIBLE_DEVICES": gpu}
            else:
                threads = str(self.threads)
                yield {"VAE_KERAS_THREADS": threads, "OMP_NUM_THREADS": threads}
        finally:
            self.queue.put(gpu)


def default_jobs():
    """Returns one job for each GPU, or else for each core, as far as the memory reaches."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return len(visible_gpus()) or max(1, min(num_cores(), int(memory // MEMORY_PER_JOB)))


def num_cores():
    """Returns the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def visible_gpus():
    """Lists the GPUs this process may use, by what `CUDA_VISIBLE_DEVICES` calls them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [gpu for gpu in visible.split(",") if gpu and gpu != "-1"]
    if not shutil.which("nvidia-smi"):
        return []
    listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    gpus = [line for line in listing.stdout.splitlines() if line.startswith("GPU ")]
    return [str(number) for number in range(len(gpus))] if listing.returncode == 0 else []


def check_notebook(notebook, names):
    """Compares the parameters that a sweep sets with those a notebook has.

    Raises:
        FileNotFoundError: if there is no such notebook.
        ValueError: if a parameter is in one of the two only.
    """
    if not notebook.exists():
        raise FileNotFoundError(
            f"there is no {notebook}: sweeps run from a checkout of the repository"
        )
    found = set(papermill.inspect_notebook(str(notebook)))
    for name in sorted(found ^ set(names)):
        places = (notebook.name, "the sweep") if name in found else ("the sweep", notebook.name)
        raise ValueError(f"the parameter {name!r} of {places[0]} is unknown to {places[1]}")


def execute_all(notebook, todo, jobs):
    """Executes a notebook for runs in parallel and shows the progress.

    Args:
        notebook: path of the notebook.
        todo: list of dicts of parameters.
        jobs: number of runs at a time.

    Returns:
        Dict from the name of each run that failed to what went wrong.
    """
    return in_parallel({runs.run_name(run): partial(execute, notebook, run) for run in todo}, jobs)


def in_parallel(tasks, jobs, unit="run"):
    """Does tasks in parallel and shows the progress.

    Args:
        tasks: dict from name to a function of the `Slots` and of the dict in which the task's
            process stands under its name as long as it runs; it returns what went wrong, or `None`.
        jobs: number of tasks at a time.
        unit: what a task is called.

    Returns:
        Dict from the name of each task that failed to what went wrong.
    """
    slots = Slots(jobs)
    failures, in_hand = {}, {}
    watched = sys.stderr.isatty()  # a log gets a line for each finished run, no ticking clock
    with (
        tqdm(total=len(tasks), unit=unit, dynamic_ncols=True) as bar,
        ThreadPoolExecutor(jobs) as pool,
    ):
        futures = {pool.submit(task, slots, in_hand): name for name, task in tasks.items()}
        try:
            waiting = set(futures)
            while waiting:
                done, waiting = wait(waiting, timeout=1, return_when=FIRST_COMPLETED)
                for future in done:
                    name = futures[future]
                    if future.result():
                        failures[name] = future.result()
                        bar.write(f"FAILED {name}\n{failures[name]}\n")
                    bar.update()
                bar.set_postfix_str(", ".join(sorted(in_hand)), refresh=watched or bool(done))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(in_hand.values()):
                process.terminate()
            raise
    return failures


def execute(notebook, parameters, slots, in_hand):
    """Executes a notebook for one run, unless another sweep has it in hand.

    Args:
        notebook: path of the notebook.
        parameters: dict of the run's parameters.
        slots: `Slots` of this sweep.
        in_hand: dict in which the process stands under the run's name as long as it runs.

    Returns:
        What went wrong, or `None`.
    """
    name = runs.run_name(parameters)
    folder = runs.models_folder() / name
    folder.mkdir(parents=True, exist_ok=True)
    with slots.environment() as variables, _lock(folder) as free:
        if not free:
            return "another sweep has this run in hand"
        output = folder / notebook.name
        error = run_notebook(name, notebook, output, parameters, variables, in_hand)
    if error or runs.is_finished(parameters):
        return error
    return "the notebook wrote no metrics.json"


def run_notebook(name, notebook, output, parameters, variables, in_hand):
    """Executes a notebook in a process of its own.

    Args:
        name: under which the process stands in `in_hand` as long as it runs.
        notebook: path of the notebook.
        output: path of the executed copy.
        parameters: dict of values for the notebook's parameters cell.
        variables: dict of environment variables for the process.
        in_hand: dict of processes.

    Returns:
        What went wrong, or `None`.
    """
    command = [sys.executable, "-m", "papermill", str(notebook), str(output)]
    command += ["--no-progress-bar", "--kernel", "python3"]
    command += ["--parameters_yaml", yaml.safe_dump(parameters)]
    environment = {**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1", **variables}
    for _ in range(KERNEL_STARTS):
        output.unlink(missing_ok=True)
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        in_hand[name] = process
        _, messages = process.communicate()
        if KERNEL_NOT_STARTED not in messages:
            break
    del in_hand[name]
    return _cell_error(output) or messages[-2000:] if process.returncode else None


def _cell_error(notebook):
    """Returns the failed cell and its error as an executed notebook shows them, if it does."""
    if not notebook.exists():
        return None
    for cell in json.loads(notebook.read_text())["cells"]:
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                source = "".join(cell["source"]).strip()
                error = f"{output['ename']}: {output['evalue']}"
                return f"cell [{cell['execution_count']}] of {notebook}:\n{source}\n{error}"
    return None


@contextlib.contextmanager
def _lock(folder):
    """Yields whether this process has the run for itself; the lock ends with the process."""
    import fcntl  # not on Windows, where the rest of the package can be imported

    with open(folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
