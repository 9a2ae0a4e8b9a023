import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from vae_keras.study import command, execute, runs, sweeps
from vae_keras.study.parameters import BEYOND, PARAMETERS

pytestmark = pytest.mark.faults


@pytest.fixture
def tiny(monkeypatch, notebook, tmp_path):
    """A sweep of two runs of a notebook that trains nothing, on images that are available."""
    grid = {"dataset": ["fashion_mnist", "cifar10"]}
    monkeypatch.setattr(sweeps, "SWEEPS", {"tiny": [grid]})
    monkeypatch.setattr(sweeps, "NOTEBOOK", notebook())
    monkeypatch.setattr(command, "_report", lambda options: print("reported"))
    monkeypatch.setenv("VAE_KERAS_DATA", str(tmp_path))
    for name in grid["dataset"]:
        (tmp_path / f"{name}.npz").touch()


def chosen(*arguments):
    """Returns the data sets of the runs that a sweep chooses."""
    options = command._parser().parse_args(["sweep", *arguments])
    return {run["dataset"] for run in command._choose_runs(options)}


def test_a_failed_run_is_skipped_until_a_retry(tiny, monkeypatch, notebook, models, capsys):
    monkeypatch.setattr(sweeps, "NOTEBOOK", notebook("if dataset == 'cifar10': 1 / 0"))
    assert command.main(["sweep", "tiny", "--jobs", "2"]) == 1
    shown = capsys.readouterr().out
    assert "2 to run, 2 at a time: no time estimate yet" in shown
    assert "FAILED cifar10_" in shown and "ZeroDivisionError" in shown
    assert f"1 of 2 runs finished: {models}" in shown and "reported" in shown
    assert "to resume: make sweep SWEEP=tiny BUDGET=quick JOBS=2 RETRY=1" in shown
    monkeypatch.setattr(sweeps, "NOTEBOOK", notebook())
    assert command.main(["sweep", "tiny"]) == 1
    shown = capsys.readouterr().out
    assert "1 already finished" in shown and "skipped, failed earlier: cifar10_" in shown
    (written,) = models.glob("*/metrics.json")
    time_written = written.stat().st_mtime_ns
    assert command.main(["sweep", "tiny", "--retry-failed"]) == 0
    shown = capsys.readouterr().out
    assert "2 of 2 runs finished" in shown and "Few images: " in shown
    assert list(runs.load_results()["dataset"]) == ["cifar10", "fashion_mnist"]
    assert written.stat().st_mtime_ns == time_written
    assert command.main(["list"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == [
        *("tiny", "2"),
        *("2", "in", "0", "s", "-", "-"),
    ]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["fast"], "`sweep` must be one of tiny. Received: 'fast'"),
        (["tiny", "--budget", "huge"], "`budget` must be one of quick, study, full"),
        (["tiny", "--jobs", "0"], "`--jobs` must be at least 1"),
        (["tiny", "--time-limit", "0"], "`--time-limit` must be above 0"),
        (["tiny", "--dataset", "nonsense"], "`dataset` must be one of"),
    ],
)
def test_bad_arguments_give_an_error_of_one_line(arguments, message, tiny, models, capsys):
    assert command.main(["sweep", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not models.exists()


def test_a_notebook_with_other_parameters_is_found_before_anything_runs(
    tiny, monkeypatch, notebook, tmp_path, models, capsys
):
    monkeypatch.setattr(sweeps, "NOTEBOOK", notebook(depth=3))
    assert command.main(["sweep", "tiny"]) == 2
    error = capsys.readouterr().err
    assert "02_train_vae.ipynb must have" in error and "Missing: none. Unknown: depth." in error
    path = notebook()
    path.write_text(path.read_text().replace("free_bits = 0.0", "pass"))
    assert command.main(["sweep", "tiny"]) == 2
    assert "Missing: free_bits. Unknown: none." in capsys.readouterr().err
    monkeypatch.setattr(sweeps, "NOTEBOOK", tmp_path / "none.ipynb")
    assert command.main(["sweep", "tiny"]) == 2
    assert "Run sweeps from a checkout" in capsys.readouterr().err
    assert not models.exists()


def test_a_folder_that_cannot_be_written_is_named_with_a_cure(tiny, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VAE_KERAS_MODELS", str(tmp_path / "file"))
    assert command.main(["sweep", "tiny"]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "file") in error and "set VAE_KERAS_MODELS" in error


def test_only_missing_images_are_fetched(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(command, "_fetch", asked.append)
    monkeypatch.setenv("VAE_KERAS_DATA", str(tmp_path))
    (tmp_path / "cifar10.npz").touch()
    assert chosen("quick") == {"fashion_mnist", "cifar10"}
    assert chosen("quick", "--data", "embedded") == {"digits", "photos"}
    assert chosen("quick", "--dataset", "digits") == {"digits"}
    assert chosen("disentanglement", "--dataset", "dsprites") == {"dsprites"}
    assert asked == [["fashion_mnist"], ["dsprites"]]
    monkeypatch.chdir(tmp_path)
    assert chosen("quick", "--dataset", "folder:birds") == {f"folder:{tmp_path}/birds"}
    assert chosen("quick", "--dataset", "a.npz") == {f"{tmp_path}/a.npz"}


def test_embedded_images_replace_those_that_are_not_available(monkeypatch, capsys):
    monkeypatch.setattr(command, "_fetch", lambda names: f"{names[0]}: tried this and that")
    assert chosen("quick") == {"digits", "photos"}
    shown = capsys.readouterr().out
    assert "cifar10: tried this and that" in shown
    assert "The sweep uses embedded images instead: digits, photos." in shown
    for arguments in (["--data", "real"], ["--dataset", "mnist"]):
        with pytest.raises(FileNotFoundError, match="tried this and that"):
            chosen("quick", *arguments)
    for run in sweeps.declared_runs("quick"):
        runs.finish_run(runs.start_run(**run), {"elbo": -1.0})
    assert chosen("quick") == {"fashion_mnist", "cifar10"}


def test_a_missing_data_folder_is_an_error(tiny, monkeypatch, tmp_path, models, capsys):
    monkeypatch.setenv("VAE_KERAS_DATA", str(tmp_path / "typo"))
    assert command.main(["sweep", "tiny"]) == 2
    assert "VAE_KERAS_DATA must be an existing folder" in capsys.readouterr().err
    assert not models.exists()


def test_conditional_runs_on_images_without_classes_are_rejected(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sweeps, "SWEEPS", {"tiny": [{"dataset": ["mnist"], "conditional": [True]}]})
    np.savez(tmp_path / "own.npz", images=np.full((90, 8, 8), 9, "uint8"))
    assert command.main(["sweep", "tiny", "--dataset", str(tmp_path / "own.npz")]) == 2
    assert "a conditional model needs images with classes" in capsys.readouterr().err


def test_missing_images_give_an_error_of_one_line(tmp_path):
    message = command._fetch([f"folder:{tmp_path}/none"])
    assert f"{tmp_path}/none" in message and "\n" not in message


@pytest.mark.parametrize(
    "arguments, folder",
    [
        (["--budget", "quick"], "quick"),
        (["--budget", "study"], ""),
        (["--budget", "study", "--dataset", "folder:birds"], "own"),
    ],
)
def test_runs_outside_the_study_have_a_separate_folder(arguments, folder, monkeypatch):
    monkeypatch.setenv("VAE_KERAS_MODELS", "")
    default = runs.models_folder()
    command._choose_folder(command._parser().parse_args(["sweep", "quick", *arguments]))
    assert runs.models_folder() == default / folder


def test_each_run_is_executed_by_its_own_notebook(tiny, notebook, monkeypatch):
    example = notebook(**BEYOND | {"prior": "vamp"})  # the notebook's default is not that of BEYOND
    every = repr((*PARAMETERS, *BEYOND))
    text = example.read_text().replace(repr(PARAMETERS), every)
    beyond = example.with_name("08_beyond.ipynb")
    beyond.write_text(text)
    for name, path in (("NOTEBOOK", notebook()), ("NOTEBOOK_BEYOND", beyond)):
        monkeypatch.setattr(sweeps, name, path)
    grid = {"dataset": ["digits"], "objective": ["elbo", "iwae"], "seed": [0, 1]}
    monkeypatch.setitem(sweeps.SWEEPS, "tiny", [grid])
    assert command.main(["sweep", "tiny", "--jobs", "2"]) == 0
    table = runs.load_results()
    assert sorted(table["objective"]) == ["elbo", "elbo", "iwae", "iwae"]
    assert set(table["prior"]) == {"normal"}
    for run, objective in zip(table["run"], table["objective"], strict=True):
        names = [path.name for path in (runs.models_folder() / run).glob("*.ipynb")]
        assert names == ["08_beyond.ipynb" if objective == "iwae" else "02_train_vae.ipynb"]


def test_a_stopped_sweep_writes_the_table_and_says_how_to_resume(tiny, models, capfd, notebook):
    path = notebook("if dataset == 'cifar10': Path(str(run) + '.pid').touch(); time.sleep(60)")
    code = (  # handles Ctrl-C even if these tests run in the background
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "import sys; from pathlib import Path; from vae_keras.study import command, sweeps;"
        "sweeps.SWEEPS['tiny'] = [{'dataset': ['fashion_mnist', 'cifar10']}];"
        f"sweeps.NOTEBOOK = Path({str(path)!r});"
        "status = command.main(['sweep', 'tiny', '--jobs', '1', '--data', 'real']);"
        "sys.exit(status if 'tensorflow' not in sys.modules else 'loaded TensorFlow')"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        deadline = time.monotonic() + 60
        while not list(models.glob("*.pid")) and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 130
    shown = capfd.readouterr().out
    assert "1 of 2 runs finished" in shown
    assert "to resume: make sweep SWEEP=tiny BUDGET=quick DATA=real JOBS=1\n" in shown
    assert list(runs.load_results()["dataset"]) == ["fashion_mnist"]


def test_a_reader_that_closes_the_pipe_is_no_error():
    command = f"{sys.executable} -m vae_keras.study list | head -n 1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert result.stdout.startswith("Runs of each sweep") and result.stderr == ""


def test_a_gpu_that_tensorflow_cannot_use_is_given_up(monkeypatch, tmp_path, capsys):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'A100, 40 GB, 550.1'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    command._check_gpus()
    assert capsys.readouterr().out.startswith("the GPU is not used: A100, 40 GB, 550.1: its driver")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "-1" and execute.visible_gpus() == []
