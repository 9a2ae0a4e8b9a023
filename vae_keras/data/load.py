"""Images and labels of a data set as arrays, without TensorFlow."""

import functools
import numbers
import os

import numpy as np

from vae_keras.data import archive, download, folder, sprites
from vae_keras.data.catalogue import DATASETS, SPRITES, is_own
from vae_keras.data.embedded import read_embedded

CACHE = "Keras's cache"
SPLITS = ("train", "validation", "test")
MAX_VALIDATION = 5000  # images


def load_images(name, split, fraction=1.0, image_size=32):
    """Loads one split of a data set.

    A data set of the catalogue comes from `$VAE_KERAS_DATA/<name>.npz`, from scikit-learn, or from
    Keras's cache, downloaded if necessary; `sprites` are drawn. Its validation images are the last
    tenth of the official training images, at most 5,000.

    A user's own images are the files of a folder (see `read_folder`) or the arrays of an `.npz`
    file (see `read_archive`). A hash of the path below the folder, or of the image's position in
    the array, assigns about 80 % to training, 10 % to validation and 10 % to the test split. If the
    file has `x_test`, that is the test split, and about a tenth of `x_train` is for validation.

    Args:
        name: a key of `DATASETS`, `folder:/path/to/images`, or a path that ends in `.npz`, a string
            or a `pathlib.Path`.
        split: `"train"`, `"validation"` or `"test"`.
        fraction: share of the split to load, above 0 and at most 1: its first images, at least one.
        image_size: height and width in pixels of images from a folder, divisible by 4, and of
            `sprites`, 32 or 64. Other images keep their size.

    Returns:
        The images, uint8 `(num_images, height, width, channels)`, and their labels, int64
        `(num_images,)`, or `None` if the images have no classes. Both are read-only, since calls
        share them.

    Raises:
        ValueError: if an argument, the file or the folder is not valid.
        OSError: if the data set is not available.
    """
    if split not in SPLITS:
        raise ValueError(f"`split` must be one of {', '.join(SPLITS)}. Received: {split!r}")
    is_number = isinstance(fraction, numbers.Real) and not isinstance(fraction, bool)
    if not is_number or not 0 < fraction <= 1:
        raise ValueError(f"`fraction` must be above 0 and at most 1. Received: {fraction!r}")
    name, place, stamp = locate(name)
    if not (name.startswith("folder:") or name in SPRITES):
        image_size = None  # the images keep their size, so that one entry of the cache serves all
    images, labels = _read(name, place, stamp, image_size)[0][split]
    if len(images) == 0:
        raise ValueError(f"{name!r} has too few images for a {split} split. Add images.")
    first = slice(max(1, round(float(fraction) * len(images))))
    return images[first], None if labels is None else labels[first]


def class_names(name, required=False):
    """Returns the names of a data set's classes, a tuple in the order of the labels.

    Args:
        name: as for `load_images`.
        required: whether images without classes are an error; otherwise they give an empty tuple.

    Raises:
        ValueError: if the file or the folder is not valid, or classes are required.
    """
    name, place, stamp = locate(name)
    if name in DATASETS:
        classes = DATASETS[name]["classes"]
    elif name.startswith("folder:"):
        classes = folder.split_classes([file for file, *_ in stamp])[1]
    else:
        classes = _read(name, place, stamp, None)[1]
    if required and not classes:
        raise ValueError(
            f"a conditional model needs images with classes, and {name} has none. Sort them into "
            "sub-folders, one for each class, or add labels to the .npz file."
        )
    return classes


