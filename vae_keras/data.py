"""Images and labels of the data sets as arrays, and batches of them as a `tf.data.Dataset`."""

import argparse
import contextlib
import functools
import io
import numbers
import os
import socket
import sys

import numpy as np

from vae_keras import sources
from vae_keras.datasets import DATASETS, read_embedded
from vae_keras.parameters import check
from vae_keras.runtime import keras, tf  # started quietly: this module is a command, too

SPLITS = ("train", "validation", "test")
MAX_VALIDATION = 5000  # images
STALL_SECONDS = 60  # a download that receives nothing for so long is given up


def load_images(name, split, fraction=1.0):
    """Loads one split of a data set.

    The validation images are the last tenth of the official training images in file order, at most
    5,000 of them; the training images are the rest. A data set comes from
    `$VAE_KERAS_DATA/<name>.npz`, from scikit-learn, from Keras's cache or from the network.

    Args:
        name: one of the keys of `DATASETS`.
        split: `"train"`, `"validation"` or `"test"`.
        fraction: how much of the split to load, above 0 and at most 1: its first images, at least
            one of them.

    Returns:
        The images, uint8, `(num_images, height, width, channels)`, and their labels, int64,
        `(num_images,)`. Both are read-only: calls share them.

    Raises:
        ValueError: if an argument is not valid, or the file in `VAE_KERAS_DATA` is not.
        FileNotFoundError: if the data set can be had nowhere.
        OSError: if downloading it, or reading what was downloaded, fails.
    """
    check(dataset=name)
    if split not in SPLITS:
        raise ValueError(f"unknown `split` {split!r}. Valid splits: {', '.join(SPLITS)}")
    number = isinstance(fraction, numbers.Real) and not isinstance(fraction, bool)
    if not number or not 0 < fraction <= 1:
        raise ValueError(f"`fraction` must be above 0 and at most 1. Received: {fraction!r}")
    _, arrays = _read(name, os.environ.get("VAE_KERAS_DATA"))
    part = "test" if split == "test" else "train"
    images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
    num_validation = min(MAX_VALIDATION, len(images) // 10)
    if split == "train":
        images, labels = (array[: len(array) - num_validation] for array in (images, labels))
    elif split == "validation":
        if num_validation == 0:
            raise ValueError(
                f"the `validation` split is a tenth of the training images: {name!r} needs at "
                f"least 10 of them. Received: {len(images)}"
            )
        images, labels = images[-num_validation:], labels[-num_validation:]
    num_images = max(1, round(float(fraction) * len(images)))
    return images[:num_images], labels[:num_images]


def image_batches(images, labels=None, batch_size=128, shuffle_seed=None):
    """Makes batches of images for `fit`, `evaluate` and `predict`.

    The pixels stay uint8, a quarter of the traffic of floats: the model converts them. Positions
    are shuffled instead of images, so that no second copy of the set fills a shuffle buffer.

    Args:
        images: uint8, `(num_images, height, width, channels)`.
        labels: None, or `(num_images,)`.
        batch_size: number of images in a batch, at least 1; the last batch may be shorter.
        shuffle_seed: None keeps the order. An integer shuffles the whole set anew in each epoch;
            the orders follow from it and from TensorFlow's global seed.

    Returns:
        A `tf.data.Dataset` of images `(batch_size, height, width, channels)`, or of pairs of these
        and labels `(batch_size,)`.

    Raises:
        ValueError: if the type, the rank or the length of an array or another argument is wrong.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.size == 0:
        raise ValueError(
            f"`images` must be uint8 of shape (num_images, height, width, channels), at least one "
            f"image. Received: {images.dtype} of shape {images.shape}. `load_images` returns such."
        )
    arrays = [images]
    if labels is not None:
        arrays.append(np.asarray(labels))
        if arrays[1].shape != (len(images),):
            raise ValueError(
                f"`labels` must have the shape ({len(images)},), one label per image. "
                f"Received: {arrays[1].shape}"
            )
    if not _is_whole(batch_size) or batch_size < 1:
        raise ValueError(f"`batch_size` must be a whole number from 1. Received: {batch_size!r}")
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
    # Without tf.data's autotuning there is no thread of its own to wait for: with it, TensorFlow 2.21
    # often stood still for up to a minute at the end of an epoch. It has nothing to tune here.
    options = tf.data.Options()
    options.autotune.enabled = False
    return positions.batch(int(batch_size)).map(gather).prefetch(2).with_options(options)


@contextlib.contextmanager
def quiet_download():
    """Makes Keras give up downloads that receive nothing for a minute, and show no progress bar."""
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL_SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        socket.setdefaulttimeout(timeout)


def main(arguments=None):
    """Fetches data sets, so that jobs that run side by side later find them in the cache.

    Args:
        arguments: the names, a list of strings; None takes them from the command line.

    Returns:
        The exit code: 0, or 1 after a message of one line.
    """
    parser = argparse.ArgumentParser(
        prog="python -m vae_keras.data", description="Fetches data sets into Keras's cache."
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help=", ".join(DATASETS))
    names = parser.parse_args(arguments).names
    try:
        for name in names:
            check(dataset=name)
        for name in names:
            counts = ", ".join(f"{len(load_images(name, split)[0])} {split}" for split in SPLITS)
            place, _ = _read(name, os.environ.get("VAE_KERAS_DATA"))
            print(f"{name}: from {place}; images: {counts}", flush=True)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


@functools.lru_cache(maxsize=1)
def _read(name, folder):
    """Where a data set was found, and its arrays. `folder` only keeps the memory of it true."""
    place = sources.find(name)
    if place == "file":
        arrays = sources.read_file(name)
    elif place == "embedded":
        arrays = read_embedded(name)
    else:
        arrays = _fetch(name, place)
    for array in sources.ARRAYS:
        if array.startswith("x_"):
            arrays[array] = arrays[array].reshape(-1, *DATASETS[name]["image_shape"])
        else:
            arrays[array] = arrays[array].reshape(-1).astype("int64")
        arrays[array].setflags(write=False)
    return place, arrays


def _fetch(name, place):
    """Reads a data set from Keras's cache, after downloading it if need be."""
    if place == "network":
        print(f"downloading {name} to {sources.keras_cache()}", file=sys.stderr, flush=True)
    try:
        with quiet_download():
            if name == "svhn":
                return _fetch_svhn()
            train, test = getattr(keras.datasets, name).load_data()
            return dict(zip(sources.ARRAYS, (*train, *test), strict=True))
    except Exception as error:  # Keras raises bare ones
        trouble = " ".join(str(error).split()) or type(error).__name__
        source = DATASETS[name]
        files = (os.path.join(sources.keras_cache(), file) for file in source["cached"])
        raise OSError(
            f"the data set {name!r} could not be read from the {place}: {trouble}. Tried: "
            f"{', '.join(source['urls'])}. Cure: delete what may be half a "
            f"download, {', '.join(files)}, and try again; or put {name}.npz into the folder that "
            f"VAE_KERAS_DATA names; or use {source['substitute']}, which works "
            f"without a network."
        ) from error


def _fetch_svhn():
    from scipy.io import loadmat

    svhn, arrays = DATASETS["svhn"], {}
    for part, url, file, md5 in zip(
        ("train", "test"), svhn["urls"], svhn["cached"], svhn["md5"], strict=True
    ):
        subdir = os.path.join("datasets", os.path.dirname(file))
        path = keras.utils.get_file(
            os.path.basename(file), url, cache_subdir=subdir, file_hash=md5, hash_algorithm="md5"
        )
        matrices = loadmat(path)
        arrays[f"x_{part}"] = np.ascontiguousarray(np.moveaxis(matrices["X"], -1, 0))
        arrays[f"y_{part}"] = matrices["y"] % 10  # the digit 0 has the label 10
    return arrays


def _is_whole(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


if __name__ == "__main__":
    sys.exit(main())
