"""A user's own images: PNG, JPEG and WebP files in a folder, with sub-folders as classes."""

import hashlib
import numbers
import os
import stat
import tempfile
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pooch
from PIL import Image, ImageOps
from tqdm import tqdm

from vae_keras.data.archive import MAX_BYTES

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
SPLIT_FOLDERS = {"train", "training", "val", "valid", "validation", "test"}
MAX_BROKEN = 0.01  # share of the files that may be unreadable
GREY_TOLERANCE = 2  # levels between the channels of a grey image: WebP stores only colours
PROGRESS_FROM = 1000  # files: with fewer, there is no progress bar
NAMED = 10  # broken files that a message names


def list_images(root):
    """Lists the image files below a folder, without hidden files and folders.

    Args:
        root: the folder.

    Returns:
        Tuple of `(name, size, mtime_ns)`, one for each file: its path relative to `root`, with
        slashes, and its `size_and_mtime`. Files are ordered by `name_hash`, which mixes the
        classes.

    Raises:
        ValueError: if there is no such folder or no image in it, or its sub-folders are splits.
        OSError: if a sub-folder cannot be read.
    """
    if not os.path.isdir(root):
        raise ValueError(f"`folder:` must be followed by an existing folder. Received: {root!r}")

    def fail(error):
        raise error

    entries, seen = [], set()
    for folder, subfolders, files in os.walk(root, followlinks=True, onerror=fail):
        if os.path.realpath(folder) in seen:  # circular links, or two links to one folder
            subfolders.clear()
            continue
        seen.add(os.path.realpath(folder))
        subfolders[:] = sorted(
            name for name in subfolders if not name.startswith((".", "__MACOSX"))
        )
        for file in files:
            if file.lower().endswith(SUFFIXES) and not file.startswith("."):
                path = Path(folder, file)
                entries.append((path.relative_to(root).as_posix(), *size_and_mtime(path)))
    if not entries:
        raise ValueError(f"{root} holds no images. Expected: files {', '.join(SUFFIXES)}")
    subfolders = {name.partition("/")[0] for name, *_ in entries if "/" in name}
    if "train" in subfolders and subfolders <= SPLIT_FOLDERS:
        raise ValueError(
            f"the sub-folders of {root} must be classes, not splits. Received: "
            f"{', '.join(sorted(subfolders))}. Choose the folder of the training images: the "
            "library splits it."
        )
    return tuple(sorted(entries, key=lambda entry: name_hash(entry[0])))


def size_and_mtime(path):
    """Returns a file's size in bytes, -1 if not a regular file, and modification time in ns."""
    try:
        status = os.stat(path)
    except OSError:  # such as a broken link
        return -1, 0
    return (status.st_size if stat.S_ISREG(status.st_mode) else -1), status.st_mtime_ns


def name_hash(name):
    """Maps a name to a number in [0, 1), the same on every machine, which decides its split.

    Args:
        name: path of a file, relative to the folder, or the number of an image as text.
    """
    # macOS file systems decompose accented letters.
    digest = hashlib.sha256(os.fsencode(unicodedata.normalize("NFC", name))).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def split_classes(names):
    """Reads the classes of images from their names.

    Args:
        names: list of paths relative to the folder, with slashes.

    Returns:
        The labels, int64 `(num_images,)`, and the class names, a tuple in alphabetical order. With
        fewer than two sub-folders they are `None` and `()`.

    Raises:
        ValueError: if images lie beside two or more sub-folders of images.
    """
    parents = [name.partition("/")[0] if "/" in name else "" for name in names]
    classes = tuple(sorted(set(parents) - {""}))
    if len(classes) < 2:
        return None, ()
    if "" in parents:
        raise ValueError(
            "either all images or none must be in sub-folders, one for each class. Received: "
            f"{names[parents.index('')]} beside {len(classes)} sub-folders. Move such images."
        )
    labels = {name: label for label, name in enumerate(classes)}
    return np.array([labels[parent] for parent in parents]), classes


