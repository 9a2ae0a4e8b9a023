"""`python -m vae_keras.study` executes sweeps, writes the report and lists the sweeps."""

import argparse
import contextlib
import os
import shlex
import signal
import subprocess
import sys

import papermill

from vae_keras.data import load
from vae_keras.data.catalogue import DATASETS, is_own
from vae_keras.study import execute, runs, sweeps
from vae_keras.study.parameters import ALL_PARAMETERS, BEYOND, PARAMETERS

CONNECT_SECONDS = 10  # to reach a scheduler
MEASURES = ["elbo", "reconstruction_loss", "kl_divergence", "psnr", "ssim", "used_units"]


def main(arguments=None):
    """Runs the command.

    Args:
        arguments: list of strings, by default those of the command line.

    Returns:
        The exit status: 0, 1 if a run failed, 2 after any other error, or 130 after Ctrl-C.
    """
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda number, _: sys.exit(128 + number))
    options = _parser().parse_args(arguments)
    try:
        status = options.command(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _parser():
    parser = argparse.ArgumentParser(prog="python -m vae_keras.study", description=__doc__)
    commands = parser.add_subparsers(title="commands", required=True)
    sweep = commands.add_parser("sweep", help="execute the unfinished runs of a sweep")
    sweep.set_defaults(command=_sweep)
    add = sweep.add_argument
    add("sweep", nargs="?", default="quick", help=f"{', '.join(sweeps.SWEEPS)} (default: quick)")
    add("--budget", default="quick", help=f"{', '.join(sweeps.BUDGETS)} (default: quick)")
    choices = ("auto", "real", "embedded")
    help = "embedded images need no network; auto uses them if the real ones are not available "
    help += "(default: auto)"
    add("--data", default="auto", choices=choices, help=help)
    add("--dataset", help="data set for all runs, such as mnist or folder:/path/to/images")
    add("--jobs", type=int, help="runs at a time (default: one per GPU, or else per core)")
    help = "execute the runs on the workers of a Dask scheduler, such as tcp://host:8786"
    add("--cluster", metavar="ADDRESS", help=help)
    add("--force", action="store_true", help="execute finished runs again")
    add("--retry-failed", action="store_true", help="execute failed runs again")
    add("--time-limit", type=float, metavar="HOURS", help="stop runs that take longer")
    report = commands.add_parser("report", help="write tables, figures and the README's numbers")
    report.set_defaults(command=_report)
    listing = commands.add_parser("list", help="list the sweeps and count their finished runs")
    listing.set_defaults(command=_list)
    return parser


def _sweep(options):
    if options.jobs is not None and options.jobs < 1:
        raise ValueError(f"`--jobs` must be at least 1. Received: {options.jobs}")
    time_limit = None if options.time_limit is None else options.time_limit * 3600
    if time_limit is not None and not time_limit > 0:
        raise ValueError(f"`--time-limit` must be above 0 hours. Received: {options.time_limit}")
    _choose_folder(options)
    declared = _choose_runs(options)
    for notebook in sorted({sweeps.notebook(run) for run in declared}):
        _check_notebook(notebook)
    try:
        runs.write_results()  # fails early if the folder is not writable
    except OSError as error:
        raise OSError(f"{error}: set VAE_KERAS_MODELS to a folder you can write to") from error
    todo = [run for run in declared if options.force or not runs.is_finished(run)]
    failures = {} if options.force or options.retry_failed else _failed_before(todo)
    todo = [run for run in todo if runs.run_name(run) not in failures]
    interrupted, busy = True, []
    try:
        with _executor(options) as (executor, jobs):
            _announce(options, declared, todo, failures, jobs)
            failed, busy = execute.execute_all(todo, executor, options.force, time_limit)
            failures |= failed
        interrupted = False
    finally:
        _summarise(options, declared, failures, busy, interrupted)
    _report(options)
    return 1 if failures else 0


@contextlib.contextmanager
def _executor(options):
    """Yields the executor and the number of runs that it executes at a time."""
    if options.cluster is None:
        _check_gpus()
        jobs = options.jobs or execute.default_jobs()
        with execute.local_executor(jobs) as executor:
            yield executor, jobs
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError(f"`--cluster` needs `pip install -e '.[cluster]'`: {error}") from error
    with Client(options.cluster, timeout=CONNECT_SECONDS) as client:
        yield client.get_executor(pure=False), sum(client.nthreads().values())


def _check_gpus():
    """Gives up GPUs that TensorFlow cannot use, and says why: the runs then share the cores."""
    if not execute.visible_gpus():
        return
    code = "from vae_keras import runtime; print(runtime.describe().get('unused_gpu', ''))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    reason = result.stdout.strip() or (result.returncode and result.stderr.strip().splitlines()[-1])
    if reason:
        print(f"the GPU is not used: {reason}", flush=True)
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


def _check_notebook(notebook):
    """Checks that the notebook has exactly the parameters of its runs."""
    if not notebook.exists():
        raise FileNotFoundError(
            f"{notebook} does not exist. Run sweeps from a checkout of the repository"
        )
    expected = {*PARAMETERS, *(BEYOND if notebook == sweeps.NOTEBOOK_BEYOND else ())}
    found = {*papermill.inspect_notebook(str(notebook))}
    if found != expected:
        raise ValueError(
            f"{notebook.name} must have the parameters of the study. "
            f"Missing: {', '.join(sorted(expected - found)) or 'none'}. "
            f"Unknown: {', '.join(sorted(found - expected)) or 'none'}."
        )


def _choose_folder(options):
    """Keeps runs outside the study in a separate folder, which git ignores."""
    own = is_own(options.dataset)
    if (own or options.budget == "quick") and not os.environ.get("VAE_KERAS_MODELS"):
        folder = runs.models_folder() / ("own" if own else "quick")
        os.environ["VAE_KERAS_MODELS"] = str(folder)


def _choose_runs(options):
    """Lists the runs, fetches their images, and falls back on embedded images where allowed."""
    dataset = options.dataset
    if is_own(dataset):
        kind, colon, path = dataset.rpartition("folder:")
        dataset = kind + colon + os.path.abspath(os.path.expanduser(path))
    if options.data == "embedded" and dataset is not None:
        raise ValueError("`--data embedded` chooses the data sets: leave out `--dataset`")
    embedded = options.data == "embedded"
    declared = sweeps.declared_runs(options.sweep, options.budget, embedded, dataset)
    todo = [run for run in declared if options.force or not runs.is_finished(run)]
    named = sorted({run["dataset"] for run in todo})
    # Images of one's own, and data sets that need a file and have none.
    missing = [
        name
        for name in named
        if is_own(name) or (DATASETS[name]["substitute"] and not load.locate(name)[2])
    ]
    error = _fetch(missing) if missing else None
    if error is None:
        for name in {run["dataset"] for run in todo if run["conditional"]}:
            load.class_names(name, required=True)
        return declared
    if options.data == "real" or dataset is not None:
        raise FileNotFoundError(error)
    declared = sweeps.declared_runs(options.sweep, options.budget, substitute=True)
    used = ", ".join(sorted({run["dataset"] for run in declared}))
    print(
        f"{error}\nThe sweep uses embedded images instead: {used}. "
        f"`make sweep DATA=real` makes this an error.",
        flush=True,
    )
    return declared


def _fetch(names):
    """Fetches data sets into the cache; returns `None`, or an error message of one line."""
    print(f"looking for {', '.join(names)} ...", flush=True)
    command = [sys.executable, "-m", "vae_keras.data", *names]
    result = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    messages = result.stderr.strip().splitlines() or [f"{shlex.join(command)} failed"]
    return messages[-1].removeprefix("error: ") if result.returncode else None


def _failed_before(todo):
    failures = {}
    for run in todo:
        failure = runs.read_failure(run)
        if failure and not failure["again"]:
            failures[runs.run_name(run)] = failure["reason"]
    return failures


def _announce(options, declared, todo, failures, jobs):
    finished = len(declared) - len(todo) - len(failures)
    counts = f"{len(declared)} runs, {finished} already finished"
    print(f"sweep {options.sweep}, budget {options.budget}: {counts}")
    for name, reason in failures.items():
        print(f"skipped, failed earlier: {name}: {reason.splitlines()[0]}")
    if todo:
        seconds, covered = execute.estimate(todo, runs.read_records())
        text = "no time estimate yet"
        if covered:
            text = f"about {execute.duration(seconds / min(jobs, len(todo)))}"
            text += f" for {covered} of them" if covered < len(todo) else ""
        print(f"{len(todo)} to run, {jobs} at a time: {text}", flush=True)


def _summarise(options, declared, failures, busy, interrupted):
    try:
        table = runs.select(runs.write_results(), declared)
    except OSError as error:  # for example, the disk is full
        print(f"error: {runs.RESULTS} was not updated: {error}", file=sys.stderr)
        table = runs.select(runs.load_results(), declared)
    if len(table) and not interrupted:
        shown = [name for name in ALL_PARAMETERS if table[name].nunique() > 1]
        shown += [name for name in MEASURES if name in table]
        print(table[shown].to_string(index=False, float_format="{:.4g}".format))
        if options.budget == "quick":
            print("Few images: this shows the study's trends, not its values (`BUDGET=study`).")
    print(f"{len(table)} of {len(declared)} runs finished: {runs.models_folder()}")
    if busy:
        print(f"{len(busy)} running in another sweep")
    for name, reason in failures.items():
        print(f"FAILED {name}: {reason.splitlines()[0]}")
    if interrupted or failures:
        settings = {
            "SWEEP": options.sweep,
            "BUDGET": options.budget,
            "DATA": options.data if options.data != "auto" else None,
            "DATASET": options.dataset,
            "JOBS": options.jobs,
            "LIMIT": options.time_limit,
            "CLUSTER": options.cluster,
        }
        words = [f"{name}={shlex.quote(str(value))}" for name, value in settings.items() if value]
        words += ["RETRY=1"] if failures else []
        print(f"to resume: make sweep {' '.join(words)}", flush=True)
        if options.force:
            print("Runs that had not begun keep their earlier records; FORCE=1 trains all again.")


def _report(_):
    from vae_keras.study import report  # imports Matplotlib, which takes a second

    return report.main()


def _list(_):
    folder = runs.models_folder()
    listed = runs.read_records(folder) + runs.read_records(folder / "quick")
    records = {record["run"]: record for record in listed}
    form = "{:<28}{:>6}" + "{:>16}" * len(sweeps.BUDGETS)
    print("Runs of each sweep and, for each budget, how many are finished and their total time.\n")
    print(form.format("SWEEP", "runs", *sweeps.BUDGETS))
    for sweep in sweeps.SWEEPS:
        cells = []
        for budget in sweeps.BUDGETS:
            declared = sweeps.declared_runs(sweep, budget)
            declared += sweeps.declared_runs(sweep, budget, substitute=True)
            names = dict.fromkeys(map(runs.run_name, declared))
            finished = [records[name] for name in names if name in records]
            seconds = sum(
                record.get("train_seconds", 0) + record.get("evaluation_seconds", 0)
                for record in finished
            )
            cells.append(f"{len(finished)} in {execute.duration(seconds)}" if finished else "-")
        print(form.format(sweep, len(sweeps.declared_runs(sweep, "study")), *cells))
    return 0
