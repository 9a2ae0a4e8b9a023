"""Where data sets come from: a file, scikit-learn, Keras's cache, the network. No TensorFlow."""

import math
import os
import queue
import threading
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from urllib.parse import urlsplit

import numpy as np

from vae_keras.datasets import DATASETS
from vae_keras.parameters import check

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
# What zipfile and NumPy raise on a file that is cut off, overwritten or no archive at all.
_DAMAGE = (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)


def find(name, timeout=5.0):
    """Finds where a data set can be had, without reading or downloading it.

    Args:
        name: one of the keys of `DATASETS`.
        timeout: how long the network may take to answer, in seconds, in all.

    Returns:
        The first that holds of `"file"` (`$VAE_KERAS_DATA/<name>.npz`), `"embedded"` (comes with
        scikit-learn), `"cache"` (Keras has downloaded it already) and `"network"`.

    Raises:
        ValueError: if an argument or `VAE_KERAS_DATA` is not valid, or the file in it is not.
        FileNotFoundError: if it can be had nowhere; says what was tried and what can be done.
    """
    check(dataset=name)
    if not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
        raise ValueError(f"`timeout` must be a number of seconds above 0. Received: {timeout!r}")
    folder, path = _data_folder(), _file_path(name)
    if path is not None and os.path.lexists(path):
        _check_headers(name, path)
        return "file"
    if not DATASETS[name]["urls"]:
        return "embedded"
    lacking = _lacking_in_cache(name)
    if not lacking:
        return "cache"
    unreachable = unreachable_hosts(DATASETS[name]["urls"], float(timeout))
    if not unreachable:
        return "network"
    embedded = ", ".join(other for other in DATASETS if not DATASETS[other]["urls"])
    raise FileNotFoundError(
        f"the data set {name!r} cannot be had. Tried: VAE_KERAS_DATA "
        f"({'not set' if folder is None else f'no {name}.npz in {folder}'}); the cache of Keras, "
        f"{keras_cache()} ({', '.join(lacking)}); the network ({', '.join(unreachable)}). Cure: "
        f"put {name}.npz into a folder and set VAE_KERAS_DATA to that folder; it must hold "
        f"{_expected(name)}. Without a network work: {embedded}; the nearest to {name} is "
        f"{DATASETS[name]['substitute']}."
    )


def keras_cache():
    """Tells where `keras.utils.get_file` keeps data sets, by the rules of Keras.

    Returns:
        The path of the folder `datasets`; it may not exist yet.
    """
    home = os.path.expanduser("~")
    fallback = os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    root = os.path.expanduser(os.environ.get("KERAS_HOME", fallback))
    if os.path.exists(root) and not os.access(root, os.W_OK):
        root = "/tmp/.keras"
    return os.path.abspath(os.path.join(root, "datasets"))


def unreachable_hosts(urls, timeout):
    """Asks the hosts of files whether they can be had.

    Each is asked in a thread of its own that nobody waits for: looking up a name has no timeout.

    Args:
        urls: addresses of the files, one of each host.
        timeout: how long all of them may take to answer, in seconds.

    Returns:
        A list of phrases: which hosts do not answer in time, or refuse, and why.
    """
    hosts = {urlsplit(url).netloc: url for url in urls}
    answers, deadline = queue.Queue(), time.monotonic() + timeout
    for host, url in hosts.items():
        threading.Thread(target=_ask, args=(host, url, timeout, answers), daemon=True).start()
    troubles = dict.fromkeys(hosts, f"no answer within {timeout:g} seconds")
    try:
        for _ in hosts:
            host, trouble = answers.get(timeout=max(0.0, deadline - time.monotonic()))
            troubles[host] = trouble
    except queue.Empty:
        pass
    return [f"{host}: {trouble}" for host, trouble in troubles.items() if trouble]


