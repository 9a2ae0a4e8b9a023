"""Images and labels of a data set as arrays."""

import argparse
import contextlib
import functools
import io
import os
import socket
import sys

import numpy as np

from vae_keras.data import archive, folder
from vae_keras.data.catalogue import DATASETS, is_own
from vae_keras.data.embedded import read_embedded

SPLITS = ("train", "validation", "test")
MAX_VALIDATION = 5000  # images
STALL_SECONDS = 60  # a download that receives nothing for so long is given up


def load_images(name, split, fraction=1.0, image_size=32):
    """Loads one split of a data set.

    A data set of the catalogue comes from `$VAE_KERAS_DATA/<name>.npz`, from scikit-learn, or from
    Keras's cache and the network. Its validation images are the last tenth of the official training
    images, at most 5,000; the training images are the others.

    Args:
        name: a key of `DATASETS`; `folder:/path/to/images`, see `vae_keras.data.folder`; or the
            path of a `.npz` file, see `vae_keras.data.archive`.
        split: `"train"`, `"validation"` or `"test"`.
        fraction: share of the split to load, above 0 and at most 1: its first images, at least one.
        image_size: height and width of the images of a folder, divisible by 4. Other images keep
            their size.

    Returns:
        The images, uint8, `(num_images, height, width, channels)`, and their labels, int64,
        `(num_images,)`, or `None` if the images have no classes. Both are read-only and shared
        between calls.

    Raises:
        ValueError: if an argument or a file is not valid.
        FileNotFoundError: if the data set is not available.
    """
    if split not in SPLITS:
        raise ValueError(f"`split` must be one of {', '.join(SPLITS)}. Received: {split!r}")
    if not isinstance(fraction, (int, float)) or not 0 < fraction <= 1:
        raise ValueError(f"`fraction` must be above 0 and at most 1. Received: {fraction!r}")
    _, arrays, _ = _read(name, image_size, os.environ.get("VAE_KERAS_DATA"))
    part = "test" if split == "test" else "train"
    images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
    num_validation = min(MAX_VALIDATION, len(images) // 10)
    if split == "validation" and not num_validation:
        raise ValueError(
            f"the validation split is a tenth of the training images, so {name!r} needs at least "
            f"10 of them. Received: {len(images)}"
        )
    if split != "test":
        border = len(images) - num_validation
        chosen = slice(border) if split == "train" else slice(border, None)
        images, labels = images[chosen], None if labels is None else labels[chosen]
    first = slice(max(1, round(fraction * len(images))))
    return images[first], None if labels is None else labels[first]


def class_names(name, image_size=32):
    """Returns the names of a data set's classes, a tuple in the order of the labels.

    Args:
        name: as for `load_images`. A user's own images without labels have no classes.
        image_size: as for `load_images`.
    """
    return DATASETS[name]["classes"] if name in DATASETS else _read(name, image_size, None)[2]


@contextlib.contextmanager
def quiet_download():
    """Makes Keras give up downloads that stall for a minute, and shows no progress bar."""
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL_SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        socket.setdefaulttimeout(timeout)


def main(arguments=None):
    """Loads data sets, which downloads them if need be, and prints where each comes from.

    Args:
        arguments: the names, a list of strings; `None` takes them from the command line.

    Returns:
        The exit code: 0, or 1 after a message of one line.
    """
    parser = argparse.ArgumentParser(
        prog="python -m vae_keras.data", description="Downloads data sets into Keras's cache."
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help=", ".join(DATASETS))
    try:
        for name in parser.parse_args(arguments).names:
            place, arrays, _ = _read(name, 32, os.environ.get("VAE_KERAS_DATA"))
            sizes = f"{len(arrays['x_train'])} training and {len(arrays['x_test'])} test images"
            print(f"{name}: {sizes} from {place}", flush=True)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


@functools.lru_cache(maxsize=1)
def _read(name, image_size, data_folder):
    """Returns where a data set was found, its arrays and its class names."""
    if is_own(name):
        read = folder.read_folder if name.startswith("folder:") else archive.read_own
        arrays, classes = read(name.removeprefix("folder:"), image_size)
        place = name
    elif name in DATASETS:
        classes = DATASETS[name]["classes"]
        path = _data_file(name, data_folder)
        if path is not None and os.path.lexists(path):
            place, arrays = path, archive.read_known(path, name)
        elif DATASETS[name]["substitute"] is None:
            place, arrays = "scikit-learn", read_embedded(name)
        else:
            place, arrays = "Keras's cache", _fetch(name, path)
    else:
        raise ValueError(
            f"`name` must be one of {', '.join(DATASETS)}, folder:/path/to/images, or the path of "
            f"a .npz file. Received: {name!r}"
        )
    for part in ("train", "test"):
        images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if name in DATASETS:
            images = images.reshape(-1, *DATASETS[name]["image_shape"])
        images.setflags(write=False)
        if labels is not None:
            labels = labels.reshape(-1).astype("int64")
            labels.setflags(write=False)
        arrays |= {f"x_{part}": images, f"y_{part}": labels}
    return place, arrays, classes


def _data_file(name, data_folder):
    if not data_folder:
        return None
    data_folder = os.path.expanduser(data_folder)
    if not os.path.isdir(data_folder):
        raise ValueError(
            f"VAE_KERAS_DATA must be an existing folder. Received: {data_folder!r}. Create the "
            "folder, or unset the variable."
        )
    return os.path.join(data_folder, f"{name}.npz")


def _fetch(name, path):
    """Reads a data set from Keras's cache, after downloading it if need be."""
    import keras

    try:
        with quiet_download():
            if name == "svhn":
                return _fetch_svhn(keras)
            train, test = getattr(keras.datasets, name).load_data()
            return dict(zip(archive.ARRAYS, (*train, *test), strict=True))
    except Exception as error:  # Keras raises bare ones
        source = DATASETS[name]
        files = os.path.join(_keras_cache(), source["cached"])
        reason = " ".join(str(error).split()) or type(error).__name__
        tried = "VAE_KERAS_DATA (not set)" if path is None else f"{path} (not there)"
        embedded = ", ".join(name for name, entry in DATASETS.items() if not entry["substitute"])
        raise FileNotFoundError(
            f"the data set {name!r} is not available. Tried: {tried}; Keras's cache and "
            f"{', '.join(source['urls'])} ({reason}). Set VAE_KERAS_DATA to a folder that holds "
            f"{name}.npz with {archive.expected(name)}; or, if a download broke off, delete "
            f"{files} and try again. These need no network: {embedded}; the one closest to {name} "
            f"is {source['substitute']}."
        ) from error


def _keras_cache():
    """Returns where Keras keeps data sets, by the rules of `keras.utils.get_file`."""
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    return os.path.join(home, "datasets")


def _fetch_svhn(keras):
    from scipy.io import loadmat

    svhn, arrays = DATASETS["svhn"], {}
    for part, url, md5 in zip(("train", "test"), svhn["urls"], svhn["md5"], strict=True):
        path = keras.utils.get_file(
            os.path.basename(url),
            url,
            cache_subdir=os.path.join("datasets", svhn["cached"]),
            file_hash=md5,
            hash_algorithm="md5",
        )
        matrices = loadmat(path)
        arrays[f"x_{part}"] = np.ascontiguousarray(np.moveaxis(matrices["X"], -1, 0))
        arrays[f"y_{part}"] = matrices["y"] % 10  # the digit 0 has the label 10
    return arrays
