"""Two levels of codes: the prior of the lower level depends on the upper level.

The first quarter of the latent dimensions is the upper level. Inference runs from the top down:
the lower level's posterior is the product of its prior, given the drawn upper code, and of the
encoder's normal distribution. The decoder of `LADDER` sees only the lower level.

>>> networks = build_networks(LADDER, (28, 28, 1), latent_dim=32)
>>> vae = VAE(*networks, prior=LadderPrior(), posterior=LadderPosterior(), free_bits=0.05)

Reference:
    Sønderby et al., 2016, "Ladder Variational Autoencoders", section 2.2.
"""

from vae_keras.losses import kl_per_dim, log_normal
from vae_keras.networks import ARCHITECTURES
from vae_keras.posteriors import DiagonalNormal
from vae_keras.priors import Prior
from vae_keras.runtime import keras, ops


def upper_dim(latent_dim):
    """Returns the number of latent dimensions in the upper level: a quarter, at least 1."""
    return max(1, latent_dim // 4)


def lower_logits(codes, image_shape):
    """Maps the lower level of codes, `(batch_size, latent_dim)`, to logits of images."""
    return RESIDUAL.logits(codes[:, upper_dim(codes.shape[-1]) :], image_shape)


RESIDUAL = ARCHITECTURES["residual"]
LADDER = RESIDUAL._replace(logits=lower_logits)


@keras.saving.register_keras_serializable(package="vae_keras")
class LadderPrior(Prior):
    """Standard normal upper codes; a network maps them to the moments of the lower level.

    Args:
        hidden_units: hidden units of the network.

    Raises:
        ValueError: when it joins a model, if that takes labels or has one latent dimension.
    """

    def __init__(self, hidden_units=128, **kwargs):
        super().__init__(**kwargs)
        self.hidden_units = hidden_units

    def attach(self, encoder):
        super().attach(encoder)
        if len(encoder.inputs) > 1 or self.latent_dim < 2:
            raise ValueError(
                "`LadderPrior` needs an encoder that takes images only, no labels, and has at "
                f"least two latent dimensions. Received: latent_dim={self.latent_dim}"
            )
        self.upper_dim = upper_dim(self.latent_dim)
        num_moments = 2 * (self.latent_dim - self.upper_dim)
        layers = [
            keras.layers.Dense(self.hidden_units, "relu", dtype="float32"),
            keras.layers.Dense(num_moments, kernel_initializer="zeros", dtype="float32"),
        ]
        self.network = keras.Sequential(layers, name="top_down")
        self.network.build((None, self.upper_dim))

    def split(self, codes):
        """Splits codes or moments, `(..., latent_dim)`, into the upper and the lower level."""
        return codes[..., : self.upper_dim], codes[..., self.upper_dim :]

    def lower(self, upper):
        """Returns the moments of the lower level's prior, given upper codes."""
        return ops.split(self.network(upper), 2, axis=-1)

    def join(self, upper, noise):
        """Returns codes, given upper codes and standard normal noise for the lower level."""
        mean, log_var = self.lower(upper)
        return ops.concatenate([upper, mean + ops.exp(0.5 * log_var) * noise], axis=-1)

    def log_prob(self, z):
        upper, lower = self.split(z)
        zeros = ops.zeros_like(upper)
        return log_normal(upper, zeros, zeros) + log_normal(lower, *self.lower(upper))

    def sample(self, num_codes, draw):
        return self.join(*self.split(self._noise(num_codes, draw)))

    def get_config(self):
        return {**super().get_config(), "hidden_units": self.hidden_units}


@keras.saving.register_keras_serializable(package="vae_keras")
class LadderPosterior(DiagonalNormal):
    """Inference from the top down, with a `LadderPrior`."""

    def center(self, moments, prior):
        (upper, _), (log_var, _) = map(prior.split, moments)
        lower = self.lower(moments, upper, prior)
        pairs = zip((upper, log_var), lower, strict=True)
        return tuple(ops.concatenate(pair, axis=-1) for pair in pairs)

    def lower(self, moments, upper, prior):
        """Returns the moments of the lower level's posterior, given upper codes.

        The precisions of the encoder's and the prior's normal distributions add up.
        """
        mean, log_var = (prior.split(moment)[1] for moment in moments)
        prior_mean, prior_log_var = prior.lower(upper)
        total = -ops.logaddexp(-log_var, -prior_log_var)  # the logarithm of the variance
        mean = mean * ops.exp(total - log_var) + prior_mean * ops.exp(total - prior_log_var)
        return mean, total

    def sample(self, moments, prior, draw):
        upper_moments = [prior.split(moment)[0] for moment in moments]
        upper = draw(upper_moments)
        lower_moments = self.lower(moments, upper, prior)
        lower = draw(lower_moments)
        log_q = log_normal(upper, *upper_moments) + log_normal(lower, *lower_moments)
        return ops.concatenate([upper, lower], axis=-1), log_q

    def kl_parts(self, moments, z, log_q, prior):
        upper_moments = [prior.split(moment)[0] for moment in moments]
        upper, _ = prior.split(z)
        mean, log_var = self.lower(moments, upper, prior)
        prior_mean, prior_log_var = prior.lower(upper)
        # Standardised by its own prior, the lower level has a standard normal prior.
        mean = (mean - prior_mean) * ops.exp(-0.5 * prior_log_var)
        parts = [kl_per_dim(*upper_moments), kl_per_dim(mean, log_var - prior_log_var)]
        return ops.concatenate(parts, axis=-1)
