"""What is recorded after each epoch of a training: image quality, pictures and codes."""

import time

import numpy as np

from vae_keras.evaluation.batched import encode, reconstruct
from vae_keras.evaluation.images import image_quality
from vae_keras.runtime import keras


class EpochRecorder(keras.callbacks.Callback):
    """Records how good reconstructions are after each epoch, and what they look like.

    The MSE, PSNR and SSIM of training images go into the logs, and those of validation images with
    the prefix `val_`; so they reach the history, and a `CSVLogger` that comes after this callback.
    Reconstructions and codes for animations are kept from before the first epoch on.

    Args:
        train: the pair `(images, labels)` to measure, uint8
            `(num_images, height, width, channels)` and integers `(num_images,)`; only a
            conditional model needs labels, otherwise they may be None.
        validation: the same, of the validation split.
        pictures: the same, images to reconstruct.
        codes: the same, images to encode.

    Attributes:
        reconstructions: list of uint8 arrays, `(num_pictures, height, width, channels)`.
        z_means: list of arrays, `(num_codes, latent_dim)`.
        train_seconds: time spent on training steps, without validation and recording.
    """

    def __init__(self, train, validation, pictures, codes):
        super().__init__()
        self.measured = {"": train, "val_": validation}
        self.pictures = pictures
        self.codes = codes
        self.reconstructions = []
        self.z_means = []
        self.train_seconds = 0.0
        self._start = None

    def on_train_begin(self, logs=None):
        self._record()

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_test_begin(self, logs=None):
        self._stop_clock()

    def on_epoch_end(self, epoch, logs=None):
        self._stop_clock()
        for prefix, (images, labels) in self.measured.items():
            quality = image_quality(images, reconstruct(self.model, images, labels))
            logs.update({prefix + name: value for name, value in quality.items()})
        self._record()

    def _stop_clock(self):
        """Ends the time of an epoch's training: when validation begins, or else with the epoch."""
        if self._start is not None:
            self.train_seconds += time.perf_counter() - self._start
            self._start = None

    def _record(self):
        pictures = reconstruct(self.model, *self.pictures)
        self.reconstructions.append(np.round(255 * pictures).astype("uint8"))
        self.z_means.append(encode(self.model, *self.codes)[0])
