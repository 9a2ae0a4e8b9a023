import os

import pytest

from vae_keras import bench_runs, execution, runs, sources, sweep

CORES = 2


@pytest.fixture(autouse=True)
def pretended_runs(monkeypatch, tmp_path):
    """Runs that train for a second, are measured for half of one, and take two; in float32 the
    ELBO is lower by one. Returns a list of what was executed: number of runs, jobs, cores."""
    monkeypatch.setenv("VAE_KERAS_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(sources, "find", lambda name: "cache")
    monkeypatch.setattr(execution, "num_cores", lambda: CORES)
    clock, executed, cores = [0.0], [], [CORES]
    monkeypatch.setattr(bench_runs.time, "perf_counter", lambda: clock[0])
    if hasattr(os, "sched_setaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(CORES)))
        monkeypatch.setattr(os, "sched_setaffinity", lambda _, some: cores.append(len(some)))

    def execute_all(notebook, todo, jobs):
        executed.append((len(todo), jobs, cores[-1]))
        clock[0] += 2.0 * len(todo) / jobs
        lower = os.environ.get("VAE_KERAS_PRECISION") == "float32"
        for run in todo:
            measures = {"train_seconds": 1.0, "evaluation_seconds": 0.5, "peak_memory_gb": 1.2}
            runs.finish_run(
                runs.start_run(**run), {"elbo": -100.0 + run["seed"] - lower, **measures}
            )
        return {}

    monkeypatch.setattr(execution, "execute_all", execute_all)
    return executed


def test_jobs_are_compared_with_one_job_on_one_core(pretended_runs, tmp_path):
    table = bench_runs.measure_jobs(rounds=2)
    assert list(table["name"]) == ["1 job", "2 jobs"]
    assert table["overhead"].tolist() == [0.5, 0.25]
    assert table["speed_up"].tolist() == [1.0, 1.0]
    budget = sweep.BUDGETS["study"]
    longer = budget["epochs"] * budget["train_fraction"] / (1 * 0.3)
    assert table["evaluation_share"].tolist() == pytest.approx([0.5 / (2 + longer - 1)] * 2)
    assert table["memory"].tolist() == [1.2e9] * 2
    # Each time the classifier is trained by a short run first, then the runs are timed.
    assert pretended_runs[:4] == [(1, 1, 1), (4, 1, 1), (1, 1, 2), (4, 2, 2)]
    assert len(pretended_runs) == 8
    assert not (tmp_path / "models").exists()  # nothing is left among the user's runs


def test_precisions_have_a_spread_over_seeds(monkeypatch):
    monkeypatch.delenv("VAE_KERAS_PRECISION", raising=False)
    table = bench_runs.measure_precision(seeds=(0, 1, 2))
    assert list(table["images"]) == ["fashion_mnist"] * 2 + ["cifar10"] * 2
    assert list(table["precision"][:2]) == ["float32", "mixed_bfloat16"]
    assert table["elbo"].tolist() == [-100.0, -99.0] * 2
    assert (table["elbo_high"] - table["elbo_low"]).tolist() == [2.0] * 4
    assert table["memory"].tolist() == [1.2e9] * 4
    assert "VAE_KERAS_PRECISION" not in os.environ


def test_what_cannot_be_had_is_substituted(monkeypatch):
    def fail(name):
        raise FileNotFoundError(name)

    monkeypatch.setattr(sources, "find", fail)
    assert set(bench_runs.measure_precision(seeds=(0,))["images"]) == {"digits", "photos"}


def test_a_run_that_fails_ends_the_bench(monkeypatch):
    monkeypatch.setattr(execution, "execute_all", lambda *_: {"run": "it broke"})
    with pytest.raises(RuntimeError, match="it broke"):
        bench_runs.measure_jobs()
