"""Injects real faults into sweeps. These tests take long; `make test-faults` runs them."""

import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import psutil
import pytest

from vae_keras.study import runs, sweeps
from vae_keras.study.conftest import FINISH, REAL

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="kills and mounts as on Linux"),
]
TRIALS = 20
ROOT = Path(runs.__file__).resolve().parents[2]
SWEEP = """
import json, sys
from pathlib import Path
from vae_keras.study import execute, runs, sweeps
sweeps.NOTEBOOK = Path(sys.argv[1])
todo = [run for run in json.loads(sys.argv[2]) if not runs.is_finished(run)]
with execute.local_executor(int(sys.argv[3])) as executor:
    failures, _ = execute.execute_all(todo, executor)
sys.exit(json.dumps(failures) if failures else 0)
"""
COMMAND = """
import sys
from pathlib import Path
from vae_keras.study import command, sweeps
sweeps.SWEEPS = {"tiny": [%r]}
sweeps.NOTEBOOK = Path(sys.argv[1])
command._report = lambda options: None
sys.exit(command.main(["sweep", "tiny", "--jobs", "1", "--data", "embedded"]))
"""


def start(notebook, todo, jobs="2", **options):
    command = [sys.executable, "-c", SWEEP, str(notebook), json.dumps(todo), jobs]
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return subprocess.Popen(command, start_new_session=True, **(quiet | options))


