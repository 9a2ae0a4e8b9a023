"""Batches of images as a `tf.data.Dataset`."""

import numbers

import numpy as np

from vae_keras.runtime import tf


def image_batches(images, labels=None, batch_size=64, shuffle_seed=None):
    """Makes batches of images for `fit`, `evaluate` and `predict`.

    Pixels stay uint8, a quarter of the traffic of floats; the model converts them. Positions are
    shuffled instead of images, so that no shuffle buffer holds a second copy of the data set.

    Args:
        images: uint8 `(num_images, height, width, channels)`.
        labels: `None`, or `(num_images,)`.
        batch_size: number of images in a batch, at least 1. The last batch may be shorter.
        shuffle_seed: `None` keeps the order. An integer shuffles the whole data set anew in each
            epoch; the orders depend on it and on TensorFlow's global seed.

    Returns:
        `tf.data.Dataset` of images `(batch_size, height, width, channels)`, or of pairs of these
        and labels `(batch_size,)`.

    Raises:
        ValueError: if an argument has the wrong type or shape.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.size == 0:
        raise ValueError(
            f"`images` must be uint8 of shape (num_images, height, width, channels), at least one "
            f"image, as `load_images` returns them. Received: {images.dtype} of shape "
            f"{images.shape}"
        )
    arrays = [images]
    if labels is not None:
        arrays.append(np.asarray(labels))
        if arrays[1].shape != (len(images),):
            raise ValueError(
                f"`labels` must have shape ({len(images)},), one label per image. "
                f"Received: {arrays[1].shape}"
            )
    if not _is_whole(batch_size) or batch_size < 1:
        raise ValueError(
            f"`batch_size` must be a whole number, at least 1. Received: {batch_size!r}"
        )
    if shuffle_seed is not None and not _is_whole(shuffle_seed):
        raise ValueError(
            f"`shuffle_seed` must be None or a whole number. Received: {shuffle_seed!r}"
        )
    tensors = [tf.constant(array) for array in arrays]

    def gather(positions):
        batch = tuple(tf.gather(tensor, positions) for tensor in tensors)
        return batch if len(batch) > 1 else batch[0]

    positions = tf.data.Dataset.range(len(images))
    if shuffle_seed is not None:
        positions = positions.shuffle(len(images), seed=int(shuffle_seed))
    # There is nothing to tune here, and the tuner's thread of TensorFlow 2.21 often held up the end
    # of an epoch by as much as a minute.
    options = tf.data.Options()
    options.autotune.enabled = False
    return positions.batch(int(batch_size)).map(gather).prefetch(2).with_options(options)


def _is_whole(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
