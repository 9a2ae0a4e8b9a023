"""Images and labels from an `.npz` file, which may be damaged or hostile.

All headers are checked before anything is decompressed, and pickled objects are never loaded.
"""

import io
import math
import os
import stat
import zipfile

import numpy as np

MAX_BYTES = 8 * 2**30  # limit for the decompressed images of a file or folder
HEADER_BYTES = 10_128  # NumPy refuses longer headers
PAIRS = {"x_train": "y_train", "x_test": "y_test"}


def read_archive(path, entry=None):
    """Reads an `.npz` file.

    It holds `x_train` and `x_test`, or `images`: uint8 `(num_images, height, width)` or
    `(num_images, height, width, channels)` with 1 or 3 channels. Labels are `y_train` and `y_test`,
    or `labels`: integers from 0, `(num_images,)` or `(num_images, 1)`. They are optional in a
    user's own file.

    Args:
        path: the file.
        entry: entry of `DATASETS` that the arrays must match; `None` for a user's own file.

    Returns:
        Dict of the arrays: images `(num_images, height, width, channels)`, labels int64
        `(num_images,)`, or `None` if there are none.

    Raises:
        ValueError: if the file is damaged, is not a regular file, or holds something else.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError("it is not a regular file")
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            pairs = PAIRS
            if entry is None and "images.npy" in members:
                pairs = {"images": "labels"}
            names = list(pairs)
            if entry is not None or any(f"{y}.npy" in members for y in pairs.values()):
                names += pairs.values()
            headers = {name: _read_header(archive, name) for name in names}
            _check_headers(headers, pairs, entry and entry["image_shape"])
            arrays = {name: _read_array(archive, name) for name in names}
        if entry is None and max(arrays[x].max() for x in pairs) <= 1:
            raise ValueError("its grey levels are 0 and 1 of 255: multiply the images by 255")
        # Labels of one's own are limited too, because each class costs memory.
        num_classes = len(entry["classes"] if entry else max((arrays[x] for x in pairs), key=len))
        result = {}
        for x, y in pairs.items():
            shape, _ = headers[x]
            result[x] = np.ascontiguousarray(arrays[x]).reshape(shape + (1,) * (4 - len(shape)))
            result[y] = _check_labels(y, arrays[y], num_classes) if y in names else None
        return result
    except Exception as error:  # zipfile and NumPy raise errors of many types for damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{path} cannot be used: {reason}. It must hold {describe(entry)}. Repair, replace or "
            "delete the file."
        ) from error


def describe(entry=None):
    """Describes the contents that `read_archive` expects.

    Args:
        entry: as for `read_archive`.
    """
    if entry is None:
        return (
            "x_train and x_test, or images: uint8 of shape (num_images, height, width, channels), "
            "with 1 or 3 channels, and optionally y_train and y_test, or labels: integers from 0, "
            "fewer classes than images"
        )
    height, width, channels = entry["image_shape"]
    bare = f"(num_images, {height}, {width}) or " if channels == 1 else ""
    return (
        f"x_train and x_test, uint8 of shape {bare}(num_images, {height}, {width}, {channels}), "
        f"and y_train and y_test, integers from 0 to {len(entry['classes']) - 1}"
    )


def read_array_header(file):
    """Reads the header of an `.npy` file.

    Args:
        file: binary file, positioned at the start.

    Returns:
        The shape, whether the order is Fortran's, and the dtype.
    """
    form = np.lib.format
    if form.read_magic(file) == (1, 0):
        return form.read_array_header_1_0(file)
    return form.read_array_header_2_0(file)


def _read_header(archive, name):
    """Returns the shape and dtype of an array; decompresses only its first bytes."""
    if f"{name}.npy" not in archive.namelist():
        raise ValueError(f"it has no array `{name}`")
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as member:
        start = io.BytesIO(member.read(HEADER_BYTES))
    try:
        shape, _, dtype = read_array_header(start)
    except Exception as error:  # such as tokenize.TokenError, RecursionError
        raise ValueError(f"the header of `{name}` is damaged") from error
    if dtype.hasobject:
        raise ValueError(f"`{name}` holds Python objects")
    if info.file_size - start.tell() != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"`{name}` is not as long as its header says")
    return shape, dtype


def _check_headers(headers, pairs, image_shape):
    for x, y in pairs.items():
        shape, dtype = headers[x]
        found = (*shape[1:], 1) if len(shape) == 3 else shape[1:]
        image_shape = image_shape or found  # the shape in the first array
        valid = dtype == np.uint8 and found == image_shape and len(found) == 3
        if not valid or min(shape) < 1 or found[2] not in (1, 3):
            raise ValueError(f"`{x}` is {dtype} of shape {shape}")
        if y in headers:
            labels_shape, labels_dtype = headers[y]
            if labels_dtype.kind not in "iu" or labels_shape not in (shape[:1], (shape[0], 1)):
                raise ValueError(f"`{y}` is {labels_dtype} of shape {labels_shape}")
    num_bytes = sum(math.prod(headers[x][0]) for x in pairs)
    if num_bytes > MAX_BYTES:
        raise ValueError(
            f"its images take {num_bytes / 2**30:.1f} GiB, more than {MAX_BYTES / 2**30:g}"
        )


def _read_array(archive, name):
    with archive.open(f"{name}.npy") as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _check_labels(name, labels, num_classes):
    lowest, highest = labels.min(), labels.max()
    if lowest < 0 or highest >= num_classes:
        raise ValueError(
            f"`{name}` ranges from {lowest} to {highest}, but must be from 0 to {num_classes - 1}"
        )
    return labels.reshape(-1).astype("int64")
