import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future

import pytest

from vae_keras.study import execute, execute_one, runs, sweeps

pytestmark = pytest.mark.faults

SLEEP = "Path(str(run) + '.pid').write_text(str(os.getpid())); time.sleep(60)"
SWEEP = """
import json, sys
from pathlib import Path
from vae_keras.study import execute, sweeps
sweeps.NOTEBOOK = Path(sys.argv[1])
with execute.local_executor(2) as executor:
    execute.execute_all(json.loads(sys.argv[2]), executor)
"""
# What a run does, the reported reason, and whether the next sweep tries the run again.
ENDS = [
    ("pass", None, None),
    ("1 / 0", r"ZeroDivisionError: division by zero\nin cell \[4\] of .*\nexec\(", False),
    ("os.kill(os.getpid(), signal.SIGKILL)", "the kernel died", True),
    ("os.kill(os.getppid(), signal.SIGKILL); time.sleep(60)", "killed by SIGKILL", True),
    ("bytearray(2**60)", r"MemoryError", True),
    ("raise OSError(28, 'No space left')", r"OSError: .* No space left", True),
    ("runs.finish_run = lambda *_: None", "the notebook ended without finishing", False),
]


def execute_all(notebook, *todo, jobs=2, **options):
    with pytest.MonkeyPatch.context() as patch, execute.local_executor(jobs) as executor:
        patch.setattr(sweeps, "NOTEBOOK", notebook)
        return execute.execute_all(list(todo), executor, **options)


