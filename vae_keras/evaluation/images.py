"""Measures of images and their reconstructions."""

import numpy as np
from scipy.special import entr

from vae_keras.evaluation.batched import over_batches
from vae_keras.runtime import tf


def image_quality(images, reconstructions):
    """Compares images with their reconstructions.

    Args:
        images: uint8, `(num_images, height, width, channels)`.
        reconstructions: floats in [0, 1], of the same shape.

    Returns:
        Dict of floats: `mse` (1/pixel, mean over images, pixels and channels), `psnr` (dB, mean
        over images, each at most 100) and `ssim` (at most 1, mean over images and channels, with a
        Gaussian window of 11 pixels or the largest odd size that fits the image).

    Raises:
        ValueError: if the shapes differ.

    Reference:
        Wang et al., 2004, "Image Quality Assessment: From Error Visibility to Structural
        Similarity", section III.
    """
    if images.shape != reconstructions.shape:
        raise ValueError(
            "`reconstructions` must have the shape of `images`. "
            f"Received: {reconstructions.shape} and {images.shape}"
        )
    squared_errors, ssims = over_batches(_compare, images, reconstructions)
    squared_errors = squared_errors.astype("float64")
    return {
        "mse": float(squared_errors.mean()),
        "psnr": float(-10 * np.log10(np.maximum(squared_errors, 1e-10)).mean()),
        "ssim": float(ssims.mean(dtype="float64")),
    }


def sharpness(images, reconstructions):
    """Compares the fine detail of reconstructions with that of the images.

    Args:
        images: uint8, `(num_images, height, width, channels)`.
        reconstructions: floats in [0, 1], of the same shape.

    Returns:
        Variance of the Laplacian of the reconstructions, divided by that of the images: 1 if they
        are equally sharp, near 0 if the reconstructions are blurred. Each variance is taken over
        the pixels of one channel, and averaged over images and channels. NaN for images without any
        detail.

    Reference:
        Pertuz et al., 2013, "Analysis of Focus Measure Operators for Shape-from-Focus",
        appendix A.3 (LAP4).
    """

    def detail(images, reconstructions):
        return laplacian_variance(images / 255), laplacian_variance(reconstructions)

    def laplacian_variance(images):
        images = tf.cast(images, "float32")
        neighbours = images[:, :-2, 1:-1] + images[:, 2:, 1:-1]
        neighbours += images[:, 1:-1, :-2] + images[:, 1:-1, 2:]
        return tf.math.reduce_variance(neighbours - 4 * images[:, 1:-1, 1:-1], axis=(1, 2))

    variances = over_batches(detail, images, reconstructions)
    original, reconstructed = (values.mean(dtype="float64") for values in variances)
    return float(reconstructed / original) if original else float("nan")


def pixel_variance(images):
    """Computes the variance of images around their mean image, the MSE of predicting that image.

    Args:
        images: uint8, `(num_images, height, width, channels)`.

    Returns:
        1/pixel, pixels in [0, 1], mean over pixels and channels.
    """
    rows = np.swapaxes(images, 0, 1)  # row by row, to avoid a float copy of all images
    return float(np.mean([row.var(axis=0).mean() for row in rows]) / 255**2)


def grey_level_entropy(images):
    """Computes the Bernoulli entropy of the grey levels, the lower bound of the cross-entropy.

    Args:
        images: uint8, `(num_images, height, width, channels)`.

    Returns:
        Nats/image, summed over pixels and channels, mean over images.
    """
    counts = np.bincount(images.ravel(), minlength=256) / len(images)
    level = np.arange(256) / 255
    return float(counts @ (entr(level) + entr(1 - level)))


def _compare(images, reconstructions):
    """Returns the mean squared error and the SSIM of each image, `(batch_size,)`."""
    window = min(11, (min(images.shape[1:3]) - 1) // 2 * 2 + 1)
    images = tf.cast(images, "float32") / 255
    squared_errors = tf.reduce_mean(tf.square(images - reconstructions), axis=(1, 2, 3))
    return squared_errors, tf.image.ssim(images, reconstructions, 1.0, filter_size=window)
