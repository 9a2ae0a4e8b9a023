import json
import sys
import threading
import time

import nbformat
import pytest

from vae_keras import execution, runs
from vae_keras.parameters import PARAMETERS
from vae_keras.parameters_test import VALID

TRAIN = """
import os
from vae_keras import runs
run = runs.start_run(**{name: globals()[name] for name in %r})
threads = os.environ["VAE_KERAS_THREADS"]
runs.finish_run(run, {"elbo": -1.0 - seed, "learning": learning_rate, "threads": threads})
""" % (PARAMETERS,)


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_KERAS_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path / "models"


def write_notebook(folder, *sources, **changes):
    """A notebook with the parameters of a run and the given cells."""
    parameters = {**VALID, **changes}
    first = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    cells = [nbformat.v4.new_code_cell(source) for source in (first, *sources)]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}}
    path = folder / "02_train_vae.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    return path


def execute(notebook, parameters=VALID, jobs=1):
    return execution.execute(notebook, parameters, execution.Slots(jobs), {})


def test_parameters_arrive_as_they_are(tmp_path, models):
    parameters = {**VALID, "learning_rate": 1e-5, "seed": 3, "dataset": "digits"}
    assert execute(write_notebook(tmp_path, TRAIN), parameters) is None
    assert runs.is_finished(parameters)
    folder = models / runs.run_name(parameters)
    assert json.loads((folder / "params.json").read_text()) == parameters
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["learning"] == 1e-5
    assert metrics["threads"] == str(execution.num_cores())
    assert (folder / "02_train_vae.ipynb").exists()


def test_a_failure_names_the_cell_and_the_error(tmp_path):
    notebook = write_notebook(tmp_path, "first = 1", "second = first / 0")
    message = execute(notebook)
    assert "ZeroDivisionError: division by zero" in message
    assert "second = first / 0" in message
    assert "cell [4]" in message  # parameters, papermill's own cell, first, second
    assert not runs.is_finished(VALID)


def test_a_kernel_that_dies_is_a_failure(tmp_path):
    message = execute(write_notebook(tmp_path, "import os", "os._exit(3)"))
    assert "DeadKernelError" in message


def test_a_kernel_that_does_not_start_is_started_again(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text(
        f"#!/bin/sh\necho start >> {tmp_path}/starts\n"
        f"[ $(wc -l < {tmp_path}/starts) -lt $STARTS_NEEDED ] && "
        f"echo 'RuntimeError: {execution.KERNEL_NOT_STARTED}' >&2 && exit 1\n"
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    monkeypatch.setattr(execution.sys, "executable", str(python))
    monkeypatch.setenv("STARTS_NEEDED", "3")
    assert execute(write_notebook(tmp_path, TRAIN)) is None
    monkeypatch.setenv("STARTS_NEEDED", "99")
    message = execute(write_notebook(tmp_path, TRAIN), {**VALID, "seed": 5})
    assert execution.KERNEL_NOT_STARTED in message


def test_a_notebook_that_finishes_nothing_is_a_failure(tmp_path):
    assert "wrote no metrics.json" in execute(write_notebook(tmp_path, "pass"))


def test_a_run_that_another_sweep_has_in_hand_is_left_to_it(tmp_path, models):
    folder = models / runs.run_name(VALID)
    folder.mkdir(parents=True)
    with execution._lock(folder) as free:
        assert free
        assert execute(write_notebook(tmp_path, TRAIN)) == "another sweep has this run in hand"
    assert list(folder.iterdir()) == [folder / ".lock"]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"depth": 3}, "'depth' of 02_train_vae.ipynb is unknown to the sweep"),
        ({}, "'extra' of the sweep is unknown to 02_train_vae.ipynb"),
    ],
)
def test_parameters_are_compared_both_ways(changes, message, tmp_path):
    notebook = write_notebook(tmp_path, **changes)
    names = PARAMETERS if changes else (*PARAMETERS, "extra")
    with pytest.raises(ValueError, match=message):
        execution.check_notebook(notebook, names)


def test_the_same_parameters_pass_and_a_missing_notebook_is_named(tmp_path):
    execution.check_notebook(write_notebook(tmp_path), PARAMETERS)
    with pytest.raises(FileNotFoundError, match="sweeps run from a checkout"):
        execution.check_notebook(tmp_path / "none.ipynb", PARAMETERS)


def test_cores_are_shared_out(monkeypatch):
    monkeypatch.setattr(execution, "num_cores", lambda: 8)
    monkeypatch.setattr(execution, "visible_gpus", list)
    for jobs, threads in ((1, "8"), (3, "2"), (8, "1"), (20, "1")):
        with execution.Slots(jobs).environment() as variables:
            assert variables == {"VAE_KERAS_THREADS": threads, "OMP_NUM_THREADS": threads}


def test_each_run_has_a_gpu_for_itself(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert execution.visible_gpus() == ["2", "5"]
    assert execution.default_jobs() == 2
    slots = execution.Slots(2)
    with slots.environment() as first, slots.environment() as second:
        assert first == {"CUDA_VISIBLE_DEVICES": "2"}
        assert second == {"CUDA_VISIBLE_DEVICES": "5"}
        third = []
        thread = threading.Thread(target=lambda: third.append(slots.environment().__enter__()))
        thread.start()
        time.sleep(0.1)
        assert third == []  # waits until one is free
    thread.join(timeout=5)
    assert third == [{"CUDA_VISIBLE_DEVICES": "5"}]


def test_gpus_are_counted_by_the_drivers_own_tool(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: x)'\necho 'GPU 1: A (UUID: y)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert execution.visible_gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert execution.visible_gpus() == []


def test_jobs_respect_the_memory(monkeypatch):
    monkeypatch.setattr(execution, "visible_gpus", list)
    monkeypatch.setattr(execution, "num_cores", lambda: 64)
    pages = {"SC_PHYS_PAGES": 8 * 2**30 // 4096, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(execution.os, "sysconf", pages.__getitem__)
    assert execution.default_jobs() == 2
