"""What a run costs beside its training, in one job and in several, and what precision costs."""

import contextlib
import os
import tempfile
import time

import pandas as pd

from vae_keras import execution, launch, runs, sweep
from vae_keras.bench_training import spread

# Colour images and a learned variance: the most memory and, for its `nll`, a long evaluation.
DATASET = "cifar10"
SHORT = {"epochs": 1, "train_fraction": 0.3, "batch_size": 128, "likelihood": "sigma"}
PRECISIONS = ("float32", "mixed_bfloat16")


def measure_jobs(rounds=2, runs_of_each_core=2):
    """Times a sweep of equal runs: one job on one core, and a job on each core.

    Returns:
        `pandas.DataFrame` with a row for each number of jobs: `part`, `images`, `name`, and the
        median, `_low` and `_high` over rounds of `overhead` (seconds a run, amortised: what the
        sweep takes beyond training and evaluation, divided by the number of runs), of
        `evaluation_share` (of the time of a run of the budget `study`) and, of several jobs, of
        `speed_up` against the one job, divided by the number of jobs; `memory` in bytes.
    """
    cores = execution.num_cores()
    dataset = launch.obtainable(DATASET)
    declared = [
        {**sweep.FIXED, **SHORT, "dataset": dataset, "seed": seed}
        for seed in range(runs_of_each_core * cores)
    ]
    measured = {1: [], cores: []}
    for _ in range(rounds):
        for jobs in measured:
            with _cores(jobs):
                measured[jobs].append(_time(declared, jobs))
    alone = [seconds for seconds, _ in measured[1]]
    rows = []
    for jobs, results in measured.items():
        quantities = {"overhead": [], "evaluation_share": [], "speed_up": []}
        for (seconds, table), single in zip(results, alone):
            work = (table["train_seconds"] + table["evaluation_seconds"]).sum() / jobs
            quantities["overhead"].append((seconds - work) / len(table))
            quantities["evaluation_share"].append(_evaluation_share(table, seconds, jobs))
            quantities["speed_up"].append(single / seconds / jobs)
        row = {"part": "runs", "images": dataset, "name": f"{jobs} job{'s' * (jobs > 1)}"}
        row |= spread(quantities)
        rows.append(row | {"memory": 1e9 * max(t["peak_memory_gb"].max() for _, t in results)})
    return pd.DataFrame(rows)


def measure_precision(seeds=(0, 1, 2)):
    """Trains the same models in each precision.

    Returns:
        `pandas.DataFrame` with a row for each data set and precision: `part`, `images`, `name`,
        `precision`, the median, `_low` and `_high` over seeds of `elbo`, in nats per image, and
        `memory` in bytes.
    """
    rows = []
    for name in sweep.GREY_AND_COLOUR:
        dataset = launch.obtainable(name)
        budget = sweep.BUDGETS["study"] | {"epochs": 1} | sweep.SUBSTITUTES.get(dataset, {})
        declared = [{**sweep.FIXED, **budget, "dataset": dataset, "seed": seed} for seed in seeds]
        for precision in PRECISIONS:
            with _variables(VAE_KERAS_PRECISION=precision):
                _, table = _time(declared, execution.default_jobs())
            row = {"part": "precision", "images": dataset, "name": precision}
            row |= {"precision": precision, **spread({"elbo": table["elbo"]})}
            rows.append(row | {"memory": 1e9 * table["peak_memory_gb"].max()})
    return pd.DataFrame(rows)


def _time(declared, jobs):
    """Executes runs in a folder of their own; returns the seconds and the table."""
    with tempfile.TemporaryDirectory() as folder, _variables(VAE_KERAS_MODELS=f"{folder}/models"):
        # The classifier that judges samples is trained by the first run: not in the time.
        first = declared[0] | {"train_fraction": 0.01, "evaluation_fraction": 0.1}
        failures = execution.execute_all(sweep.NOTEBOOK, [first], 1)
        start = time.perf_counter()
        failures |= execution.execute_all(sweep.NOTEBOOK, declared, jobs)
        seconds = time.perf_counter() - start
        if failures:
            raise RuntimeError("\n".join(failures.values()))
        return seconds, runs.select(runs.write_results(), declared)


def _evaluation_share(table, seconds, jobs):
    """The evaluation's share of a run that trains for as long as one of the budget `study`."""
    longer = sweep.BUDGETS["study"]
    factor = (
        longer["epochs"] * longer["train_fraction"] / (SHORT["epochs"] * SHORT["train_fraction"])
    )
    seconds_of_run = seconds * jobs / len(table)
    train, evaluation = table["train_seconds"].mean(), table["evaluation_seconds"].mean()
    return evaluation / (seconds_of_run + (factor - 1) * train)


@contextlib.contextmanager
def _variables(**variables):
    """Sets environment variables for a while."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _cores(number):
    """Keeps this process and those it starts to so many cores, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:number])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
