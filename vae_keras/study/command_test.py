import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from vae_keras.study import command, runs, sweeps
from vae_keras.study.parameters import BEYOND, PARAMETERS

pytestmark = pytest.mark.faults


@pytest.fixture
def tiny(monkeypatch, notebook, tmp_path):
    """A sweep of two runs over a notebook that trains nothing, on images that are there."""
    grid = {"dataset": ["fashion_mnist", "cifar10"]}
    monkeypatch.setattr(sweeps, "SWEEPS", {"tiny": [grid]})
    monkeypatch.setattr(sweeps, "NOTEBOOK", notebook())
    monkeypatch.setattr(command, "_report", lambda options: print("reported"))
    monkeypatch.setenv("VAE_KERAS_DATA", str(tmp_path))
    for name in grid["dataset"]:
        (tmp_path / f"{name}.npz").touch()


def chosen(*arguments):
    """The data sets of the runs that a sweep chooses."""
    options = command._parser().parse_args(["sweep", *arguments])
    return {run["dataset"] for run in command._choose_runs(options)}


def test_a_failed_run_waits_until_it_is_asked_for(tiny, monkeypatch, notebook, models, capsys):
    monkeypatch.setattr(sweeps, "NOTEBOOK", notebook("if dataset == 'cifar10': 1 / 0"))
    assert command.main(["sweep", "tiny", "--jobs", "2"]) == 1
    shown = capsys.readouterr().out
    assert "2 runs to do, 2 at a time: for how long is not known yet" in shown
    assert "FAILED cifar10_" in shown and "ZeroDivisionError" in shown
    assert f"1 of 2 runs are finished: {models}" in shown and "reported" in shown
    assert "to go on: make sweep SWEEP=tiny BUDGET=quick JOBS=2 RETRY=1" in shown
    monkeypatch.setattr(sweeps, "NOTEBOOK", notebook())
    assert command.main(["sweep", "tiny"]) == 1
    shown = capsys.readouterr().out
    assert "1 of them were finished before" in shown and "failed before: cifar10_" in shown
    (written,) = models.glob("*/metrics.json")
    time_written = written.stat().st_mtime_ns
    assert command.main(["sweep", "tiny", "--retry-failed"]) == 0
    assert "2 of 2 runs are finished" in capsys.readouterr().out
    assert list(runs.load_results()["dataset"]) == ["cifar10", "fashion_mnist"]
    assert written.stat().st_mtime_ns == time_written
    assert command.main(["list"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == [
        *("tiny", "2"),
        *("2", "in", "0", "s", "-", "-", "-"),
    ]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["fast"], "`sweep` must be one of tiny. Received: 'fast'"),
        (["tiny", "--budget", "huge"], "`budget` must be one of quick, short, study, full"),
        (["tiny", "--jobs", "0"], "`--jobs` must be at least 1"),
        (["tiny", "--time-limit", "0"], "`--time-limit` must be above 0"),
        (["tiny", "--dataset", "nonsense"], "`dataset` must be one of"),
    ],
)
def test_bad_arguments_are_one_line(arguments, message, tiny, models, capsys):
    assert command.main(["sweep", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not models.exists()


def test_a_notebook_with_other_parameters_is_found_before_anything_runs(
    tiny, monkeypatch, notebook, tmp_path, models, capsys
):
    monkeypatch.setattr(sweeps, "NOTEBOOK", notebook(depth=3))
    assert command.main(["sweep", "tiny"]) == 2
    assert "'depth' of 02_train_vae.ipynb is unknown to the study" in capsys.readouterr().err
    path = notebook()
    path.write_text(path.read_text().replace("free_bits = 0.0", "pass"))
    assert command.main(["sweep", "tiny"]) == 2
    assert "'free_bits' of the study is unknown to 02_train_vae" in capsys.readouterr().err
    monkeypatch.setattr(sweeps, "NOTEBOOK", tmp_path / "none.ipynb")
    assert command.main(["sweep", "tiny"]) == 2
    assert "sweeps run from a checkout" in capsys.readouterr().err
    assert not models.exists()


def test_a_folder_that_cannot_be_written_is_named_with_a_cure(tiny, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VAE_KERAS_MODELS", str(tmp_path / "file"))
    assert command.main(["sweep", "tiny"]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "file") in error and "set VAE_KERAS_MODELS" in error


def test_only_images_that_are_not_here_are_looked_for(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(command, "_fetch", asked.append)
    monkeypatch.setenv("VAE_KERAS_DATA", str(tmp_path))
    (tmp_path / "cifar10.npz").touch()
    assert chosen("quick") == {"fashion_mnist", "cifar10"}
    assert chosen("quick", "--data", "embedded") == {"digits", "photos"}
    assert chosen("quick", "--dataset", "digits") == {"digits"}
    assert asked == [["fashion_mnist"]]
    monkeypatch.chdir(tmp_path)
    assert chosen("quick", "--dataset", "folder:birds") == {f"folder:{tmp_path}/birds"}
    assert chosen("quick", "--dataset", "a.npz") == {f"{tmp_path}/a.npz"}


def test_the_embedded_images_stand_in_for_what_is_needed_and_not_here(monkeypatch, capsys):
    monkeypatch.setattr(command, "_fetch", lambda names: f"{names[0]}: tried this and that")
    assert chosen("quick") == {"digits", "photos"}
    shown = capsys.readouterr().out
    assert "cifar10: tried this and that" in shown and "stand in" in shown
    for arguments in (["--data", "real"], ["--dataset", "mnist"]):
        with pytest.raises(FileNotFoundError, match="tried this and that"):
            chosen("quick", *arguments)
    for run in sweeps.declared_runs("quick"):
        runs.finish_run(runs.start_run(**run), {"elbo": -1.0})
    assert chosen("quick") == {"fashion_mnist", "cifar10"}


def test_a_data_folder_that_is_not_there_is_an_error(tiny, monkeypatch, tmp_path, models, capsys):
    monkeypatch.setenv("VAE_KERAS_DATA", str(tmp_path / "typo"))
    assert command.main(["sweep", "tiny"]) == 2
    assert "VAE_KERAS_DATA must be an existing folder" in capsys.readouterr().err
    assert not models.exists()


def test_conditional_runs_on_images_without_classes_are_refused(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sweeps, "SWEEPS", {"tiny": [{"dataset": ["mnist"], "conditional": [True]}]})
    np.savez(tmp_path / "own.npz", images=np.zeros((90, 8, 8), "uint8"))
    assert command.main(["sweep", "tiny", "--dataset", str(tmp_path / "own.npz")]) == 2
    assert "a conditional model needs images with classes" in capsys.readouterr().err


def test_images_that_are_not_there_are_one_line(tmp_path):
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
def test_runs_that_are_not_of_the_study_have_a_folder_of_their_own(arguments, folder, monkeypatch):
    monkeypatch.setenv("VAE_KERAS_MODELS", "")
    default = runs.models_folder()
    command._choose_folder(command._parser().parse_args(["sweep", "quick", *arguments]))
    assert runs.models_folder() == default / folder


def test_each_run_is_executed_by_its_own_notebook(tiny, notebook, monkeypatch):
    example = notebook(**BEYOND | {"prior": "vamp"})  # the notebook's own choice is no usual one
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


def test_a_stopped_sweep_writes_the_table_and_says_how_to_go_on(tiny, models, capfd, notebook):
    path = notebook("if dataset == 'cifar10': Path(str(run) + '.pid').touch(); time.sleep(60)")
    code = (  # Ctrl-C is heard even where these tests run in the background
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
    assert "1 of 2 runs are finished" in shown
    assert "to go on: make sweep SWEEP=tiny BUDGET=quick DATA=real JOBS=1\n" in shown
    assert list(runs.load_results()["dataset"]) == ["fashion_mnist"]
