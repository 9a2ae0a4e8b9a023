"""A model over any number of images or codes, batch by batch: NumPy arrays in and out."""

import functools

import numpy as np

from vae_keras.runtime import tf

BATCH_SIZE = 256


def encode(vae, images, labels=None):
    """Encodes any number of images.

    Args:
        vae: a `VAE`.
        images: uint8, or floats in [0, 1], `(num_images, height, width, channels)`.
        labels: integers, `(num_images,)`; needed by a conditional model only.

    Returns:
        The pair `(z_mean, z_log_var)`, each `(num_images, latent_dim)`.
    """
    return over_batches(vae.encode, images, labels)


def decode(vae, z, labels=None):
    """Decodes any number of latent codes.

    Args:
        vae: a `VAE`.
        z: latent codes, `(num_codes, latent_dim)`.
        labels: integers, `(num_codes,)`; needed by a conditional model only.

    Returns:
        Images in [0, 1], `(num_codes, height, width, channels)`.
    """
    return over_batches(vae.decode, z, labels)


def reconstruct(vae, images, labels=None):
    """Decodes the posterior means of any number of images; arguments are those of `encode`.

    Returns:
        Images in [0, 1], `(num_images, height, width, channels)`.
    """
    return over_batches(vae.reconstruct, images, labels)


def over_batches(function, *arrays, batch_size=BATCH_SIZE):
    """Applies a function to batches of arrays and joins its results.

    Args:
        function: takes a tensor for each array, or None where the array is None, and returns a
            tensor, or a tuple of tensors, whose first axis is joined.
        *arrays: arrays of one length, each or None; the first is an array.
        batch_size: number of rows that the function is given at a time, at least 1.

    Returns:
        An array, or a tuple of arrays.
    """
    length = len(arrays[0])
    if length > batch_size:  # tracing pays off
        shapes = tuple(None if array is None else np.shape(array)[1:] for array in arrays)
        function = _traced(function, shapes)
    results = []
    for start in range(0, length, batch_size):
        batch = (None if array is None else array[start : start + batch_size] for array in arrays)
        results.append(function(*(None if part is None else tf.constant(part) for part in batch)))
    return tf.nest.map_structure(lambda *parts: np.concatenate(parts), *results)


@functools.lru_cache(maxsize=8)  # a callback measures the same model after each epoch
def _traced(function, shapes):
    """Returns a graph of the function for rows of these shapes, whatever their number."""
    # TensorFlow counts the tracings of a function's code, but of a partial each on its own: it
    # warns of too many.
    return tf.function(functools.partial(function), reduce_retracing=True)
