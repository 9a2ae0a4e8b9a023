"""Distributions fitted to a trained model's codes, to draw codes from instead of the prior.

>>> vae.sample(16, codes=Mixture(vae, images))
"""

import math

import numpy as np

from vae_keras.evaluation.batched import encode, over_batches
from vae_keras.evaluation.codes import fit_mixture, sample_mixture
from vae_keras.recipe import build_optimizer
from vae_keras.runtime import keras, layers
from vae_keras.vae import VAE

BATCH_SIZE = 256  # codes
FIRST_SCALE = 0.02  # initial standard deviation, as a share of the codes' range


class Mixture:
    """A mixture of ten Gaussians with full covariances.

    Args:
        vae: an unconditional `VAE`.
        images: training images, `(num_images, height, width, channels)`; 10,000 are enough.

    Reference:
        Ghosh et al., 2020, "From Variational to Deterministic Autoencoders", section 4.
    """

    def __init__(self, vae, images):
        self.mixtures = fit_mixture(encode(vae, images)[0])
        self.rng = np.random.default_rng(0)

    def sample(self, num_codes, draw=None):
        """Draws codes, `(num_codes, latent_dim)`, different ones in each call."""
        return sample_mixture(self.mixtures, num_codes, self.rng.integers(2**31))[0]


class SecondStage:
    """A second VAE, trained on codes as images of one pixel with `latent_dim` channels.

    It is trained on one draw from each image's posterior. Its likelihood has a learned variance,
    and `sample` draws from this likelihood instead of returning its mean.

    Args:
        vae: a `VAE`.
        images: training images, `(num_images, height, width, channels)`.
        labels: integers, `(num_images,)`; only a conditional model needs them.
        num_steps: minimum number of training steps, rounded up to whole epochs.
        hidden_units: units in each of the two hidden layers of the encoder and of the decoder.

    Reference:
        Dai & Wipf, 2019, "Diagnosing and Enhancing VAE Models", section 3.
    """

    def __init__(self, vae, images, labels=None, num_steps=4000, hidden_units=512):
        def draw(images, labels):
            return vae.draw(vae.moments(images, labels))[0]

        codes = over_batches(draw, images, labels)
        # Scale the codes to [0.1, 0.9], which a sigmoid reaches easily.
        self.lowest, self.range = codes.min(axis=0), np.ptp(codes, axis=0) / 0.8
        pixels = ((codes - self.lowest) / self.range + 0.1)[:, None, None]
        self.vae = VAE(*_build_networks(vae.latent_dim, hidden_units), likelihood="sigma")
        self.vae.adapt(pixels)
        # A start at the codes' own standard deviation would leave latent dimensions unused.
        self.vae.log_scale.assign(math.log(FIRST_SCALE))
        steps = math.ceil(len(pixels) / BATCH_SIZE)
        epochs = math.ceil(num_steps / steps)
        self.vae.compile(optimizer=build_optimizer(epochs * steps))
        self.vae.fit(pixels, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)

    def sample(self, num_codes, draw):
        """Draws codes.

        Args:
            num_codes: number of codes.
            draw: function from means and logarithms of variances to normal draws, see `Prior`.

        Returns:
            `(num_codes, latent_dim)`.
        """
        mean = self.vae.decode(self.vae.prior.sample(num_codes, draw))[:, 0, 0]
        pixels = draw((mean, np.full(mean.shape, 2 * float(self.vae.log_scale), "float32")))
        return (pixels - 0.1) * self.range + self.lowest


def _build_networks(latent_dim, hidden_units):
    """Builds dense networks that append their input to the last hidden layer, as in the paper."""

    def hidden(inputs):
        outputs = inputs
        for _ in range(2):
            outputs = layers.Dense(hidden_units, activation="relu", dtype="float32")(outputs)
        return layers.Concatenate(dtype="float32")([inputs, outputs])

    pixels, z = keras.Input((1, 1, latent_dim)), keras.Input((latent_dim,))
    features = hidden(layers.Flatten(dtype="float32")(pixels))
    moments = [layers.Dense(latent_dim, dtype="float32")(features) for _ in range(2)]
    logits = layers.Dense(latent_dim, dtype="float32")(hidden(z))
    logits = layers.Reshape((1, 1, latent_dim), dtype="float32")(logits)
    return keras.Model(pixels, moments), keras.Model(z, logits)
