"""Keras callbacks of a training run: the KL schedule, and what is recorded after every epoch."""

import time

import keras
import numpy as np

from vae_keras.evaluation import encode, reconstruct
from vae_keras.measures import image_quality


class KLSchedule(keras.callbacks.Callback):
    """Moves `vae.kl_weight` between 0 and `vae.beta` before every training step.

    The weight rises linearly over `warmup_epochs` and then stays at beta; with several cycles it
    falls back to 0 at the start of each. The clock is the optimizer's count of training steps:
    validation does not move it, and it goes on where a saved model left off.

    Args:
        epochs: number of epochs that the cycles share out among them.
        warmup_epochs: length of each rise in epochs, at least 0; 0 is a constant weight.
        kl_cycles: number of cycles, at least 1.

    References:
        Bowman et al., 2016, "Generating Sentences from a Continuous Space", section 3.1 (warm-up);
        Fu et al., 2019, "Cyclical Annealing Schedule", section 3.2 (cycles).
    """

    def __init__(self, epochs, warmup_epochs=0, kl_cycles=1):
        super().__init__()
        self.epochs = epochs
        self.warmup_epochs = warmup_epochs
        self.kl_cycles = kl_cycles

    def on_train_batch_begin(self, batch, logs=None):
        if not self.warmup_epochs:
            return
        epoch = int(self.model.optimizer.iterations) / self.params["steps"]
        self.model.kl_weight.assign(self.model.beta * self.fraction(epoch))

    def fraction(self, epoch):
        """Returns the share of beta, from 0 to 1, at a time in epochs, which may be fractional."""
        if not self.warmup_epochs:
            return 1.0
        length = self.epochs / self.kl_cycles
        cycle = min(epoch // length, self.kl_cycles - 1)
        return min(1.0, (epoch - cycle * length) / self.warmup_epochs)

    def on_epoch_end(self, epoch, logs=None):
        logs["kl_weight"] = float(self.model.kl_weight)


class EpochRecorder(keras.callbacks.Callback):
    """Records, after every epoch, how good reconstructions are and how they look.

    MSE, PSNR and SSIM of fixed training and validation images go into the logs (and so into the
    history and a `CSVLogger` that comes after), with the prefix `val_` for the latter, and so do
    the seconds spent on training steps. Reconstructions and latent codes of further images are
    kept for animations, the first of them before training.

    Args:
        train: images, or pair of images and labels of a conditional model.
        validation: the same, of the validation split.
        pictures: the same, images to reconstruct after every epoch.
        codes: the same, images to encode after every epoch.

    Attributes:
        reconstructions: list of uint8 arrays `(num_pictures, height, width, channels)`.
        z_means: list of arrays `(num_codes, latent_dim)`.
        train_seconds: seconds spent on training epochs, without validation and recording.
    """

    def __init__(self, train, validation, pictures, codes):
        super().__init__()
        self.fixed = {"": _pair(train), "val_": _pair(validation)}
        self.pictures = _pair(pictures)
        self.codes = _pair(codes)
        self.reconstructions = []
        self.z_means = []
        self.train_seconds = 0.0

    def on_train_begin(self, logs=None):
        self._record_pictures()

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()
        self._training = True

    def on_test_begin(self, logs=None):
        self._stop_clock()

    def on_epoch_end(self, epoch, logs=None):
        self._stop_clock()
        for prefix, (images, labels) in self.fixed.items():
            quality = image_quality(images, reconstruct(self.model, images, labels))
            logs.update({prefix + name: value for name, value in quality.items()})
        self._record_pictures()

    def _stop_clock(self):
        if self._training:
            self.train_seconds += time.perf_counter() - self._start
        self._training = False

    def _record_pictures(self):
        pictures = reconstruct(self.model, *self.pictures)
        self.reconstructions.append(np.round(255 * pictures).astype("uint8"))
        self.z_means.append(encode(self.model, *self.codes)[0])


def _pair(data):
    return data if isinstance(data, tuple) else (data, None)
