"""Measures of arrays: image quality, latent units in use, what the grey levels alone cost."""

import numpy as np
import tensorflow as tf
from sklearn.decomposition import PCA

BATCH_SIZE = 256
ACTIVE_UNIT_VARIANCE = 0.01


def image_quality(images, reconstructions):
    """Compares images with their reconstructions.

    Args:
        images: uint8, `(num_images, height, width, channels)`.
        reconstructions: floats in [0, 1], of the same shape.

    Returns:
        Dict of floats: `mse` (1/pixel, mean over images, pixels and channels), `psnr` (dB, mean
        over images, each at most 100) and `ssim` (at most 1, mean over images and channels; the
        Gaussian window of 11 pixels, or the largest odd one that fits the image).

    Reference:
        Wang et al., 2004, "Image Quality Assessment: From Error Visibility to Structural
        Similarity", section III.
    """
    if images.shape != reconstructions.shape:
        raise ValueError(
            "`reconstructions` must have the shape of `images`. "
            f"Received: {reconstructions.shape} and {images.shape}"
        )
    window = min(11, (min(images.shape[1:3]) - 1) // 2 * 2 + 1)
    squared_errors, ssims = [], []
    for start in range(0, len(images), BATCH_SIZE):
        batch = images[start : start + BATCH_SIZE].astype("float32") / 255
        reconstruction = reconstructions[start : start + BATCH_SIZE]
        squared_errors.append(np.square(batch - reconstruction).mean(axis=(1, 2, 3)))
        ssims.append(tf.image.ssim(batch, reconstruction, max_val=1.0, filter_size=window))
    squared_errors = np.concatenate(squared_errors).astype("float64")
    return {
        "mse": float(squared_errors.mean()),
        "psnr": float(-10 * np.log10(np.maximum(squared_errors, 1e-10)).mean()),
        "ssim": float(np.concatenate(ssims).mean()),
    }


def pixel_variance(images):
    """Computes the variance of images around their mean image: the MSE of reconstructing that.

    Args:
        images: uint8, `(num_images, height, width, channels)`.

    Returns:
        1/pixel, pixels in [0, 1], mean over pixels and channels.
    """
    return float(np.mean([row.var(axis=0).mean() for row in np.swapaxes(images, 0, 1)]) / 255**2)


def sharpness(images, reconstructions):
    """Compares the fine detail of reconstructions with that of the images.

    Args:
        images: uint8, `(num_images, height, width, channels)`.
        reconstructions: floats in [0, 1], of the same shape.

    Returns:
        Variance of the Laplacian of the reconstructions, as a share of that of the images: 1 where
        they are as sharp, towards 0 where they are blurred. Variances are over the pixels of an
        image and channel, means over images and channels.

    Reference:
        Pertuz et al., 2013, "Analysis of Focus Measure Operators for Shape-from-Focus",
        appendix A.3 (LAP4).
    """
    sums = np.zeros(2)
    for start in range(0, len(images), BATCH_SIZE):
        part = slice(start, start + BATCH_SIZE)
        batch = images[part].astype("float32") / 255
        sums += _laplacian_variance(reconstructions[part]), _laplacian_variance(batch)
    return float(sums[0] / sums[1])


def active_units(z_mean):
    """Counts the latent dimensions whose posterior mean varies by more than 0.01 over images.

    Args:
        z_mean: `(num_images, latent_dim)`.

    Reference:
        Burda et al., 2016, "Importance Weighted Autoencoders", section 5.2.
    """
    return int((z_mean.var(axis=0) > ACTIVE_UNIT_VARIANCE).sum())


def planar(z_mean, reference):
    """Brings latent codes into a plane, to be drawn.

    Args:
        z_mean: `(num_images, latent_dim)`.
        reference: codes of the same dimensions whose principal components span the plane, so that
            several sets can be drawn in the same one.

    Returns:
        `(num_images, 2)`: two latent dimensions as they are, more by the first two principal
        components, a single one beside zeros.
    """
    latent_dim = z_mean.shape[1]
    if latent_dim > 2:
        return PCA(n_components=2, random_state=0).fit(reference).transform(z_mean)
    return np.pad(z_mean, ((0, 0), (0, 2 - latent_dim)))


def grey_level_entropy(images):
    """Computes the Bernoulli entropy of the grey levels, below which no cross-entropy can go.

    Args:
        images: uint8, `(num_images, height, width, channels)`.

    Returns:
        Nats/image, summed over pixels and channels, mean over images.
    """
    counts = np.bincount(images.ravel(), minlength=256) / len(images)
    level = np.arange(1, 255) / 255  # black and white have no entropy
    return float(counts[1:255] @ -(level * np.log(level) + (1 - level) * np.log(1 - level)))


def _laplacian_variance(images):
    """The variance of each image's Laplacian, without the edge pixels, summed over images."""
    neighbours = images[:, :-2, 1:-1] + images[:, 2:, 1:-1]
    neighbours = neighbours + images[:, 1:-1, :-2] + images[:, 1:-1, 2:]
    return float((neighbours - 4 * images[:, 1:-1, 1:-1]).var(axis=(1, 2)).sum())
