"""Recording of image quality, reconstructions and codes after each training epoch."""

import time

import numpy as np

from vae_keras.evaluation.batched import decode, encode, reconstruct
from vae_keras.evaluation.codes import active_units, kl_spectrum, relative_to_prior, used_units
from vae_keras.evaluation.evaluate import first_images
from vae_keras.evaluation.images import image_quality
from vae_keras.runtime import keras

NUM_TRAIN_IMAGES = 1000


class EpochRecorder(keras.callbacks.Callback):
    """Records measures of reconstructions and codes after each epoch, and frames for animations.

    The logs receive `mse`, `psnr`, `ssim`, `used_units` and `active_units` for the first 1,000
    training images, the same with the prefix `val_` for all validation images, and the training
    speed `images_per_second`. They appear in the history, and in the file of a `CSVLogger` that
    comes after this callback. Reconstructions and codes are also kept from before the first epoch.

    Args:
        train: the pair `(images, labels)` of all training images, uint8
            `(num_images, height, width, channels)` and integers `(num_images,)`; labels may be
            None unless the model is conditional.
        validation: the same for the validation split.
        pictures: the same for images to reconstruct.
        codes: the same for images to encode.

    Attributes:
        reconstructions: list of uint8 arrays, `(num_pictures, height, width, channels)`.
        z_means: list of arrays, `(num_codes, latent_dim)`.
        train_seconds: time spent on training steps, excluding validation and recording.
    """

    def __init__(self, train, validation, pictures, codes):
        super().__init__()
        self.num_images = len(train[0])
        self.measured = {"": first_images(train, NUM_TRAIN_IMAGES), "val_": validation}
        self.pictures = pictures
        self.codes = codes
        self.reconstructions = []
        self.z_means = []
        self.train_seconds = 0.0
        self._start = None

    def on_train_begin(self, logs=None):
        if not self.z_means:  # else training continues
            self._record()

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_test_begin(self, logs=None):
        self._stop_clock()

    def on_epoch_end(self, epoch, logs=None):
        self._stop_clock()
        logs["images_per_second"] = self.num_images / self._epoch_seconds
        for prefix, (images, labels) in self.measured.items():
            z_mean, z_log_var = encode(self.model, images, labels)
            measures = image_quality(images, decode(self.model, z_mean, labels))
            relative = relative_to_prior(self.model, z_mean, z_log_var)
            measures["used_units"] = used_units(kl_spectrum(*relative)[0])
            measures["active_units"] = active_units(z_mean)
            logs.update({prefix + name: value for name, value in measures.items()})
        self._record()

    def _stop_clock(self):
        """Stops timing the epoch's training, at the start of validation or the end of the epoch."""
        if self._start is not None:
            self._epoch_seconds = time.perf_counter() - self._start
            self.train_seconds += self._epoch_seconds
            self._start = None

    def _record(self):
        pictures = reconstruct(self.model, *self.pictures)
        self.reconstructions.append(np.round(255 * pictures).astype("uint8"))
        self.z_means.append(encode(self.model, *self.codes)[0])
