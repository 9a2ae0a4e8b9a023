"""What codes are drawn from before an image is seen: the prior p(z) of a `VAE`.

A prior is a small layer of four methods; one of your own needs no more. `vae` attaches it to the
encoder, which tells it the shapes, and draws with the model's own `Sampler`: `draw` below is a
function from means and logarithms of variances, `(num_codes, latent_dim)` each, to codes.
"""

import keras
from keras import ops

from vae_keras.losses import kl_per_dim, log_normal

NUM_MOMENTS = 5000  # draws from which the spread of a prior is measured


class Prior(keras.layers.Layer):
    """Base of all priors: the KL divergence by one draw.

    Subclasses have `log_prob(z)`, nats per code for `z` of shape `(num_codes, latent_dim)`, and
    `sample(num_codes, draw)`, codes of that shape.
    """

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def attach(self, encoder):
        """Makes the weights, for the codes of this encoder."""
        self.latent_dim = encoder.outputs[0].shape[-1]
        self.built = True

    def adapt(self, images):
        """Starts the weights at images in [0, 1], `(num_images, height, width, channels)`."""

    def kl_parts(self, moments, z, log_q):
        """Returns what codes cost against this prior in parts whose sum is the KL divergence.

        Args:
            moments: pair `(z_mean, z_log_var)` of diagonal normal posteriors.
            z: a draw from each of them, `(batch_size, latent_dim)`.
            log_q: its log-density there, `(batch_size,)`.

        Returns:
            Nats per image and part, `(batch_size, num_parts)`: a part is a latent dimension where
            the divergence is known in closed form, and otherwise there is one, known by one draw.
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
