"""The terms of the ELBO: tensors in, one number per image out, in nats."""

import math

from vae_keras.runtime import ops


def bce(images, logits):
    """Bernoulli cross-entropy on grey levels, summed over pixels and channels.

    This is not a normalised density of the grey levels: compare its values only with each other.

    Args:
        images: grey levels in [0, 1], `(batch_size, height, width, channels)`.
        logits: the decoder's output, of the same shape.

    Returns:
        Nats per image, `(batch_size,)`.

    Reference:
        Kingma & Welling, 2014, "Auto-Encoding Variational Bayes", appendix C.1.
    """
    return _sum_pixels(ops.binary_crossentropy(images, logits, from_logits=True))


def mse(images, logits):
    """Negative log-density of a Gaussian of unit variance around the sigmoid of the logits.

    This is half the squared error, summed over pixels and channels, without the constant
    `0.5 * log(2 * pi)` per pixel and channel. Beta then acts as the variance: sigma = sqrt(beta).

    Args:
        images: pixels in [0, 1], `(batch_size, height, width, channels)`.
        logits: the decoder's output, of the same shape.

    Returns:
        Nats per image, `(batch_size,)`.

    Reference:
        Rybkin et al., 2021, "Simple and Effective VAE Training with Calibrated Decoders",
        section 3.
    """
    return _sum_pixels(0.5 * ops.square(images - ops.sigmoid(logits)))


def sigma(images, logits, log_sigma):
    """Negative log-density of a Gaussian with one shared, learned standard deviation.

    Args:
        images: pixels in [0, 1], `(batch_size, height, width, channels)`.
        logits: the decoder's output, of the same shape; their sigmoid is the mean.
        log_sigma: logarithm of the standard deviation of every pixel and channel, a scalar.

    Returns:
        Nats per image, `(batch_size,)`, summed over pixels and channels.

    Reference:
        Rybkin et al., 2021, "Simple and Effective VAE Training with Calibrated Decoders",
        section 4.1.
    """
    error = (images - ops.sigmoid(logits)) * ops.exp(-log_sigma)
    return _sum_pixels(0.5 * ops.square(error) + log_sigma + 0.5 * math.log(2 * math.pi))


def logistic(images, logits, log_scale):
    """Negative log-probability of 256 grey levels under a discretised logistic distribution.

    The probability of a level is that of the interval of width 1/255 around it; the lowest and
    highest levels include the tails. For an interval from `b` to `a`, in units of the scale,
    `sigmoid(a) - sigmoid(b) = sigmoid(a) * sigmoid(-b) * (1 - exp(b - a))`, which avoids
    cancellation.

    Args:
        images: grey levels k/255, `(batch_size, height, width, channels)`.
        logits: the decoder's output, of the same shape; their sigmoid is the location.
        log_scale: logarithm of the scale of every pixel and channel, a scalar.

    Returns:
        Nats per image, `(batch_size,)`, summed over pixels and channels.

    Reference:
        Salimans et al., 2017, "PixelCNN++", section 2.1.
    """
    location, scale = ops.sigmoid(logits), ops.exp(log_scale)
    half = 0.5 / 255
    below_upper = ops.log_sigmoid((images + half - location) / scale)
    above_lower = ops.log_sigmoid(-(images - half - location) / scale)
    inside = ops.log(-ops.expm1(-2 * half / scale))
    log_probability = below_upper + above_lower + inside
    log_probability = ops.where(images < half, below_upper, log_probability)
    log_probability = ops.where(images > 1 - half, above_lower, log_probability)
    return _sum_pixels(-log_probability)


LIKELIHOODS = {"bce": bce, "mse": mse, "sigma": sigma, "logistic": logistic}
# Learned scale divided by the standard deviation, which is s * pi / sqrt(3) for a logistic
# distribution of scale s.
SCALES = {"sigma": 1.0, "logistic": math.sqrt(3) / math.pi}


def kl_per_dim(z_mean, z_log_var):
    """KL divergence of the posterior from the standard normal prior in each latent dimension.

    Args:
        z_mean: means of the posterior, `(batch_size, latent_dim)`.
        z_log_var: logarithms of its variances, `(batch_size, latent_dim)`.

    Returns:
        Nats per image and latent dimension, `(batch_size, latent_dim)`.

    Reference:
        Kingma & Welling, 2014, "Auto-Encoding Variational Bayes", appendix B.
    """
    return 0.5 * (ops.square(z_mean) + ops.expm1(z_log_var) - z_log_var)


def kl_divergence(z_mean, z_log_var):
    """KL divergence of the posterior from the standard normal prior: the sum of `kl_per_dim`.

    Args:
        z_mean: means of the posterior, `(batch_size, latent_dim)`.
        z_log_var: logarithms of its variances, `(batch_size, latent_dim)`.

    Returns:
        Nats per image, summed over latent dimensions, `(batch_size,)`.
    """
    return ops.sum(kl_per_dim(z_mean, z_log_var), axis=-1)


def free_bits_divergence(kl_parts, free_bits):
    """KL divergence in which each latent dimension costs at least `free_bits`.

    A dimension with a lower mean over the batch gets no gradient from the KL term.

    Args:
        kl_parts: nats per image and latent dimension, `(batch_size, latent_dim)`.
        free_bits: free nats per latent dimension, at least 0.

    Returns:
        Nats per image, `(batch_size,)`: the mean of each latent dimension over the batch, at least
        `free_bits`, summed over latent dimensions. All images of the batch have the same value.

    Reference:
        Kingma et al., 2016, "Improved Variational Inference with Inverse Autoregressive Flow",
        appendix C.8.
    """
    mean_kl = ops.mean(kl_parts, axis=0)
    return ops.broadcast_to(ops.sum(ops.maximum(mean_kl, free_bits)), ops.shape(kl_parts)[:1])


def log_normal(z, mean, log_var):
    """Log-density of diagonal normal distributions, summed over the last axis.

    Args:
        z: `(..., latent_dim)`.
        mean: means, broadcastable to the shape of `z`.
        log_var: logarithms of variances, broadcastable to the shape of `z`.

    Returns:
        Nats, `(...,)`.
    """
    squares = ops.square(z - mean) * ops.exp(-log_var)
    return -0.5 * ops.sum(squares + log_var + math.log(2 * math.pi), axis=-1)


def _sum_pixels(values):
    return ops.sum(values, axis=(1, 2, 3))
