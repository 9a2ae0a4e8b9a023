"""The terms of the ELBO: tensors in, one number per image out, in nats."""

from keras import ops


def bce(images, logits):
    """Bernoulli cross-entropy on grey levels, summed over pixels and channels.

    Not a normalised density of the grey levels: its values are compared with each other only.

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

    Half the squared error, summed over pixels and channels; the constant `0.5 * log(2 * pi)` a
    pixel is left out. With it, beta plays the part of the variance: sigma = sqrt(beta).

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


LIKELIHOODS = {"bce": bce, "mse": mse}


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


def free_bits_divergence(z_mean, z_log_var, free_bits):
    """KL divergence in which each latent dimension costs at least `free_bits`.

    A dimension below that level on the average of the batch gets no gradient from the KL term.

    Args:
        z_mean: means of the posterior, `(batch_size, latent_dim)`.
        z_log_var: logarithms of its variances, `(batch_size, latent_dim)`.
        free_bits: nats per latent dimension that are free, at least 0.

    Returns:
        Nats per image, `(batch_size,)`: the mean over the batch, bounded in each dimension, summed
        over latent dimensions; a property of the batch, and so the same for each of its images.

    Reference:
        Kingma et al., 2016, "Improved Variational Inference with Inverse Autoregressive Flow",
        appendix C.8.
    """
    mean_kl = ops.mean(kl_per_dim(z_mean, z_log_var), axis=0)
    return ops.broadcast_to(ops.sum(ops.maximum(mean_kl, free_bits)), ops.shape(z_mean)[:1])


def _sum_pixels(values):
    return ops.sum(values, axis=(1, 2, 3))