def read_file(name):
    """Reads `$VAE_KERAS_DATA/<name>.npz`.

    Args:
        name: one of the keys of `DATASETS`.

    Returns:
        A dict of the arrays: `x_train` and `x_test`, uint8, `(num_images, height, width)` or
        `(num_images, height, width, channels)`; `y_train` and `y_test`, integers from 0,
        `(num_images,)` or `(num_images, 1)`.

    Raises:
        ValueError: if the file is missing, damaged, or its arrays are not of that form.
    """
    check(dataset=name)
    path = _file_path(name)
    if path is None:
        raise ValueError(f"VAE_KERAS_DATA must be the folder of {name}.npz. Received: nothing")
    _check_headers(name, path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {array: archive[array] for array in ARRAYS}
    except _DAMAGE as error:
        raise _unusable(name, path, error) from error
    for array in ("y_train", "y_test"):
        lowest, highest = arrays[array].min(), arrays[array].max()
        if lowest < 0 or highest >= len(DATASETS[name]["classes"]):
            raise _unusable(name, path, f"`{array}` goes from {lowest} to {highest}")
    return arrays


def _data_folder():
    folder = os.environ.get("VAE_KERAS_DATA")
    if not folder:
        return None
    if not os.path.isdir(os.path.expanduser(folder)):
        raise ValueError(
            f"VAE_KERAS_DATA must be an existing folder. Received: {folder!r}. Create the folder, "
            f"or unset the variable."
        )
    return os.path.expanduser(folder)


def _file_path(name):
    folder = _data_folder()
    return None if folder is None else os.path.join(folder, f"{name}.npz")


def _expected(name):
    height, width, channels = DATASETS[name]["image_shape"]
    bare = f"(num_images, {height}, {width}) or " if channels == 1 else ""
    return (
        f"the arrays x_train and x_test, uint8, {bare}(num_images, {height}, {width}, {channels}), "
        f"and y_train and y_test, integers from 0 to {len(DATASETS[name]['classes']) - 1}, "
        f"(num_images,) or (num_images, 1)"
    )


def _unusable(name, path, trouble):
    trouble = str(trouble) or type(trouble).__name__
    return ValueError(
        f"{path} cannot be used: {trouble}. Expected in it: {_expected(name)}. Mend or delete the "
        f"file, or unset VAE_KERAS_DATA."
    )


def _check_headers(name, path):
    """Raises an error if the arrays are not of the right form; reads but a few bytes of each."""
    headers = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for array in ARRAYS:
                if f"{array}.npy" not in archive.namelist():
                    raise ValueError(f"it has no array `{array}`")
                with archive.open(f"{array}.npy") as member:
                    form = np.lib.format
                    old = form.read_magic(member) == (1, 0)
                    read = form.read_array_header_1_0 if old else form.read_array_header_2_0
                    shape, _, dtype = read(member)
                    headers[array] = shape, dtype
                    start, size = member.tell(), archive.getinfo(f"{array}.npy").file_size
                if size - start != math.prod(shape) * dtype.itemsize and not dtype.hasobject:
                    raise ValueError(f"`{array}` is not as long as its header says")
    except _DAMAGE as error:
        raise _unusable(name, path, error) from error
    for array, (shape, dtype) in headers.items():
        number = headers[array.replace("y_", "x_")][0][:1]
        if array.startswith("x_"):
            image_shape = DATASETS[name]["image_shape"]
            shapes = [image_shape, image_shape[:2]] if image_shape[2] == 1 else [image_shape]
            right = dtype == np.uint8 and shape[1:] in shapes and number > (0,)
        else:
            right = dtype.kind in "iu" and shape in [number, (*number, 1)]
        if not right:
            raise _unusable(name, path, f"`{array}` is {dtype} of shape {shape}")


def _lacking_in_cache(name):
    """What is wrong with the files Keras should have in its cache, one phrase each."""
    lacking = []
    for file, size in DATASETS[name]["cached"].items():
        path = os.path.join(keras_cache(), file)
        if not os.path.isfile(path):
            lacking.append(f"{file} is missing")
        elif os.path.getsize(path) != size:
            lacking.append(
                f"{file} is damaged, {os.path.getsize(path)} bytes instead of {size}: delete it"
            )
    return lacking


def _ask(host, url, timeout, answers):
    try:
        request = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(request, timeout=timeout):
            trouble = None
    except urllib.error.HTTPError as error:
        # 405 and 501 come from a server that is there, but knows no HEAD.
        trouble = None if error.code in (405, 501) else f"HTTP status {error.code}"
        error.close()
    except Exception as error:  # whatever it is, the host has not answered
        trouble = str(getattr(error, "reason", error)) or type(error).__name__
    answers.put((host, trouble))
