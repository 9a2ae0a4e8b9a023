"""Encode, decode and reconstruct any number of images in batches: NumPy arrays in and out."""

import functools

import numpy as np

from vae_keras.runtime import tf

BATCH_SIZE = 256


def encode(vae, images, labels=None):
    """Encodes any number of images.

    Args:
        vae: a `VAE`.
        images: uint8, or floats in [0, 1], `(num_images, height, width, channels)`.
        labels: integers, `(num_images,)`; only a conditional model needs them.

    Returns:
        The pair `(z_mean, z_log_var)`, each `(num_images, latent_dim)`.
    """
    return over_batches(vae.encode, images, labels)


def decode(vae, z, labels=None):
    """Decodes any number of latent codes.

    Args:
        vae: a `VAE`.
        z: latent codes, `(num_codes, latent_dim)`.
        labels: integers, `(num_codes,)`; only a conditional model needs them.

    Returns:
        Images in [0, 1], `(num_codes, height, width, channels)`.
    """
    return over_batches(vae.decode, z, labels)


def reconstruct(vae, images, labels=None):
    """Decodes the posterior means of any number of images; takes the arguments of `encode`.

    Returns:
        Images in [0, 1], `(num_images, height, width, channels)`.
    """
    return over_batches(vae.reconstruct, images, labels)


def over_batches(function, *arrays, batch_size=BATCH_SIZE):
    """Applies a function to batches of arrays and concatenates the results.

    Args:
        function: takes one tensor per array, or None in place of an array that is None, and returns
            a tensor or a tuple of tensors.
        *arrays: arrays of equal length, or None; the first must be an array.
        batch_size: number of rows per call, at least 1.

    Returns:
        An array or a tuple of arrays, concatenated along the first axis.

    Raises:
        ValueError: if the arrays are empty.
    """
    length = len(arrays[0])
    if not length:
        raise ValueError("`arrays` must have at least one row: there are no images or codes")
    if length > batch_size:  # else tracing costs more than it saves
        shapes = tuple(None if array is None else np.shape(array)[1:] for array in arrays)
        function = _traced(function, shapes)
    results = []
    for start in range(0, length, batch_size):
        batch = (None if array is None else array[start : start + batch_size] for array in arrays)
        results.append(function(*(None if part is None else tf.constant(part) for part in batch)))
    return tf.nest.map_structure(lambda *parts: np.concatenate(parts), *results)


@functools.lru_cache(maxsize=8)  # keeps a callback from retracing the model each epoch
def _traced(function, shapes):
    """Compiles the function into a graph for any number of rows of these shapes."""
    # TensorFlow counts traces per code object and warns of too many; a partial has its own count.
    return tf.function(functools.partial(function), reduce_retracing=True)
