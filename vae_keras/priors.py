"""The prior p(z) of a `VAE`: the distribution of codes before an image is seen.

A prior is a small layer; your own needs `log_prob` and `sample`. `VAE` attaches it to the encoder,
which gives it the shapes, and passes the model's `Sampler` as `draw`: a function that maps means
and logarithms of variances, `(num_codes, latent_dim)` each, to codes.
"""

from vae_keras.losses import kl_per_dim, log_normal
from vae_keras.runtime import keras, ops

NUM_MOMENTS = 5000  # draws to estimate the spread of a prior


class Prior(keras.layers.Layer):
    """Base of all priors, which estimates the KL divergence from one draw.

    Subclasses define `log_prob(z)`, which returns nats per code for `z` of shape
    `(num_codes, latent_dim)`, and `sample(num_codes, draw)`, which returns codes of that shape.
    """

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def attach(self, encoder):
        """Creates the weights for the codes of this encoder."""
        if hasattr(self, "latent_dim"):
            raise ValueError("`prior` is part of another `VAE`: each needs a prior of its own")
        self.latent_dim = encoder.outputs[0].shape[-1]
        self.built = True

    def adapt(self, images):
        """Initialises weights from images in [0, 1], `(num_images, height, width, channels)`."""

    def kl_parts(self, moments, z, log_q):
        """Returns the KL divergence of posteriors from this prior, in parts that add up to it.

        Args:
            moments: pair `(z_mean, z_log_var)` of diagonal normal posteriors.
            z: a draw from each posterior, `(batch_size, latent_dim)`.
            log_q: log-density of the posterior at `z`, `(batch_size,)`.

        Returns:
            Nats per image and part, `(batch_size, num_parts)`: one part per latent dimension if
            the divergence has a closed form, otherwise a single part, estimated from the draw.
        """
        return (log_q - self.log_prob(z))[:, None]

    def spread(self, draw):
        """Returns mean and standard deviation of each latent dimension, `(latent_dim,)` each."""
        z = self.sample(NUM_MOMENTS, draw)
        return ops.mean(z, axis=0), ops.std(z, axis=0)

    def _noise(self, num_codes, draw, num_columns=None):
        zeros = ops.zeros((num_codes, num_columns or self.latent_dim))
        return draw((zeros, zeros))


@keras.saving.register_keras_serializable(package="vae_keras")
class StandardNormal(Prior):
    """Independent normal distributions of mean 0 and variance 1."""

    def log_prob(self, z):
        return log_normal(z, ops.zeros_like(z), ops.zeros_like(z))

    def sample(self, num_codes, draw):
        return self._noise(num_codes, draw)

    def kl_parts(self, moments, z, log_q):
        return kl_per_dim(*moments)

    def spread(self, draw):
        return ops.zeros(self.latent_dim), ops.ones(self.latent_dim)
