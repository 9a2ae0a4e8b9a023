import nbformat
import pytest

from vae_keras.study import sweeps
from vae_keras.study.parameters import PARAMETERS

OWN = {"dataset": "fashion_mnist", "latent_dim": 2, "epochs": 2}
VALID = {name: (sweeps.FIXED | sweeps.RECIPE | OWN)[name] for name in PARAMETERS}
# Settings of a run of notebook 02 that takes only seconds.
REAL = {
    "dataset": "digits",
    "architecture": "plain",
    "latent_dim": 4,
    "train_fraction": 0.5,
    "evaluation_fraction": 0.1,
}
# Cells of a notebook that trains nothing.
START = f"""
import os, signal, time
from pathlib import Path
from vae_keras.study import runs
run = runs.start_run(**{{name: globals()[name] for name in {PARAMETERS}}})
"""
FINISH = """
threads = os.environ.get("VAE_KERAS_THREADS", "none")
runs.finish_run(run, {"elbo": -1.0 - seed, "threads": threads, "pid": os.getpid()})
"""


@pytest.fixture
def valid():
    """Valid parameters of a run."""
    return dict(VALID)


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    """Path of a models folder that does not exist yet."""
    for name in ("CUDA_VISIBLE_DEVICES", "VAE_KERAS_DATA", "VAE_KERAS_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VAE_KERAS_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def small_data(tmp_path, monkeypatch):
    """Small stand-ins for the public data sets; Keras's dtype policy is restored afterwards."""
    from vae_keras.data.embedded import write_stand_ins
    from vae_keras.runtime import dtype_policy, keras

    write_stand_ins(tmp_path, num_train=60, num_test=20)
    monkeypatch.setenv("VAE_KERAS_DATA", str(tmp_path))
    with dtype_policy(keras.config.dtype_policy()):
        yield


@pytest.fixture
def notebook(tmp_path):
    """A function that writes a notebook that starts a run, executes `cell` and finishes the run."""

    def write(cell="pass", finish=FINISH, **changes):
        first = "\n".join(f"{name} = {value!r}" for name, value in {**VALID, **changes}.items())
        cells = [nbformat.v4.new_code_cell(source) for source in (first, START, cell, finish)]
        cells[0].metadata["tags"] = ["parameters"]
        kernel = {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}}
        path = tmp_path / "02_train_vae.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
        return path

    return write
