"""Images in `.npz` files, read so that a damaged or hostile one is refused at once.

The headers are checked before anything is decompressed: a file cannot make the reader use more
memory than its arrays may need. Pickled objects are never loaded.
"""

import math
import os
import stat
import tokenize
import zipfile
import zlib

import numpy as np

from vae_keras.data.catalogue import DATASETS

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
MAX_BYTES = 8 << 30  # of one array
MAX_RATIO = 200  # of its size to its compressed size, from 100 MB on: images do not reach that
# What zipfile and NumPy raise on a file that is cut off, overwritten or no archive at all.
_DAMAGE = (
    *(OSError, EOFError, ValueError, KeyError, RuntimeError, SyntaxError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError, RecursionError, NotImplementedError),
)


def read_known(path, name):
    """Reads a data set of the catalogue.

    Args:
        path: the file.
        name: a key of `DATASETS`.

    Returns:
        Dict of `x_train` and `x_test`, uint8, `(num_images, height, width)` or
        `(num_images, height, width, channels)`, and `y_train` and `y_test`, integers from 0,
        `(num_images,)` or `(num_images, 1)`.

    Raises:
        ValueError: if the file is damaged, or its arrays differ from that.
    """
    image_shape, num_classes = DATASETS[name]["image_shape"], len(DATASETS[name]["classes"])
    shapes = [image_shape, image_shape[:2]] if image_shape[2] == 1 else [image_shape]
    try:
        arrays = _read(path, ARRAYS, lambda shape: shape[1:] in shapes)
        for array in ("y_train", "y_test"):
            if arrays[array].min() < 0 or arrays[array].max() >= num_classes:
                raise ValueError(f"`{array}` has labels outside 0 to {num_classes - 1}")
        return arrays
    except _DAMAGE as error:
        raise ValueError(
            f"{path} cannot be used: {str(error) or type(error).__name__}. It must hold "
            f"{expected(name)}. Repair or delete the file, or unset VAE_KERAS_DATA."
        ) from error


def read_own(path, image_size=None):
    """Reads a user's own arrays.

    Args:
        path: a `.npz` file with the arrays `x_train` and `x_test`, or `images` alone, of which
            every tenth then is a test image. Shape `(num_images, height, width)` or with 1 or 3
            channels, uint8, height and width divisible by 4. Labels are `y_train` and `y_test`, or
            `labels`, integers from 0; they may be missing.
        image_size: not used: the images keep their size.

    Returns:
        Dict as that of `read_known`, labels `None` if there are none, and the class names, a tuple.

    Raises:
        ValueError: if the file is damaged, or its arrays differ from that.
    """
    try:
        with zipfile.ZipFile(_regular(path)) as file:
            members = {name.removesuffix(".npy") for name in file.namelist()}
        names = [name for name in (*ARRAYS, "images", "labels") if name in members]
        found = _read(path, names, lambda shape: _is_usable(shape[1:]))
        if "images" in found:
            test = np.arange(len(found["images"])) % 10 == 0
            for array, name in (("x", "images"), ("y", "labels")):
                if name in found:
                    values = found.pop(name)
                    found |= {f"{array}_train": values[~test], f"{array}_test": values[test]}
        if not {"x_train", "x_test"} <= set(found):
            raise ValueError("it has neither `images` nor both `x_train` and `x_test`")
    except _DAMAGE as error:
        raise ValueError(
            f"{path} cannot be used: {str(error) or type(error).__name__}. It must hold `images`, "
            "or `x_train` and `x_test`, uint8, (num_images, height, width, channels), 1 or 3 "
            "channels, height and width divisible by 4, and may hold labels, integers from 0."
        ) from error
    arrays = {array: found.get(array) for array in ARRAYS}
    for array in ("x_train", "x_test"):
        if arrays[array].ndim == 3:
            arrays[array] = arrays[array][..., None]
    labelled = arrays["y_train"] is not None and arrays["y_test"] is not None
    if not labelled:
        return arrays | {"y_train": None, "y_test": None}, ()
    num_classes = 1 + max(int(arrays[array].max()) for array in ("y_train", "y_test"))
    return arrays, tuple(map(str, range(num_classes)))


def expected(name):
    """Says in words what a file of a data set of the catalogue must hold."""
    height, width, channels = DATASETS[name]["image_shape"]
    bare = f"(num_images, {height}, {width}) or " if channels == 1 else ""
    return (
        f"the arrays x_train and x_test, uint8, {bare}(num_images, {height}, {width}, {channels}), "
        f"and y_train and y_test, integers from 0 to {len(DATASETS[name]['classes']) - 1}"
    )


def _is_usable(shape):
    sides, channels = shape[:2], shape[2:]
    return len(sides) == 2 and channels in ((), (1,), (3,)) and not any(n % 4 for n in sides)


def _regular(path):
    """Returns the path if it is that of a regular file: reading a FIFO would wait forever."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("it is not a regular file")
    return path


def _read(path, names, is_image_shape):
    """Checks the headers of arrays, then reads them."""
    headers = {}
    with zipfile.ZipFile(_regular(path)) as file:
        for name in names:
            if f"{name}.npy" not in file.namelist():
                raise ValueError(f"it has no array `{name}`")
            with file.open(f"{name}.npy") as member:
                is_old = np.lib.format.read_magic(member) == (1, 0)
                form = np.lib.format
                read = form.read_array_header_1_0 if is_old else form.read_array_header_2_0
                shape, _, dtype = read(member)
                info = file.getinfo(f"{name}.npy")
                size = info.file_size - member.tell()
            if dtype.hasobject or size != math.prod(shape) * dtype.itemsize:
                raise ValueError(
                    f"`{name}` holds objects, or has another size than its header says"
                )
            if size > MAX_BYTES or (size > 1e8 and size > MAX_RATIO * info.compress_size):
                raise ValueError(f"`{name}` would take {size / 1e9:.1f} GB, which no images need")
            headers[name] = shape, dtype
    for name, (shape, dtype) in headers.items():
        if name.startswith(("x_", "images")):
            right = dtype == np.uint8 and len(shape) > 1 and shape[0] > 0 and is_image_shape(shape)
        else:
            images = {"labels": "images"}.get(name, name.replace("y_", "x_"))
            number = headers.get(images, ((),))[0][:1]
            right = dtype.kind in "iu" and shape in [number, (*number, 1)]
        if not right:
            raise ValueError(f"`{name}` is {dtype} of shape {shape}")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in names}
