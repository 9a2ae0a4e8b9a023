"""Runs sweeps on a real scheduler and worker processes at the loopback address."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from vae_keras.study import command, execute, runs, sweeps
from vae_keras.study.conftest import FINISH, REAL

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.faults
SWEEP = """
import json, sys
from pathlib import Path
from distributed import Client
from vae_keras.study import execute, sweeps
sweeps.NOTEBOOK = Path(sys.argv[1])
with Client(sys.argv[3]) as client:
    executor = client.get_executor(pure=False)
    failures, busy = execute.execute_all(json.loads(sys.argv[2]), executor)
sys.exit(json.dumps([failures, busy]) if failures or busy else 0)
"""


@pytest.fixture
def cluster(tmp_path):
    """A scheduler's address and a function that starts a worker for one run at a time."""
    processes, log = [], open(tmp_path / "dask.log", "w")

    def start(*arguments):
        command = [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]]
        environment = os.environ | {"VAE_KERAS_THREADS": "1"}
        environment.pop("VAE_KERAS_MODELS", None)  # it comes with each run
        processes.append(
            subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=tmp_path)
        )
        return processes[-1]

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    start("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
    yield (
        address,
        lambda: start(
            *("worker", address, "--host", "127.0.0.1", "--no-nanny", "--nthreads", "1"),
            *("--no-dashboard", "--local-directory", str(tmp_path)),
        ),
    )
    for process in reversed(processes):
        process.kill()
        process.wait()
    log.close()


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_no_run(cluster, notebook, valid, models, tmp_path):
    address, start_worker = cluster
    log = tmp_path / "log"
    path = notebook(
        "(run / 'pid').write_text(str(os.getppid())); time.sleep(1.5)",
        f"{FINISH}\nopen({str(log)!r}, 'a').write(f'{{seed}}\\n')",
    )
    todo = [{**valid, "seed": seed} for seed in range(6)]
    workers = [start_worker(), start_worker()]
    command = [sys.executable, "-c", SWEEP, str(path), json.dumps(todo), address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sweep:
        deadline = time.monotonic() + 120
        while len(list(models.glob("*/pid"))) < 2 and sweep.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        workers[0].send_signal(signal.SIGKILL)
        shown = sweep.communicate(timeout=120)[0]
    assert sweep.returncode == 0 and shown.count("[") == len(todo)
    assert all(runs.is_finished(run) for run in todo)
    assert sorted(log.read_text().split()) == sorted(str(run["seed"]) for run in todo)
    assert runs.read_record(models / runs.run_name(todo[0]))["threads"] == "1"


@pytest.mark.slow
def test_a_training_resumes_on_another_worker_from_its_last_epoch(cluster, valid, models):
    address, start_worker = cluster
    run = {**valid, **REAL, "epochs": 8}
    workers = [start_worker(), start_worker()]
    command = [sys.executable, "-c", SWEEP, str(sweeps.NOTEBOOK), json.dumps([run]), address]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as sweep:
        while runs.last_epoch(models / runs.run_name(run))[0] < 3:
            assert sweep.poll() is None
            time.sleep(0.05)
        (busy,) = (worker for worker in workers if psutil.Process(worker.pid).children())
        busy.kill()
        assert sweep.wait(timeout=300) == 0
    assert runs.is_finished(run)
    executed = (models / runs.run_name(run) / sweeps.NOTEBOOK.name).read_text()
    assert "Epoch 8/8" in executed and "Epoch 2/8" not in executed
    assert len(runs.read_history(runs.run_name(run))) == 8


def test_the_command_uses_the_workers_of_a_scheduler(
    cluster, notebook, monkeypatch, models, capsys
):
    address, start_worker = cluster
    start_worker()
    monkeypatch.setattr(sweeps, "SWEEPS", {"tiny": [{"dataset": ["digits"], "latent_dim": [2, 4]}]})
    monkeypatch.setattr(sweeps, "NOTEBOOK", notebook())
    monkeypatch.setattr(command, "_report", lambda options: None)
    monkeypatch.setattr(command, "CONNECT_SECONDS", 30)
    with distributed.Client(address, timeout=30) as client:
        client.wait_for_workers(1, timeout=60)
    assert command.main(["sweep", "tiny", "--cluster", address]) == 0
    shown = capsys.readouterr().out
    assert "2 to run, 1 at a time" in shown and "2 of 2 runs finished" in shown


def test_a_missing_scheduler_gives_an_error_of_one_line(notebook, monkeypatch, capsys):
    monkeypatch.setattr(sweeps, "SWEEPS", {"tiny": [{"dataset": ["digits"]}]})
    monkeypatch.setattr(sweeps, "NOTEBOOK", notebook())
    monkeypatch.setattr(command, "CONNECT_SECONDS", 1)
    assert command.main(["sweep", "tiny", "--cluster", "tcp://127.0.0.1:9"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "127.0.0.1:9" in error and error.count("\n") == 1


def test_any_executor_works(notebook, valid, monkeypatch):
    from concurrent.futures import ProcessPoolExecutor

    monkeypatch.setattr(sweeps, "NOTEBOOK", notebook())
    with ProcessPoolExecutor(1) as executor:
        assert execute.execute_all([valid], executor) == ({}, [])
    assert runs.is_finished(valid)