def wait_until(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.05)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_runs_are_executed_once_with_their_parameters(notebook, valid, models, capsys):
    todo = [{**valid, "seed": seed, "learning_rate": 1e-5} for seed in (0, 1)]
    path = notebook()
    assert execute_all(path, *todo) == ({}, [])
    records = [runs.read_record(models / runs.run_name(run)) for run in todo]
    assert [record["elbo"] for record in records] == [-1.0, -2.0]
    assert records[0]["learning_rate"] == 1e-5
    assert records[0]["threads"] == str(max(1, execute.num_cores() // 2))
    assert (models / records[0]["run"] / path.name).exists()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("[1/2] Fashion-MNIST, z 2, beta 1, ") and len(lines) == 2
    assert execute_all(path, todo[1]) == ({}, [])
    assert execute_all(path, todo[0], force=True) == ({}, [])
    again = [runs.read_record(models / runs.run_name(run)) for run in todo]
    assert again[1] == records[1] and again[0]["pid"] != records[0]["pid"]


def test_the_time_left_ignores_epochs_before_a_run_was_resumed(valid, models, monkeypatch, capsys):
    todo = [{**valid, "seed": seed, "epochs": 40} for seed in (0, 1)]
    folder = runs.start_run(**todo[0])
    (folder / runs.BACKUP).touch()
    (folder / "history.csv").write_text("epoch,loss\n39,1.0\n")  # only its evaluation is left

    def execute_run(parameters, *_):
        time.sleep(1)
        return execute_one.FINISHED, "", 1.0

    monkeypatch.setattr(execute, "execute_run", execute_run)
    with execute.local_executor(1) as executor:
        execute.execute_all(todo, executor)
    first, _ = capsys.readouterr().out.splitlines()
    left = int(re.search(r"(\d+) s left", first).group(1))
    assert 41 <= left <= 60  # 41 times the second that one unit of work took


def test_a_run_that_ends_early_has_failed_and_the_others_continue(notebook, valid):
    path = notebook(f"exec({[cell for cell, _, _ in ENDS]!r}[seed])")
    todo = [{**valid, "seed": seed} for seed in range(len(ENDS))]
    for run in todo:
        runs.finish_run(runs.start_run(**run), {"elbo": -1.0})  # records of an earlier sweep
    failures, busy = execute_all(path, *todo, force=True)
    assert len(failures) == len(ENDS) - 1 and busy == []
    for run, (_, reason, again) in zip(todo, ENDS, strict=True):
        if reason is None:
            assert runs.is_finished(run) and runs.read_failure(run) is None
        else:
            assert re.match(reason, failures[runs.run_name(run)])
            assert runs.read_failure(run)["again"] is again


def test_a_run_that_hangs_is_shown_and_stopped(notebook, valid, monkeypatch, capsys):
    monkeypatch.setattr(execute, "LOG_SECONDS", 1)
    failures, _ = execute_all(notebook(SLEEP), valid, time_limit=3)
    assert capsys.readouterr().out.startswith("running: ")
    assert failures == {runs.run_name(valid): "stopped after the time limit of 3 s"}
    assert not runs.read_failure(valid)["again"]


def test_a_kernel_that_does_not_start_is_restarted(notebook, valid, monkeypatch):
    start = execute_one.KernelManager.format_kernel_cmd
    commands = [["false"], ["false"], None, *[["false"]] * execute_one.KERNEL_STARTS]
    monkeypatch.setattr(
        execute_one.KernelManager,
        "format_kernel_cmd",
        lambda self, extra_arguments=None: commands.pop(0) or start(self, extra_arguments),
    )
    path = notebook()
    assert execute_one.execute_one(path, valid) == (execute_one.FINISHED, None)
    status, reason = execute_one.execute_one(path, valid, force=True)
    assert status == execute_one.FAILED and "the kernel did not start" in reason
    assert runs.read_failure(valid)["reason"] == reason


def test_two_sweeps_at_once_execute_every_run_once(notebook, valid, tmp_path):
    log = tmp_path / "log"
    path = notebook(f"open({str(log)!r}, 'a').write(f'{{seed}}\\n'); time.sleep(1)")
    todo = [{**valid, "seed": seed} for seed in range(3)]
    command = [sys.executable, "-c", SWEEP, str(path), json.dumps(todo)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    shown = "".join(sweep.communicate(timeout=120)[0] for sweep in both)
    assert sorted(log.read_text().split()) == ["0", "1", "2"]
    assert "FAILED" not in shown
    assert all(runs.is_finished(run) for run in todo)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_process_outlives_the_sweep_and_a_run_is_locked_until_it_ends(notebook, valid, models):
    todo = [{**valid, "seed": seed} for seed in range(2)]
    command = [sys.executable, "-c", SWEEP, str(notebook(SLEEP)), json.dumps(todo)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as sweep:
        try:
            wait_until(lambda: len(list(models.glob("*.pid"))) == 2, 60)
            time.sleep(0.2)
            kernels = [int(path.read_text()) for path in models.glob("*.pid")]
            assert all(map(is_running, kernels))
            assert execute_all(notebook(), todo[0]) == ({}, [runs.run_name(todo[0])])
            sweep.send_signal(signal.SIGKILL)
            wait_until(lambda: not any(map(is_running, kernels)), 5)
        finally:
            sweep.kill()
    assert not any(runs.is_finished(run) for run in todo)
    assert execute_all(notebook(), *todo) == ({}, [])
    assert all(runs.is_finished(run) for run in todo)


class Instant(Executor):
    """Finishes each run immediately."""

    def submit(self, function, *arguments):
        future = Future()
        future.set_result((execute.FINISHED, "", 0.1))
        return future


def test_the_overhead_per_run_is_small_with_2000_runs(valid, capsys):
    todo = [{**valid, "seed": seed} for seed in range(2000)]
    start = time.monotonic()
    assert execute.execute_all(todo, Instant()) == ({}, [])
    assert time.monotonic() - start < 0.05 * len(todo)
    assert capsys.readouterr().out.count("\n") == len(todo)


def test_threads_depend_only_on_the_number_of_jobs(monkeypatch):
    monkeypatch.setattr(execute, "num_cores", lambda: 8)
    monkeypatch.setattr(execute, "visible_gpus", list)
    for jobs, threads in ((1, "8"), (3, "2"), (20, "1")):
        shares = execute.shares(jobs)
        assert shares == [{"VAE_KERAS_THREADS": threads, "OMP_NUM_THREADS": threads}] * jobs
    monkeypatch.setenv("VAE_KERAS_THREADS", "5")
    assert execute.shares(2)[0] == {"VAE_KERAS_THREADS": "5", "OMP_NUM_THREADS": "5"}


def test_each_job_has_a_gpu(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: x)'\necho 'GPU 1: A (UUID: y)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert execute.default_jobs() == 2
    monkeypatch.setattr(execute, "num_cores", lambda: 8)
    shares = execute.shares(3)
    assert [share["CUDA_VISIBLE_DEVICES"] for share in shares] == ["0", "1", "0"]
    assert {share["VAE_KERAS_THREADS"] for share in shares} == {"2"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert execute.visible_gpus() == ["2", "5"]
    for none in ("", "-1", "NoDevFiles"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", none)
        assert execute.visible_gpus() == []


def test_the_duration_is_estimated_from_similar_runs(valid):
    similar = {**valid, "epochs": 2, "train_seconds": 20.0, "evaluation_seconds": 5.0}
    records = [similar, {**similar, "train_seconds": 22.0}, {**similar, "train_seconds": 900.0}]
    todo = [{**valid, "epochs": 4}, {**valid, "dataset": "cifar10"}]
    # 4 epochs of 11 s, an evaluation of 5 s, and the start.
    assert execute.estimate(todo, records) == (4 * 11 + 5 + execute.START_SECONDS, 1)
    assert execute.estimate(todo, []) == (0, 0)
