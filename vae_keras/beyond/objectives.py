"""Alternatives to the ELBO: a tighter bound, other weights, other distances."""

import math

from vae_keras.objectives import ELBO
from vae_keras.posteriors import DiagonalNormal
from vae_keras.runtime import keras, ops


@keras.saving.register_keras_serializable(package="vae_keras")
class ImportanceWeighted(ELBO):
    """The importance-weighted bound from several draws, tighter than the ELBO.

    `free_bits` is ignored.

    Args:
        num_draws: number of draws, k, at least 1.

    Raises:
        ValueError: if `num_draws` is out of range.

    Reference:
        Burda et al., 2016, "Importance Weighted Autoencoders", equation 8.
    """

    def __init__(self, num_draws=5, **kwargs):
        super().__init__(**kwargs)
        if num_draws < 1:
            raise ValueError(f"`num_draws` must be at least 1. Received: {num_draws}")
        self.num_draws = num_draws

    def loss(self, vae, images, moments, draws):
        log_weights = ops.stack(
            [
                vae.kl_weight * (vae.prior.log_prob(draw.z) - draw.log_q) - draw.reconstruction_loss
                for draw in draws
            ]
        )
        return math.log(self.num_draws) - ops.logsumexp(log_weights, axis=0)

    def get_config(self):
        return {**super().get_config(), "num_draws": self.num_draws}


@keras.saving.register_keras_serializable(package="vae_keras")
class BetaTC(ELBO):
    """The negative ELBO, with `beta` applied to the total correlation only.

    Minibatch-weighted sampling: the mixture of the batch's posteriors, which must be diagonal,
    replaces the aggregate posterior. The published form also divides each density by the size N of
    the data set, which adds `(latent_dim - 1) * log(N)` to the total correlation and changes no
    gradient; it is left out here.

    Reference:
        Chen et al., 2018, "Isolating Sources of Disentanglement in VAEs", sections 3.1 and 4.
    """

    def loss(self, vae, images, moments, draws):
        (draw,) = draws
        if type(vae.posterior) is not DiagonalNormal:
            raise ValueError(f"`BetaTC` needs a `DiagonalNormal` posterior: {vae.posterior!r}")
        correlation = total_correlation(draw.z, *moments)
        return draw.reconstruction_loss + self.rate(vae, draw) + (vae.kl_weight - 1) * correlation


def total_correlation(z, z_mean, z_log_var):
    """Estimates log q(z) - sum_j log q(z_j) for the mixture of a batch's posteriors.

    Args:
        z: a draw from each posterior, `(batch_size, latent_dim)`.
        z_mean: means of the posteriors, of the same shape.
        z_log_var: logarithms of their variances.

    Returns:
        Nats per image, `(batch_size,)`; their mean estimates the total correlation.
    """
    squares = ops.square(z[:, None] - z_mean) * ops.exp(-z_log_var)
    log_probs = -0.5 * (squares + z_log_var + math.log(2 * math.pi))  # draw, posterior, dimension
    log_size = ops.log(ops.cast(ops.shape(z)[0], "float32"))
    together = ops.logsumexp(ops.sum(log_probs, axis=-1), axis=-1) - log_size
    return together - ops.sum(ops.logsumexp(log_probs, axis=1) - log_size, axis=-1)


@keras.saving.register_keras_serializable(package="vae_keras")
class MaximumMeanDiscrepancy(ELBO):
    """Reconstruction loss plus the distance of the batch's codes, as a whole, from the prior.

    `beta` multiplies the squared distance, which is at most 2; a typical value is 1,000.
    `free_bits` is ignored.

    Reference:
        Zhao et al., 2019, "InfoVAE: Balancing Learning and Inference in Variational Autoencoders",
        section 4.2.
    """

    def loss(self, vae, images, moments, draws):
        (draw,) = draws
        other = vae.prior.sample(ops.shape(draw.z)[0], vae.sampler)
        return draw.reconstruction_loss + vae.kl_weight * squared_discrepancy(draw.z, other)


def squared_discrepancy(z, other):
    """Estimates the squared maximum mean discrepancy between two sets of codes, without bias.

    The kernel is `exp(-squared_distance / (2 * latent_dim))`.

    Args:
        z: `(num_codes, latent_dim)`.
        other: codes of the same shape.

    Returns:
        A dimensionless number; sampling noise can make it negative.

    Reference:
        Gretton et al., 2012, "A Kernel Two-Sample Test", equation 3.
    """
    z, other = ops.convert_to_tensor(z), ops.convert_to_tensor(other)
    count = ops.cast(ops.shape(z)[0], "float32")

    def kernel(a, b):
        distances = ops.sum(ops.square(a[:, None] - b), axis=-1)
        return ops.sum(ops.exp(-distances / (2 * z.shape[-1])))

    within = kernel(z, z) + kernel(other, other) - 2 * count  # no code is paired with itself
    pairs = count * ops.maximum(count - 1, 1)  # one code has no pair, and then `within` is 0
    return within / pairs - 2 * kernel(z, other) / count**2


@keras.saving.register_keras_serializable(package="vae_keras")
class Perceptual(ELBO):
    """The negative ELBO plus a squared distance between the features of a fixed network.

    Args:
        features: `keras.Model` that maps images in [0, 1] to a list of feature maps.
        weight: weight of the distance: the mean squared difference of each map, times the number
            of pixels and channels of an image, summed over maps.

    Reference:
        Hou et al., 2017, "Deep Feature Consistent Variational Autoencoder", section 3.2.
    """

    def __init__(self, features, weight=1.0, **kwargs):
        super().__init__(**kwargs)
        self.features = features
        self.features.trainable = False
        self.weight = weight

    def loss(self, vae, images, moments, draws):
        (draw,) = draws
        pairs = zip(self.features(images), self.features(ops.sigmoid(draw.logits)), strict=True)
        distances = [ops.mean(ops.square(a - b), axis=(1, 2, 3)) for a, b in pairs]
        distance = math.prod(vae.image_shape) * sum(ops.cast(part, "float32") for part in distances)
        return super().loss(vae, images, moments, draws) + self.weight * distance

    def get_config(self):
        features = keras.saving.serialize_keras_object(self.features)
        return {**super().get_config(), "features": features, "weight": self.weight}

    @classmethod
    def from_config(cls, config):
        features = keras.saving.deserialize_keras_object(config.pop("features"))
        return cls(features, **config)
