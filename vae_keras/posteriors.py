"""The posterior q(z given x) of a `VAE`: the distribution of codes, given an image.

Each kind starts from the encoder's two outputs, `moments`: means and logarithms of variances,
`(batch_size, latent_dim)` each. `draw` is a function that maps such a pair to codes, see `Sampler`.
"""

from vae_keras.losses import log_normal
from vae_keras.runtime import keras


@keras.saving.register_keras_serializable(package="vae_keras")
class DiagonalNormal(keras.layers.Layer):
    """Independent normal distributions with the encoder's two outputs as moments."""

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.built = True

    def attach(self, encoder):
        """Creates the weights for the codes of this encoder."""

    def center(self, moments, prior):
        """Returns the code that represents each image, and logarithms of variances around it."""
        return moments

    def sample(self, moments, prior, draw):
        """Returns a code for each image, and log q(z given x) there, in nats, `(batch_size,)`."""
        z = draw(moments)
        return z, log_normal(z, *moments)

    def kl_parts(self, moments, z, log_q, prior):
        """Returns nats per image and part, see `Prior.kl_parts`."""
        return prior.kl_parts(moments, z, log_q)
