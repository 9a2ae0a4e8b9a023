"""Data sets from their official files, which are downloaded into Keras's cache.

A file enters the cache only when it is complete and has the right checksum.
"""

import gzip
import os
import pickle
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pooch
from filelock import FileLock

from vae_keras.data import archive
from vae_keras.data.catalogue import DATASETS

STALL_SECONDS = 30  # a download that receives nothing for this long has failed
RETRIES = 2


def read_download(name):
    """Reads a data set, after downloading the files that the cache lacks.

    Args:
        name: a key of `DATASETS` whose entry has `files`.

    Returns:
        Dict of `x_train` and `x_test`, uint8 `(num_images, height, width, channels)`, and
        `y_train` and `y_test`, integers `(num_images,)`.

    Raises:
        OSError: if the files are not available.
    """
    entry = DATASETS[name]
    try:
        paths = [fetch(*file) for file in entry["files"]]
        arrays = READERS[name](*paths)
    except Exception as error:  # from the network or a reader
        embedded = ", ".join(name for name, other in DATASETS.items() if not other["substitute"])
        raise OSError(
            f"the data set {name!r} is not available: {' '.join(str(error).split())}. Tried: "
            f"{name}.npz in $VAE_KERAS_DATA, Keras's cache, "
            f"{', '.join(url for url, *_ in entry['files'])}. Put {name}.npz into a folder, with "
            f"{archive.describe(entry)}, and set VAE_KERAS_DATA to that folder. These need no "
            f"network: {embedded}; {entry['substitute']} is the closest to {name}."
        ) from error
    return {
        key: array.reshape(-1, *entry["image_shape"]) if key[0] == "x" else array.reshape(-1)
        for key, array in arrays.items()
    }


def fetch(url, checksum, place):
    """Returns the path of a file in Keras's cache, downloaded if necessary.

    A download that fails or stalls is retried up to `RETRIES` times. Only one of several processes
    downloads; the others wait.

    Args:
        url: URL of the file.
        checksum: the hash of its content, `"sha256:..."` or `"md5:..."`.
        place: path in the cache, such as `"datasets/mnist.npz"`.

    Returns:
        `pathlib.Path`.

    Raises:
        OSError: if the file cannot be downloaded or written.
        ValueError: if its checksum is wrong.
    """
    path = cache_folder() / place
    folder, name = path.parent, path.name
    kind, digest = checksum.split(":")
    if path.exists() and pooch.file_hash(path, kind) == digest:
        return path  # without a lock, which a read-only cache does not allow
    os.makedirs(folder, exist_ok=True)
    store = pooch.create(
        folder, "", registry={name: checksum}, urls={name: url}, retry_if_failed=RETRIES
    )
    downloader = pooch.HTTPDownloader(
        progressbar=True,
        chunk_size=2**16,  # bytes
        timeout=STALL_SECONDS,
        headers={"Accept-Encoding": "identity"},  # the checksum is the uncompressed file's
    )
    pooch.get_logger().setLevel("INFO")  # reports downloads and retries
    with FileLock(Path(folder, f".{name}.lock")):
        path = Path(store.fetch(name, downloader=downloader))
        path.chmod(0o644)  # others may share the cache
        return path


def fetch_weights(url, md5):
    """Returns the path of one of Keras's own weights files, under its name in Keras's cache.

    Args:
        url: URL of the file.
        md5: MD5 of its content.

    Returns:
        `pathlib.Path`.

    Raises:
        OSError: if the file is not available.
    """
    place = f"models/{os.path.basename(url)}"
    try:
        return fetch(url, f"md5:{md5}", place)
    except (OSError, ValueError) as error:  # no network, or another checksum
        raise OSError(
            f"could not download {url}: {error}. Put the file at {cache_folder() / place}"
        ) from None


def cache_folder():
    """Returns Keras's folder, in the folder of temporary files if the home is not writable."""
    home = os.path.expanduser("~")
    home = Path(home if os.access(home, os.W_OK) else tempfile.gettempdir())
    return Path(os.environ.get("KERAS_HOME") or home / ".keras")


def _read_mnist(path):
    return archive.read_archive(path, DATASETS["mnist"])


def _read_fashion_mnist(*paths):
    arrays = {}
    for key, path in zip(("y_train", "x_train", "y_test", "x_test"), paths, strict=True):
        with gzip.open(path) as file:
            arrays[key] = np.frombuffer(file.read(), "uint8", offset=16 if key[0] == "x" else 8)
    return arrays


def _read_cifar10(path):
    images, labels = [], []
    with tarfile.open(path) as files:
        for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
            # A pickle, but its SHA-256 is checked.
            batch = pickle.load(files.extractfile(f"cifar-10-batches-py/{name}"), encoding="bytes")
            images.append(batch[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
            labels.append(np.array(batch[b"labels"]))
    return {
        "x_train": np.concatenate(images[:-1]),
        "y_train": np.concatenate(labels[:-1]),
        "x_test": np.ascontiguousarray(images[-1]),
        "y_test": labels[-1],
    }


def _read_svhn(*paths):
    from scipy.io import loadmat

    arrays = {}
    for part, path in zip(("train", "test"), paths, strict=True):
        matrices = loadmat(path)
        arrays[f"x_{part}"] = np.ascontiguousarray(np.moveaxis(matrices["X"], -1, 0))
        arrays[f"y_{part}"] = matrices["y"] % 10  # the digit 0 has the label 10
    return arrays


READERS = {
    "mnist": _read_mnist,
    "fashion_mnist": _read_fashion_mnist,
    "cifar10": _read_cifar10,
    "svhn": _read_svhn,
}