def locate(name):
    """Returns where a data set comes from, without reading it.

    Args:
        name: as for `load_images`.

    Returns:
        `(name, place, stamp)`. The place is a path, `"scikit-learn"`, `"Keras's cache"`, or None
        for drawn images. The stamp of a path changes with its files; otherwise it is None.

    Raises:
        ValueError: if `name`, `VAE_KERAS_DATA` or the folder is not valid.
    """
    name = os.fspath(name) if isinstance(name, os.PathLike) else name
    if is_own(name):
        place = os.path.abspath(os.path.expanduser(name.removeprefix("folder:")))
        stamp = folder.list_images if name.startswith("folder:") else folder.size_and_mtime
        return name, place, stamp(place)
    if not isinstance(name, str) or name not in DATASETS:
        raise ValueError(
            f"`name` must be one of {', '.join(DATASETS)}, or images of your own: "
            f"folder:/path/to/images or the path of an .npz file. Received: {name!r}"
        )
    data_folder = os.path.expanduser(os.environ.get("VAE_KERAS_DATA", ""))
    if data_folder and not os.path.isdir(data_folder):
        raise ValueError(
            f"VAE_KERAS_DATA must be an existing folder. Received: {data_folder!r}. Create the "
            "folder, or unset the variable."
        )
    place = os.path.join(data_folder, f"{name}.npz")
    if data_folder and os.path.lexists(place):
        return name, place, folder.size_and_mtime(place)
    if name in SPRITES:
        return name, None, None
    return name, CACHE if DATASETS[name]["substitute"] else "scikit-learn", None


@functools.lru_cache(maxsize=1)
def _read(name, place, stamp, image_size):
    """Returns a dict from split to `(images, labels)`, and the names of the classes."""
    if name in DATASETS:
        splits, classes = _read_known(name, place, image_size), DATASETS[name]["classes"]
    elif name.startswith("folder:"):
        images, kept = folder.read_folder(place, stamp, image_size)
        names = [file for file, *_ in stamp]
        labels, classes = folder.split_classes(names)  # of all files, as `class_names` does
        labels = None if labels is None else labels[kept]
        splits = _split_by_hash([names[position] for position in kept], images, labels)
    else:
        splits, classes = _read_own_arrays(place)
    for array in sum(splits.values(), ()):
        if array is not None:
            array.setflags(write=False)
    return splits, classes


def _read_known(name, place, image_size):
    if place == "scikit-learn":
        arrays = read_embedded(name)
    elif place == CACHE:
        arrays = download.read_download(name)
    elif name in SPRITES:
        arrays = sprites.read_sprites(name, place, image_size)
    else:
        arrays = archive.read_archive(place, DATASETS[name])
    x, y = arrays["x_train"], arrays["y_train"].astype("int64")
    border = len(x) - min(MAX_VALIDATION, len(x) // 10)
    return {
        "train": (x[:border], y[:border]),
        "validation": (x[border:], y[border:]),
        "test": (arrays["x_test"], arrays["y_test"].astype("int64")),
    }


def _read_own_arrays(path):
    arrays = archive.read_archive(path)
    if "images" in arrays:
        splits = _split_by_hash(_positions(arrays["images"]), arrays["images"], arrays["labels"])
    else:
        x, y = arrays["x_train"], arrays["y_train"]
        splits = _split_by_hash(_positions(x), x, y, (0.9, 1.0))
        splits["test"] = arrays["x_test"], arrays["y_test"]
    labels = [arrays[key] for key in ("labels", "y_train", "y_test") if arrays.get(key) is not None]
    num_classes = 1 + max((int(values.max()) for values in labels), default=-1)
    return splits, tuple(str(label) for label in range(num_classes))


def _positions(images):
    return [str(position) for position in range(len(images))]


def _split_by_hash(names, images, labels, borders=(0.8, 0.9)):
    """Sorts images by the hash of their names, which mixes the classes, and cuts at `borders`."""
    hashes = np.array([folder.name_hash(name) for name in names])
    order = np.argsort(hashes, kind="stable")
    parts = np.split(order, np.searchsorted(hashes[order], borders))
    return {
        split: (images[part], None if labels is None else labels[part])
        for split, part in zip(SPLITS, parts, strict=True)
    }