def processes(models):
    """Lists the processes of the runs in a models folder: launchers and kernels."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("VAE_KERAS_MODELS") == str(models):
                found.append(process)
        except psutil.Error:
            pass
    return [process for process in found if process.pid != os.getpid()]


def is_kernel(process):
    try:
        return "vae_keras.study.kernel" in process.cmdline()
    except psutil.Error:
        return False


def kill(sweep, models, victim):
    """Kills the sweep, its kernels or both; waits until none of their processes is left."""
    if victim != "sweep":
        for process in filter(is_kernel, processes(models)):
            process.kill()
    if victim == "kernels":
        time.sleep(1)  # the sweep records the failures and continues
    sweep.kill()
    sweep.wait()
    deadline = time.monotonic() + 5
    while any(process.is_running() for process in processes(models)):
        assert time.monotonic() < deadline, "a process outlives the sweep"
        time.sleep(0.1)


def test_kills_at_random_moments_lose_nothing_and_repeat_nothing(
    notebook, valid, models, tmp_path, monkeypatch
):
    log = tmp_path / "log"
    finish = f"{FINISH}\nopen({str(log)!r}, 'a').write(f'{{seed}}\\n')"
    path = notebook("time.sleep(0.3)", finish)
    todo = [{**valid, "seed": seed} for seed in range(100)]  # more than finish between 20 kills
    moments, written = random.Random(0), {}
    for trial in range(TRIALS):
        sweep = start(path, todo)
        time.sleep(moments.uniform(1, 7))
        kill(sweep, models, ("sweep", "kernels", "both")[trial % 3])
        for record in models.glob("*/metrics.json"):
            runs.read_record(record.parent)  # complete
            stamp = record.stat().st_mtime_ns
            assert written.setdefault(record, stamp) == stamp  # and never rewritten
    assert 0 < len(written) < len(todo)
    last = start(path, todo)
    assert last.wait() == 0
    assert all(runs.is_finished(run) for run in todo)
    finished = log.read_text().split()
    assert len(finished) == len(set(finished)) and len(finished) >= len(todo) - TRIALS
    table = runs.write_results()
    assert sorted(table["seed"]) == list(range(len(todo)))


@pytest.mark.parametrize("beyond", [{}, {"prior": "vamp"}], ids=["02", "08"])
def test_a_killed_run_of_a_notebook_resumes_and_ends_like_an_uninterrupted_one(
    beyond, valid, tmp_path, monkeypatch
):
    run = {**valid, **REAL, "epochs": 6, "warmup_epochs": 2.0, **beyond}
    notebook = sweeps.notebook(run)
    folders = [tmp_path / name / runs.run_name(run) for name in ("whole", "killed")]
    monkeypatch.setenv("VAE_KERAS_MODELS", str(folders[0].parent))
    assert start(notebook, [run]).wait() == 0
    monkeypatch.setenv("VAE_KERAS_MODELS", str(folders[1].parent))
    moments = random.Random(1)
    for epochs, victim in ((1, "kernels"), (2, "sweep"), (4, "both")):
        sweep = start(notebook, [run])
        while runs.last_epoch(folders[1])[0] < epochs:
            assert sweep.poll() is None
            time.sleep(0.02)
        time.sleep(moments.uniform(0, 0.5))
        kill(sweep, folders[1].parent, victim)
        assert not runs.is_finished(run)
        with np.load(folders[1] / runs.BACKUP) as backup:
            assert epochs - 1 <= backup["epochs"] <= run["epochs"]
    assert start(notebook, [run]).wait() == 0
    histories = [pd.read_csv(folder / "history.csv", dtype=str) for folder in folders]
    pd.testing.assert_frame_equal(
        *(history.drop(columns="images_per_second") for history in histories)
    )
    records = [runs.read_record(folder) for folder in folders]
    for name in ("train_seconds", "images_per_second", "evaluation_seconds", "peak_memory_gb"):
        for record in records:
            assert record.pop(name) > 0
    assert records[0] == records[1]
    for file in ("arrays.npz", "pictures.npz"):
        whole, killed = (np.load(folder / file) for folder in folders)
        assert all(np.array_equal(whole[name], killed[name]) for name in whole)
    assert not (folders[1] / runs.BACKUP).exists() and (folders[1] / "model.keras").exists()


def test_order_and_number_of_jobs_change_no_digit(valid, tmp_path, monkeypatch):
    todo = [{**valid, **REAL, "epochs": 2, "seed": seed} for seed in (0, 1)]
    monkeypatch.setenv("VAE_KERAS_THREADS", "1")
    histories = []
    for jobs, ordered in (("2", todo), ("1", todo[::-1])):
        monkeypatch.setenv("VAE_KERAS_MODELS", str(tmp_path / jobs))
        assert start(sweeps.NOTEBOOK, ordered, jobs).wait() == 0
        read = [runs.read_history(runs.run_name(run)) for run in todo]
        histories.append([history.drop(columns="images_per_second") for history in read])
    for one, other in zip(*histories, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert not histories[0][0]["loss"].equals(histories[0][1]["loss"])


def test_a_loss_of_nan_stops_a_run_of_notebook_02_in_its_first_epoch(valid, models):
    run = {**valid, **REAL, "epochs": 30, "learning_rate": 1e30}
    sweep = start(sweeps.NOTEBOOK, [run], stderr=subprocess.PIPE, text=True)
    message = sweep.communicate()[1]
    assert sweep.returncode == 1 and "the loss became" in message
    failure = runs.read_failure(run)
    assert failure["reason"].startswith("FloatingPointError: the loss became")
    assert "of epoch 1." in failure["reason"] and not failure["again"]
    assert not list(models.glob("*/model.keras"))


def in_a_small_file_system(folder, megabytes, script):
    """Runs a shell script with a file system of a few MB mounted at `folder`."""
    mount = f"mount -t tmpfs -o size={megabytes}m none '{folder}'"
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", f"{mount} && {script}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_a_full_disk_is_reported_and_the_sweep_resumes_once_there_is_space(notebook, models):
    models.mkdir()
    if in_a_small_file_system(models, 1, "true").returncode:
        pytest.skip("users cannot mount file systems on this system")
    grid = {"dataset": ["digits"], "latent_dim": [2, 4, 8]}
    filler = models.parent / "filler.py"
    cell = "if latent_dim == 4: (run / 'filler').write_bytes(bytes(3_000_000))"
    filler.write_text(COMMAND % grid)
    sweep = f"{sys.executable} {filler} {notebook(cell)}"
    done = in_a_small_file_system(
        models,
        2,
        f"{sweep}; echo status $?; cat {models}/results.csv; ls -A {models};"
        f"{sweep}; echo status $?;"
        f"rm {models}/*/filler; mount -o remount,size=20m '{models}';"
        f"{sweep}; echo status $?; cat {models}/results.csv",
    )
    full, again, roomy, last = done.stdout.split("status ")
    for part in ("z4_beta1_seed0_", "z8_beta1_seed0_"):
        assert re.search(f"FAILED digits_.*{part}.*: OSError: .*No space left on device", full)
    assert "to resume: make sweep" in full and again[0] == "1"
    assert "results.csv was not updated" in done.stderr
    assert "set VAE_KERAS_MODELS to a folder" in done.stderr  # before anything is started
    assert roomy[0] == "2" and "3 of 3 runs finished" in roomy and last[0] == "0"
    assert "Traceback" not in done.stdout + done.stderr


@pytest.fixture
def without_rights(tmp_path):
    """The prefix of a command that makes file permissions apply to root, too."""
    if os.getuid():
        return []
    dropped = "-dac_override,-dac_read_search,-fowner"
    prefix = ["setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}"]
    if not shutil.which("setpriv") or subprocess.run([*prefix, "true"]).returncode:
        pytest.skip("needs setpriv, or a user who is not root")
    return prefix


def test_a_read_only_checkout_in_an_odd_place_without_a_home(tmp_path, without_rights):
    place = tmp_path / "Prüf stand"
    checkout, out = place / "read only", place / "Läufe hier"
    out.mkdir(parents=True)
    ignored = shutil.ignore_patterns("__pycache__", "*_test.py")
    shutil.copytree(ROOT / "vae_keras", checkout / "vae_keras", ignore=ignored)
    shutil.copytree(ROOT / "notebooks", checkout / "notebooks")
    shutil.copytree(ROOT / "models" / "judges", checkout / "models" / "judges")
    shutil.copy(ROOT / "pyproject.toml", checkout)
    for path in [checkout, *checkout.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    grid = {**{name: [value] for name, value in REAL.items()}, "epochs": [1]}
    command = [*without_rights, sys.executable, "-c", COMMAND % grid]
    command.append(str(checkout / "notebooks" / sweeps.NOTEBOOK.name))
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(checkout),
        "VAE_KERAS_THREADS": "1",
        "HOME": "/proc/none",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLCONFIGDIR": matplotlib.get_cachedir(),  # rebuilding the font list takes a minute
    }
    try:
        settings = dict(cwd="/", capture_output=True, text=True)
        refused = subprocess.run(command, env=environment, **settings)
        assert refused.returncode == 2 and "Traceback" not in refused.stderr
        assert "set VAE_KERAS_MODELS to a folder you can write to" in refused.stderr
        environment["VAE_KERAS_MODELS"] = str(out)
        done = subprocess.run(command, env=environment, **settings)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "1 of 1 runs finished" in done.stdout
        (record,) = out.glob("*/metrics.json")
    finally:
        for path in [checkout, *checkout.rglob("*")]:
            if path.is_dir():
                path.chmod(0o755)


@pytest.mark.soak
def test_300_runs_in_one_sweep_leave_memory_files_and_processes_flat(
    notebook, valid, models, capsys
):
    sweep = start(notebook(), [{**valid, "seed": seed} for seed in range(300)])
    process, samples = psutil.Process(sweep.pid), []
    while sweep.poll() is None:
        with process.oneshot():
            memory, files, threads = (
                process.memory_info().rss / 1e6, process.num_fds(), process.num_threads()
            )  # fmt: skip
        with contextlib.suppress(psutil.Error):
            children = len(process.children(recursive=True))
            samples.append((memory, files, threads, children))
        time.sleep(0.5)
    assert sweep.returncode == 0 and len(list(models.glob("*/metrics.json"))) == 300
    begin, *_, end = np.array_split(np.array(samples)[10:], 3)
    with capsys.disabled():
        print("\nMB, open files, threads, processes at most:", begin.max(axis=0), end.max(axis=0))
    assert end[:, 0].max() < begin[:, 0].max() + 5
    assert (end[:, 1:].max(axis=0) <= begin[:, 1:].max(axis=0) + 1).all()
