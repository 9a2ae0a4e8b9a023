"""Training objectives: the negative ELBO, and the interface of its alternatives.

An objective is a small layer. The model draws `num_draws` codes from each posterior, and `loss`
turns them into nats per image. `vae.kl_weight`, which equals `beta` after a warm-up, multiplies the
cost of the codes.
"""

from typing import NamedTuple

from vae_keras.losses import free_bits_divergence
from vae_keras.runtime import keras, ops


class Draw(NamedTuple):
    """One code for each image of a batch, with its terms of the loss.

    Attributes:
        z: codes, `(batch_size, latent_dim)`.
        log_q: log q(z given x), `(batch_size,)`.
        kl_parts: nats per image, `(batch_size, num_parts)`, see `Prior.kl_parts`.
        logits: of the images, `(batch_size, height, width, channels)`.
        reconstruction_loss: nats per image, `(batch_size,)`.
    """

    z: object
    log_q: object
    kl_parts: object
    logits: object
    reconstruction_loss: object


@keras.saving.register_keras_serializable(package="vae_keras")
class ELBO(keras.layers.Layer):
    """The negative ELBO with a weighted KL divergence and free bits."""

    num_draws = 1

    def loss(self, vae, images, moments, draws):
        """Returns the loss of each image in nats, `(batch_size,)`.

        Args:
            vae: the `VAE`.
            images: in [0, 1], `(batch_size, height, width, channels)`.
            moments: the encoder's pair of outputs, `(batch_size, latent_dim)` each.
            draws: list of `Draw`, `num_draws` of them.
        """
        (draw,) = draws
        return draw.reconstruction_loss + vae.kl_weight * self.rate(vae, draw)

    def rate(self, vae, draw):
        """Returns the KL divergence of each image with free bits, in nats, `(batch_size,)`."""
        if not vae.free_bits:
            return ops.sum(draw.kl_parts, axis=-1)
        if draw.kl_parts.shape[-1] != vae.latent_dim:
            raise ValueError(
                "`free_bits` needs a KL divergence of each latent dimension, which a trained prior "
                "or a flow posterior does not give"
            )
        return free_bits_divergence(draw.kl_parts, vae.free_bits)
