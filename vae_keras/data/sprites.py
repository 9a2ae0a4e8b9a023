"""Sprites: images drawn from five known factors, as in dSprites, and dSprites itself.

Image number `i` of 737,280 has the factors `factors(i)`: shape, scale, orientation, x and y. The
images are in the order of the dSprites file, with y changing fastest.
"""

import zipfile

import numpy as np

from vae_keras.data.archive import read_array_header
from vae_keras.data.catalogue import SHAPES

NAMES = ("shape", "scale", "orientation", "x", "y")
SIZES = (len(SHAPES), 6, 40, 32, 32)  # values of each factor
NUM_IMAGES = int(np.prod(SIZES))
SIDE = 64  # pixels
# Lengths at scale 1, in pixels of a 64 x 64 image.
SQUARE_SIDE, ELLIPSE_AXES, HEART_RADIUS = 20, (26, 14), 10
SCALES = np.linspace(0.5, 1, SIZES[1])
ANGLES = np.linspace(0, 2 * np.pi, SIZES[2])  # the first and the last are the same
CENTRES = np.linspace(15.5, 47.5, SIZES[3])
NUM_TRAIN, NUM_VALIDATION, NUM_TEST = 60_000, 5000, 10_000  # validation: the last training images
URL = "https://github.com/google-deepmind/dsprites-dataset"
FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
CHUNK = 500  # images drawn at a time


def factors(numbers):
    """Returns the factors of images, integers from 0, `(num_images, 5)` in the order of `NAMES`.

    Args:
        numbers: integers from 0 to 737,279, `(num_images,)`.
    """
    return np.stack(np.unravel_index(numbers, SIZES), axis=-1)


def draw(values, size=SIDE):
    """Draws sprites, white on black.

    Args:
        values: factors as `factors` returns them, `(num_images, 5)`.
        size: height and width in pixels, 64 or 32. At 32, grey levels are means of 2 x 2 pixels.

    Returns:
        uint8, `(num_images, size, size, 1)`.

    Raises:
        ValueError: if `size` is neither.
    """
    if size not in (SIDE, SIDE // 2):
        raise ValueError(f"sprites have 32 or 64 pixels along a side. Received: {size}")
    values = np.asarray(values)
    chunks = [values[start : start + CHUNK] for start in range(0, len(values), CHUNK)]
    images = [_draw(chunk) for chunk in chunks]
    if size != SIDE:
        images = [image.reshape(-1, size, 2, size, 2).mean(axis=(2, 4)) for image in images]
    return np.concatenate([np.rint(255 * image).astype("uint8") for image in images])[..., None]


def split_numbers():
    """Returns the numbers of the training and the test images, a fixed random choice."""
    order = np.random.default_rng(0).permutation(NUM_IMAGES)[: NUM_TRAIN + NUM_TEST]
    return order[:NUM_TRAIN], order[NUM_TRAIN:]


def read_sprites(name, place, image_size):
    """Returns the arrays of the data set `sprites` or `dsprites`.

    Args:
        name: `"sprites"`, which are drawn, or `"dsprites"`.
        place: path of the dSprites file, from which the same combinations are read, or None.
        image_size: height and width of drawn images, 32 or 64 pixels.

    Returns:
        Dict of arrays: `x_train` and `x_test`, uint8 `(num_images, height, width, 1)`; `y_train`
        and `y_test`, the shapes, integers `(num_images,)`.

    Raises:
        OSError: if there is no dSprites file.
        ValueError: if `place` is not the dSprites file.
    """
    if name == "dsprites" and place is None:
        raise OSError(
            f"dSprites is not downloaded: it has no official checksum. Save {FILE} from {URL} in "
            "a folder as dsprites.npz, and set VAE_KERAS_DATA to the folder. `sprites` needs no "
            "file."
        )
    numbers = np.concatenate(split_numbers())  # together, to read the file once
    values = factors(numbers)
    images = draw(values, image_size) if place is None else _read_dsprites(place, numbers)
    arrays = {}
    for split, part in (("train", slice(NUM_TRAIN)), ("test", slice(NUM_TRAIN, None))):
        arrays |= {f"x_{split}": images[part], f"y_{split}": values[part, 0]}
    return arrays


def split_factors(split):
    """Returns the factors of the images that `load_images` returns, `(num_images, 5)`.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
    """
    train, test = split_numbers()
    train, validation = train[:-NUM_VALIDATION], train[-NUM_VALIDATION:]
    return factors({"train": train, "validation": validation, "test": test}[split])


def _draw(values):
    """Returns whether each pixel, at whole coordinates from 0, lies within the shape."""
    shape, scale, orientation, x, y = values.T
    # The whole sprite lies within a window around its centre, half as wide as the image.
    columns, across = (part[:, None] for part in _window(CENTRES[x]))
    rows, down = (part[..., None] for part in _window(CENTRES[y]))
    cosine, sine = (
        (function(ANGLES[orientation]) / SCALES[scale]).astype("float32")[:, None, None]
        for function in (np.cos, np.sin)
    )
    u, v = cosine * across + sine * down, cosine * down - sine * across
    inside = np.empty(u.shape, bool)
    for kind, within in enumerate((_in_square, _in_ellipse, _in_heart)):
        chosen = shape == kind
        inside[chosen] = within(u[chosen], v[chosen])
    images = np.zeros((len(values), SIDE, SIDE), bool)
    images[np.arange(len(values))[:, None, None], rows, columns] = inside
    return images


def _window(centres):
    """Returns whole coordinates around each centre, and their distances from it."""
    places = np.floor(centres).astype(int)[:, None] + np.arange(SIDE // 2) - SIDE // 4 + 1
    return places, (places - centres[:, None]).astype("float32")


def _in_square(u, v):
    return np.maximum(np.abs(u), np.abs(v)) <= SQUARE_SIDE / 2


def _in_ellipse(u, v):
    return np.square(2 * u / ELLIPSE_AXES[0]) + np.square(2 * v / ELLIPSE_AXES[1]) <= 1


def _in_heart(u, v):
    """Uses the sextic heart curve, with its point downwards."""
    u, v = u / HEART_RADIUS, -v / HEART_RADIUS
    return (u**2 + v**2 - 1) ** 3 <= u**2 * v**3


def _read_dsprites(place, numbers):
    """Reads images from the dSprites file in blocks: the whole array takes 3 GB."""
    try:
        with zipfile.ZipFile(place) as archive:
            with archive.open("imgs.npy") as member:
                header = read_array_header(member)
                if header != ((NUM_IMAGES, SIDE, SIDE), False, np.dtype("uint8")):
                    raise ValueError(f"`imgs` is {header[2]} of shape {header[0]}")
                images = np.empty((len(numbers), SIDE, SIDE, 1), "uint8")
                order, block = np.argsort(numbers), 1024
                for start in range(0, NUM_IMAGES, block):
                    pixels = np.frombuffer(member.read(block * SIDE**2), "uint8")
                    first, last = np.searchsorted(numbers[order], (start, start + block))
                    chosen = order[first:last]
                    images[chosen] = pixels.reshape(-1, SIDE, SIDE, 1)[numbers[chosen] - start]
    except Exception as error:  # zipfile raises errors of many types for damaged files
        raise ValueError(
            f"{place} cannot be used: {error}. It must be the dSprites file, with `imgs`, uint8 "
            f"of shape ({NUM_IMAGES}, {SIDE}, {SIDE})."
        ) from error
    return 255 * images  # 0 and 1 in the file
