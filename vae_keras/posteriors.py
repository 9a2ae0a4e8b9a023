"""What codes are drawn from once an image is seen: the posterior q(z given x) of a `VAE`.

Each kind begins with the encoder's two outputs, `moments`: means and logarithms of variances,
`(batch_size, latent_dim)` each. `draw` is a function from such a pair to codes, see `Sampler`.
"""

import keras

from vae_keras.losses import log_normal


@keras.saving.register_keras_serializable(package="vae_keras")
class DiagonalNormal(keras.layers.Layer):
    """Independent normal distributions: the encoder's two outputs as they are."""

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.built = True

    def attach(self, encoder):
        """Makes the weights, for the codes of this encoder."""

    def center(self, moments, prior):
        """Returns the code that stands for an image, and logarithms of variances around it."""
        return moments

    def sample(self, moments, prior, draw):
        """Returns a code for each image, and log q(z given x) there, in nats, `(batch_size,)`."""
        z = draw(moments)
        return z, log_normal(z, *moments)

    def kl_parts(self, moments, z, log_q, prior):
        """Returns nats per image and part, see `Prior.kl_parts`."""
        return prior.kl_parts(moments, z, log_q)
