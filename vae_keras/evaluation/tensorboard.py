"""TensorBoard logs of training, if the environment asks for them."""

import os
from importlib.util import find_spec

from vae_keras.runtime import keras, tf


class TensorBoard(keras.callbacks.TensorBoard):
    """Extends Keras's callback by reconstructions of fixed images after each epoch.

    Args:
        folder: path for the logs.
        pictures: pair of images `(num_images, height, width, channels)` and labels `(num_images,)`;
            labels may be None unless the model is conditional.
    """

    def __init__(self, folder, pictures):
        super().__init__(folder)
        self.pictures = pictures

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        images = self.model.reconstruct(*self.pictures)
        with self._val_writer.as_default():
            tf.summary.image("reconstructions", images, step=epoch, max_outputs=len(images))


def tensorboard(folder, pictures):
    """Returns the list of TensorBoard callbacks: one with `TENSORBOARD=1`, otherwise none.

    Args:
        folder: path for the logs.
        pictures: see `TensorBoard`.

    Raises:
        ImportError: if `TENSORBOARD=1` and the package `tensorboard` is not installed.
    """
    if os.environ.get("TENSORBOARD") != "1":
        return []
    if find_spec("tensorboard") is None:
        raise ImportError("TENSORBOARD=1 needs the package tensorboard: pip install tensorboard")
    return [TensorBoard(folder, pictures)]
