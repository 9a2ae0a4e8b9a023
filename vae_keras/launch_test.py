import json
import os
import signal
import subprocess
import sys
import time

import pytest

from vae_keras import execution, launch, runs, sources, sweep
from vae_keras.datasets import DATASETS
from vae_keras.execution_test import TRAIN, write_notebook

TWO_RUNS = {"tiny": [{"dataset": ["fashion_mnist", "cifar10"]}]}


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_KERAS_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A sweep of two runs over a notebook that trains nothing."""
    monkeypatch.setattr(sweep, "SWEEPS", TWO_RUNS)
    monkeypatch.setattr(sweep, "NOTEBOOK", write_notebook(tmp_path, TRAIN))
    monkeypatch.setattr(sources, "find", lambda name: "file")


def no_network(name):
    raise FileNotFoundError(f"{name} cannot be had: tried this and that")


def test_real_data_where_they_can_be_had(monkeypatch):
    monkeypatch.setattr(sources, "find", {"fashion_mnist": "cache", "cifar10": "network"}.get)
    declared, missing = launch.choose_runs("quick", "quick", "auto")
    assert {parameters["dataset"] for parameters in declared} == {"fashion_mnist", "cifar10"}
    assert missing == ["cifar10"]


def test_substitutes_are_announced_where_they_cannot(monkeypatch, capsys):
    monkeypatch.setattr(sources, "find", no_network)
    declared, missing = launch.choose_runs("quick", "quick", "auto")
    assert {parameters["dataset"] for parameters in declared} == {"digits", "photos"}
    assert missing == []
    notice = capsys.readouterr().out
    assert "EMBEDDED image sets `digits` and `photos`" in notice
    assert "tried this and that" in notice


def test_real_data_can_be_demanded(monkeypatch, capsys, models):
    monkeypatch.setattr(sources, "find", no_network)
    assert launch.main(["quick", "--data", "real"]) == 2
    assert capsys.readouterr().err.startswith("error: cifar10 cannot be had")
    assert list(models.iterdir()) == []


def test_embedded_data_ask_nobody(monkeypatch):
    monkeypatch.setattr(sources, "unreachable_hosts", lambda *_: pytest.fail("asked the network"))
    declared, _ = launch.choose_runs("quick", "quick", "embedded")
    assert all(DATASETS[parameters["dataset"]]["substitute"] is None for parameters in declared)


def test_a_damaged_file_is_an_error_and_no_reason_for_substitutes(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VAE_KERAS_DATA", str(tmp_path))
    monkeypatch.setattr(sources, "_lacking_in_cache", lambda name: ["nothing there"])
    monkeypatch.setattr(sources, "unreachable_hosts", lambda *_: ["no network"])
    (tmp_path / "fashion_mnist.npz").write_text("damaged")  # and no cifar10 anywhere
    assert launch.main(["quick"]) == 2
    assert "fashion_mnist.npz cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["fast"], "unknown sweep 'fast'. Valid values: quick, latent_dim"),
        (["quick", "--budget", "huge"], "unknown budget 'huge'. Valid values: quick, study, full"),
        (["quick", "--jobs", "0"], "`--jobs` must be at least 1"),
    ],
)
def test_bad_arguments(arguments, message, capsys):
    assert launch.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_models_folder_that_cannot_be_written(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VAE_KERAS_MODELS", str(tmp_path / "file"))
    assert launch.main(["quick", "--data", "embedded"]) == 2
    assert "cannot write to" in capsys.readouterr().err


def test_a_notebook_with_other_parameters_is_found_before_anything_runs(
    tmp_path, monkeypatch, capsys, models
):
    monkeypatch.setattr(sweep, "NOTEBOOK", write_notebook(tmp_path, TRAIN, depth=3))
    assert launch.main(["quick", "--data", "embedded"]) == 2
    assert "'depth' of 02_train_vae.ipynb is unknown to the sweep" in capsys.readouterr().err
    assert not models.exists()


def test_a_sweep_runs_once(tiny, models, capsys, monkeypatch):
    assert launch.main(["tiny", "--jobs", "2"]) == 0
    shown = capsys.readouterr()
    assert "2 runs, 0 of them finished before" in shown.out
    assert "fashion_mnist" in shown.out and str(models / "results.csv") in shown.out
    assert "2/2" in shown.err
    written = {path: path.stat().st_mtime_ns for path in models.glob("*/metrics.json")}
    assert len(written) == 2
    monkeypatch.setattr(execution, "execute_all", lambda *_: pytest.fail("ran a finished run"))
    assert launch.main(["tiny"]) == 0
    shown = capsys.readouterr().out
    assert "2 runs, 2 of them finished before" in shown
    assert "2 of these runs are here as records without weights" in shown
    monkeypatch.undo()
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_a_failed_run_is_reported_and_the_others_go_on(tiny, tmp_path, capsys, monkeypatch, models):
    failing = "if dataset == 'cifar10':\n    raise MemoryError('too large')"
    monkeypatch.setattr(sweep, "NOTEBOOK", write_notebook(tmp_path, failing, TRAIN))
    assert launch.main(["tiny", "--jobs", "1"]) == 1
    shown = capsys.readouterr()
    assert "1 of 2 runs FAILED:\n  cifar10_" in shown.out
    assert "MemoryError: too large" in shown.out + shown.err
    (finished,) = models.glob("*/metrics.json")
    assert json.loads((finished.parent / "params.json").read_text())["dataset"] == "fashion_mnist"
    monkeypatch.setattr(sweep, "NOTEBOOK", write_notebook(tmp_path, TRAIN))
    assert launch.main(["tiny"]) == 0
    assert "2 runs, 1 of them finished before" in capsys.readouterr().out


def test_force_runs_finished_runs_again(tiny, monkeypatch, models):
    ran = []
    monkeypatch.setattr(execution, "execute_all", lambda _, todo, jobs: ran.append(len(todo)) or {})
    for run in sweep.declared_runs("tiny"):
        runs.finish_run(runs.start_run(**run), {"elbo": -1.0})
    assert launch.main(["tiny", "--force"]) == 0
    assert ran == [2]


def test_a_failed_download_falls_back_or_is_an_error(tiny, monkeypatch, capsys):
    monkeypatch.setattr(sources, "find", lambda name: "network")
    monkeypatch.setattr(execution, "execute_all", lambda *_: {})

    def fail(names):
        raise FileNotFoundError("the download stopped")

    monkeypatch.setattr(launch, "download", fail)
    assert launch.main(["tiny", "--data", "real"]) == 2
    assert "the download stopped" in capsys.readouterr().err
    assert launch.main(["tiny"]) == 0
    assert "EMBEDDED" in capsys.readouterr().out


def test_download_shows_the_error_alone():
    with pytest.raises(FileNotFoundError, match="^error: unknown dataset 'nonsense'"):
        launch.download(["nonsense"])


def test_an_interrupted_sweep_leaves_no_process_behind(tmp_path, models):
    notebook = write_notebook(tmp_path, "import time; time.sleep(60)")
    code = (
        "import sys; from pathlib import Path; from vae_keras import launch, sweep;"
        f"sweep.NOTEBOOK = Path({str(notebook)!r}); sys.exit(launch.main(['quick', '--data', "
        "'embedded', '--jobs', '1']))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    output = models / runs.run_name(sweep.declared_runs("quick", substitute=True)[0])
    deadline = time.monotonic() + 60
    while not (output / notebook.name).exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 128 + signal.SIGTERM
    while _mentions(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _mentions(str(tmp_path)) == []
    assert list(models.glob("*/metrics.json")) == []


def _mentions(text):
    """Command lines of running processes that contain a text."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else []):
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                command = file.read().replace("\0", " ")
        except OSError:
            continue
        if text in command and int(pid) != os.getpid():
            found.append(command)
    return found
