"""Batches of images as a `tf.data.Dataset`."""

import numbers

import numpy as np

from vae_keras.runtime import tf


def image_batches(images, labels=None, batch_size=64, shuffle_seed=None):
    """Makes batches of images for `fit` and `evaluate`.

    Pixels stay uint8, a quarter of the size of floats; the model converts them. The shuffle buffer
    holds positions instead of images, which would be a second copy of the data set.

    Args:
        images: uint8 `(num_images, height, width, channels)`.
        labels: `None`, or `(num_images,)`.
        batch_size: number of images in a batch, at least 1. The last batch may be shorter.
        shuffle_seed: `None` keeps the order. An integer reshuffles the whole data set in each
            epoch; the order depends on it and on TensorFlow's global seed.

    Returns:
        `tf.data.Dataset` of images `(batch_size, height, width, channels)`, or of pairs of these
        and labels `(batch_size,)`.

    Raises:
        ValueError: if an argument has the wrong type or shape.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.size == 0:
        raise ValueError(
            "`images` must be uint8 of shape (num_images, height, width, channels), at least one "
            f"image, as `load_images` returns them. Received: {images.dtype} of shape "
            f"{images.shape}"
        )
    if labels is not None and np.shape(labels) != (len(images),):
        raise ValueError(
            f"`labels` must have shape ({len(images)},), one label per image. "
            f"Received: {np.shape(labels)}"
        )
    if not _is_whole(batch_size) or batch_size < 1:
        raise ValueError(
            f"`batch_size` must be a whole number, at least 1. Received: {batch_size!r}"
        )
    if shuffle_seed is not None and not _is_whole(shuffle_seed):
        raise ValueError(
            f"`shuffle_seed` must be None or a whole number. Received: {shuffle_seed!r}"
        )
    with tf.device("CPU:0"):  # else a GPU would hold the whole data set
        images = tf.constant(images)
        labels = None if labels is None else tf.constant(np.asarray(labels))

    def gather(positions):
        batch = tf.gather(images, positions)
        return batch if labels is None else (batch, tf.gather(labels, positions))

    positions = tf.data.Dataset.range(len(images))
    if shuffle_seed is not None:
        positions = positions.shuffle(len(images), seed=int(shuffle_seed))
    # Nothing needs tuning here, and the tuning thread of TensorFlow 2.21 often delays the end of an
    # epoch by up to a minute.
    options = tf.data.Options()
    options.autotune.enabled = False
    return positions.batch(int(batch_size)).map(gather).prefetch(2).with_options(options)


def _is_whole(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
