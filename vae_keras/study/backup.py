"""A training's whole state after each epoch, from which a killed run goes on.

Keras's own `BackupAndRestore` saves neither the state of random draws nor what callbacks recorded,
and a kill while it writes leaves half a file.
"""

import json
import logging
from pathlib import Path

import numpy as np

from vae_keras import runtime
from vae_keras.runtime import keras
from vae_keras.study import runs

ITERATORS_PER_EPOCH = 2  # that Keras makes: one at the start of an epoch, one at its end
# A run can go on elsewhere, but with the same software and precision.
SOFTWARE = ("vae_keras_version", "tensorflow_version", "keras_version", "precision")
logger = logging.getLogger(__name__)


class Backup(keras.callbacks.Callback):
    """Writes `backup.npz` into a run's folder after each epoch; it must be the last callback.

    A training that goes on from it ends with the same weights and the same history, to the last
    digit, as one that was never interrupted: given one device and the same number of threads.
    `runs.finish_run` removes the file.

    Args:
        run: the run's folder.
        vae: a compiled `VAE`.
        recorder: the training's `EpochRecorder`.
    """

    def __init__(self, run, vae, recorder):
        super().__init__()
        self.path = Path(run) / runs.BACKUP
        self.history = Path(run) / "history.csv"
        self.recorder = recorder
        vae.optimizer.build(vae.trainable_variables)
        self.variables = [*vae.variables, *vae.optimizer.variables]  # seeds of draws, too
        machine = runtime.describe()
        self.software = json.dumps({name: machine[name] for name in SOFTWARE})

    def restore(self, train_batches):
        """Brings the training to where the backup was made, if there is one for this software.

        Args:
            train_batches: what `image_batches` returned; the orders of past epochs are skipped.

        Returns:
            The number of epochs that are done, for `initial_epoch` of `fit`.
        """
        try:
            with open(self.path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
                state = dict(arrays)
            if str(state["software"]) != self.software:
                raise ValueError(f"it is of {state['software']}, this is {self.software}")
            values = [state[f"variable_{number}"] for number in range(len(self.variables))]
        except FileNotFoundError:
            return 0
        except Exception as error:  # damaged files make zipfile and NumPy raise errors of any kind
            logger.warning("trained from the start, %s cannot be used: %s", self.path, error)
            return 0
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)
        self.recorder.train_seconds = float(state["train_seconds"])
        self.recorder.reconstructions = list(state["reconstructions"])
        self.recorder.z_means = list(state["z_means"])
        with runs.atomic(self.history) as partial:
            partial.write_bytes(state["history"].tobytes())
        for _ in range(ITERATORS_PER_EPOCH * int(state["epochs"])):
            iter(train_batches)  # each iterator has an order of its own
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
