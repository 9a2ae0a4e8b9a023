"""A user's own images: a folder of PNG, JPEG and WebP files as arrays."""

import hashlib
import os
import warnings
from pathlib import Path

import numpy as np
from tqdm import tqdm

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
MAX_BROKEN = 0.01  # share of files that may be unreadable
TEST_SHARE = 0.1
PROGRESS_FROM = 2000  # files


def read_folder(path, image_size):
    """Reads all images below a folder, in one size.

    The shorter side is resized to `image_size` and the centre cropped. Images are grey if all files
    are, otherwise colour; transparent ones lie on white. Sub-folders are classes, in alphabetical
    order; images that lie in the folder itself have none. A tenth, chosen by a hash of the file's
    name, are test images, so a file stays in its split when others come or go. The result is cached
    in the user's cache folder and read again only if a file changes.

    Args:
        path: the folder.
        image_size: height and width of the images in pixels, divisible by 4.

    Returns:
        Dict of `x_train` and `x_test`, uint8, `(num_images, image_size, image_size, channels)`, and
        `y_train` and `y_test`, integers, `(num_images,)`, or `None` without classes; and the class
        names, a tuple.

    Raises:
        ValueError: if `image_size` is not valid, there is no such folder, it has fewer than 20
            images, or more than 1 % of its files cannot be read, which are named.
    """
    if not isinstance(image_size, int) or image_size < 4 or image_size % 4:
        raise ValueError(
            f"`image_size` must be a multiple of 4, at least 4. Received: {image_size!r}"
        )
    root = Path(path).expanduser()
    if not root.is_dir():
        raise ValueError(f"`folder:` must be followed by an existing folder. Received: {path!r}")
    files = sorted(
        file for file in root.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file()
    )
    cached = _cache_file(root, files, image_size)
    if cached is not None and cached.exists():
        with np.load(cached, allow_pickle=False) as saved:
            images, names = saved["images"], saved["names"].tolist()
    else:
        images, names = _read_files(root, files, image_size)
        if cached is not None:
            _write_cache(cached, images, names)
    parents = [name.rpartition("/")[0].partition("/")[0] for name in names]
    classes = tuple(sorted(set(parents))) if all(parents) else ()
    labels = np.array([classes.index(parent) for parent in parents]) if classes else None
    test = np.array([_is_test(name) for name in names], dtype=bool)
    arrays = {}
    for part, chosen in (("train", ~test), ("test", test)):
        arrays |= {f"x_{part}": images[chosen], f"y_{part}": labels[chosen] if classes else None}
    if len(arrays["x_test"]) == 0 or len(arrays["x_train"]) < 10:
        raise ValueError(
            f"{root} must hold at least 20 images ({', '.join(SUFFIXES)}). Found: {len(images)}"
        )
    return arrays, classes


def _read_files(root, files, image_size):
    """Returns the images, uint8 `(num_images, height, width, channels)`, and their names."""
    images, names, broken, is_grey = [], [], {}, True
    for file in tqdm(files, "reading images", disable=len(files) < PROGRESS_FROM, unit="file"):
        try:
            image, grey = _read_file(file, image_size)
        except Exception as error:  # Pillow's decoders raise errors of every kind
            broken[file] = " ".join(str(error).split()) or type(error).__name__
            if len(broken) > max(1, MAX_BROKEN * len(files)):
                break
            continue
        images.append(image)
        names.append(file.relative_to(root).as_posix())
        is_grey &= grey
    if broken:
        named = "; ".join(f"{file} ({reason})" for file, reason in list(broken.items())[:5])
        if len(broken) > MAX_BROKEN * len(files):
            raise ValueError(
                f"more than 1 % of the {len(files)} images of {root} cannot be read: {named}. "
                "Repair or remove them."
            )
        warnings.warn(f"{len(broken)} unreadable images are left out: {named}", stacklevel=4)
    shape = (0, image_size, image_size, 3)
    images = np.stack(images) if images else np.zeros(shape, "uint8")
    return np.ascontiguousarray(images[..., :1]) if is_grey else images, names


def _read_file(file, image_size):
    """Returns an image in three channels, `(image_size, image_size, 3)`, and whether it is grey."""
    from PIL import Image, ImageOps

    with warnings.catch_warnings():
        # Pillow warns of images that take too much memory: here that is an error.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(file, formats=("PNG", "JPEG", "WEBP")) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith(("I", "F")):  # 16 bits and more a pixel
                levels = np.asarray(image, "float64")
                scale = 255 / 65535 if levels.max() > 255 else 1.0
                image = Image.fromarray(np.round(levels * scale).astype("uint8"))
            if image.mode != "L":
                image = image.convert("RGBA")
                white = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(white, image).convert("RGB")
            image = ImageOps.fit(image, (image_size, image_size), Image.Resampling.LANCZOS)
            pixels = np.asarray(image.convert("RGB"))
            # By the pixels: WebP and some JPEG files store grey images in three channels.
            return pixels, bool((pixels == pixels[..., :1]).all())


def _is_test(name):
    return hashlib.sha256(name.encode()).digest()[0] < 256 * TEST_SHARE


def _cache_file(root, files, image_size):
    """Returns where the arrays are cached, by all that they depend on; `None` without a home."""
    states = [(file.relative_to(root).as_posix(), file.stat()) for file in files]
    text = repr([(name, state.st_size, state.st_mtime_ns) for name, state in states])
    digest = hashlib.sha256(f"{root.resolve()} {image_size} {text}".encode()).hexdigest()[:32]
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "vae_keras" / f"{digest}.npz" if os.path.isabs(home) else None


def _write_cache(path, images, names):
    """Writes the arrays at once or not at all; a cache that cannot be written is no error."""
    partial = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(partial, images=images, names=np.array(names, dtype=str))
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