def read_folder(root, files, image_size):
    """Reads images at one size, from the user's cache if possible.

    The shorter side is resized to `image_size`, and the centre is cropped. The result is grey if
    all pixels are, otherwise in colour. Transparent images get a white background. Animations yield
    their first frame. Photographs are rotated by the orientation that the camera recorded.

    Args:
        root: the folder.
        files: the result of `list_images(root)`.
        image_size: height and width in pixels, divisible by 4.

    Returns:
        The images, uint8 `(num_images, image_size, image_size, channels)`, and their positions in
        `files`, `(num_images,)`. Files that cannot be read are left out, with a warning that names
        them.

    Raises:
        ValueError: if `image_size` is not valid, the images take more than 8 GiB, or more than 1 %
            of the files cannot be read.
    """
    if not isinstance(image_size, numbers.Integral) or image_size < 4 or image_size % 4:
        raise ValueError(
            "`image_size` must be a whole number divisible by 4, at least 4. "
            f"Received: {image_size!r}"
        )
    num_bytes = len(files) * image_size**2 * 3
    if num_bytes > MAX_BYTES:
        raise ValueError(
            f"{len(files)} images of `image_size` {image_size} take {num_bytes / 2**30:.1f} GiB, "
            f"more than {MAX_BYTES / 2**30:g}. Choose a smaller `image_size`, or fewer images."
        )
    cache = _cache_path(root, image_size)
    fingerprint = hashlib.sha256(repr(files).encode("utf-8", "surrogateescape")).hexdigest()
    found = _read_cache(cache, fingerprint)
    if found is None:
        found = _read_files(root, files, image_size)
        _write_cache(cache, fingerprint, *found)
    images, kept, broken = found
    if len(broken):
        more = f" and {len(broken) - NAMED} more" if len(broken) > NAMED else ""
        problem = f"{len(broken)} of {len(files)} files in {root} cannot be read: "
        problem += ", ".join(broken[:NAMED]) + more
        if len(broken) > MAX_BROKEN * len(files):
            raise ValueError(f"{problem}. At most 1 % may be broken: repair or remove them.")
        warnings.warn(f"{problem}. They are left out.", stacklevel=4)
    return images, kept


def _read_files(root, files, image_size):
    """Returns the images, their positions in `files`, and the other files with the reasons."""
    images = np.empty((len(files), image_size, image_size, 3), "uint8")
    kept, broken, is_grey = [], [], True
    progress = tqdm(
        files, "reading images", unit="file", mininterval=1, disable=len(files) < PROGRESS_FROM
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as about damaged EXIF data
        # A header with too large a size is an error, before anything is decoded.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for position, (name, size, _) in enumerate(progress):
            try:
                if size < 0:
                    raise ValueError("not a regular file")
                image = images[len(kept)]
                image[:] = _read_image(os.path.join(root, name), image_size)
            except Exception as error:  # Pillow's decoders raise errors of many types
                broken.append(f"{name} ({' '.join(str(error).split()) or type(error).__name__})")
                continue
            kept.append(position)
            is_grey = is_grey and (image.max(axis=-1) - image.min(axis=-1)).max() <= GREY_TOLERANCE
    images = images[: len(kept)]
    images = np.ascontiguousarray(images[..., 1:2]) if is_grey else images
    return images, np.array(kept, int), np.array(broken, str)


def _read_image(path, image_size):
    """Returns uint8 `(image_size, image_size, 1 or 3)`."""
    size = (image_size, image_size)
    with Image.open(path, formats=("PNG", "JPEG", "WEBP")) as image:
        image.draft(None, (2 * image_size, 2 * image_size))  # decodes large JPEGs much faster
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode.startswith("I"):  # 16 bits
            image = Image.fromarray(np.round(np.asarray(image) / 257).astype("uint8"))
        elif "A" in image.mode.upper() or "transparency" in image.info:
            image = ImageOps.fit(image.convert("RGBA"), size)
            image = Image.alpha_composite(Image.new("RGBA", size, "white"), image).convert("RGB")
        elif image.mode != "L":
            image = image.convert("L" if image.mode == "1" else "RGB")
        return np.asarray(ImageOps.fit(image, size)).reshape(*size, -1)


def _cache_path(root, image_size):
    """Returns the path of a folder's cache, or `None` if there is no place for one."""
    key = f"2 {os.path.realpath(root)} {image_size}"  # 2: the version of the cache
    name = hashlib.sha256(os.fsencode(key)).hexdigest()[:32]
    try:
        return Path(pooch.os_cache("vae_keras")) / "folders" / f"{name}.npz"
    except RuntimeError:  # a user without a home
        return None


def _read_cache(path, fingerprint):
    if path is None:
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if str(arrays["fingerprint"]) == fingerprint:
                return arrays["images"], arrays["kept"], arrays["broken"]
    except Exception:  # missing or damaged: the caller reads the files and writes a new cache
        pass
    return None


def _write_cache(path, fingerprint, images, kept, broken):
    """Writes the whole cache or nothing; a failure is not an error."""
    if path is None or not path.is_absolute():  # a bare "~", from older releases of platformdirs
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            partial = Path(folder, path.name)
            np.savez(partial, images=images, kept=kept, broken=broken, fingerprint=fingerprint)
            os.replace(partial, path)
    except OSError:
        pass
