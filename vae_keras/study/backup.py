"""Saves the complete state of a training after each epoch, so that a killed run can resume.

Keras's own `BackupAndRestore` saves neither the random state nor the records of callbacks, and
leaves a truncated file if it is killed while writing.
"""

import json
import logging
from pathlib import Path

import numpy as np

from vae_keras import runtime
from vae_keras.runtime import keras
from vae_keras.study import runs

ITERATORS_PER_EPOCH = 2  # Keras creates one at the start of an epoch and one at its end
# A backup works on another machine, but only with the same software and precision.
SOFTWARE = ("vae_keras_version", "tensorflow_version", "keras_version", "precision")
logger = logging.getLogger(__name__)


class Backup(keras.callbacks.Callback):
    """Writes `backup.npz` into a run's folder after each epoch. Must be the last callback.

    A resumed training ends with the same weights and history, to the last digit, as an
    uninterrupted one, given one device and the same number of threads. `runs.finish_run` removes
    the file.

    Args:
        run: path of the run's folder.
        vae: a compiled `VAE`.
        recorder: the training's `EpochRecorder`.
    """

    def __init__(self, run, vae, recorder):
        super().__init__()
        self.path = Path(run) / runs.BACKUP
        self.history = Path(run) / "history.csv"
        self.recorder = recorder
        with vae.distribute_strategy.scope():
            vae.optimizer.build(vae.trainable_variables)
        self.variables = [*vae.variables, *vae.optimizer.variables]  # including the random seeds
        machine = runtime.describe()
        self.software = json.dumps({name: machine[name] for name in SOFTWARE})

    def restore(self, train_batches):
        """Restores the state of the training, if there is a backup from the same software.

        Args:
            train_batches: data set from `image_batches`; the shuffles of past epochs are skipped.

        Returns:
            The number of completed epochs, for `initial_epoch` of `fit`.
        """
        try:
            with open(self.path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
                state = dict(arrays)
            if str(state["software"]) != self.software:
                raise ValueError(f"it is from {state['software']}, not {self.software}")
            values = [state[f"variable_{number}"] for number in range(len(self.variables))]
        except FileNotFoundError:
            return 0
        except Exception as error:  # zipfile and NumPy raise various errors for damaged files
            logger.warning("training from the start: %s cannot be used: %s", self.path, error)
            return 0
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)
        self.recorder.train_seconds = float(state["train_seconds"])
        self.recorder.reconstructions = list(state["reconstructions"])
        self.recorder.z_means = list(state["z_means"])
        with runs.atomic(self.history) as partial:
            partial.write_bytes(state["history"].tobytes())
        for _ in range(ITERATORS_PER_EPOCH * int(state["epochs"])):
            iter(train_batches)  # each iterator draws a new order
        return int(state["epochs"])

    def on_epoch_end(self, epoch, logs=None):
        values = {f"variable_{n}": value.numpy() for n, value in enumerate(self.variables)}
        with runs.atomic(self.path) as partial:
            np.savez(
                partial,
                **values,
                epochs=epoch + 1,
                software=self.software,
                train_seconds=self.recorder.train_seconds,
                reconstructions=np.stack(self.recorder.reconstructions),
                z_means=np.stack(self.recorder.z_means),
                history=np.frombuffer(self.history.read_bytes(), "uint8"),
            )
