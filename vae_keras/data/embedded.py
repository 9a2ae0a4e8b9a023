"""Two data sets that come with scikit-learn, and stand-ins for public ones made from them."""

import os

import numpy as np

from vae_keras.data.catalogue import DATASETS

# Number of patches, and the ranges of columns they come from. The ranges share no pixel.
# `load_images` holds out the last tenth of the training images: 577 of 5,777.
PHOTO_REGIONS = {
    "train": (5200, [(0, 208), (400, 640)]),
    "validation": (577, [(208, 304)]),
    "test": (900, [(304, 400)]),
}


def read_embedded(name):
    """Reads a data set that comes with scikit-learn.

    `digits` are its handwritten digits; the last 360 are the test images. `photos` are overlapping
    patches of its two sample photographs, labelled by photograph, at full size and reduced to a
    half and a third. Half of the patches are mirrored, and each has its colour channels in random
    order: plain patches are so uniform that every model memorises them. The splits share no pixel:
    the last tenth of the training patches, which `load_images` holds out for validation, comes from
    another region, and so do the test patches.

    Args:
        name: `"digits"` or `"photos"`.

    Returns:
        Dict of arrays: `x_train` and `x_test`, uint8 `(num_images, height, width, channels)`;
        `y_train` and `y_test`, integers `(num_images,)`.

    Raises:
        ValueError: if `name` is another data set.
    """
    if name == "digits":
        from sklearn.datasets import load_digits

        pixels, y = load_digits(return_X_y=True)  # 17 levels, 0 to 16
        x = np.round(pixels * (255 / 16)).astype("uint8").reshape(-1, 8, 8, 1)
        return {"x_train": x[:-360], "y_train": y[:-360], "x_test": x[-360:], "y_test": y[-360:]}
    if name != "photos":
        raise ValueError(f"`name` must be digits or photos. Received: {name!r}")
    from sklearn.datasets import load_sample_images

    photos = load_sample_images().images
    (x, y), (x_held, y_held), (x_test, y_test) = (
        _photo_patches(photos, *split) for split in PHOTO_REGIONS.values()
    )
    return {
        "x_train": np.concatenate([x, x_held]),
        "y_train": np.concatenate([y, y_held]),
        "x_test": x_test,
        "y_test": y_test,
    }


def write_stand_ins(folder, num_train=1000, num_test=200):
    """Writes small files in the form of the public data sets, made from the embedded ones.

    With `VAE_KERAS_DATA` set to their folder, programs run without a network, but the results are
    meaningless. Grey sets are enlarged digits. Colour sets are patches of photographs, labelled by
    decile of brightness, 0 the darkest.

    Args:
        folder: folder of the files; created if missing.
        num_train: number of training images, 10 to 1,437.
        num_test: number of test images, 1 to 360.
    """
    os.makedirs(folder, exist_ok=True)
    for name, entry in DATASETS.items():
        if entry["substitute"] not in ("digits", "photos"):
            continue
        arrays = read_embedded(entry["substitute"])
        for part, number in (("train", num_train), ("test", num_test)):
            x, y = arrays[f"x_{part}"][:number], arrays[f"y_{part}"][:number]
            if entry["substitute"] == "digits":
                x = np.pad(x[..., 0].repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2)))
            else:
                y = x.mean(axis=(1, 2, 3)).argsort().argsort() * 10 // number
            arrays[f"x_{part}"], arrays[f"y_{part}"] = x, y.astype("uint8")
        np.savez_compressed(os.path.join(folder, f"{name}.npz"), **arrays)


def _photo_patches(photos, number, regions, size=32):
    """Returns patches from regions of all photographs, and their labels, shuffled."""
    patches, labels = [], []
    for label, photo in enumerate(photos):
        for left, right in regions:
            for scale, stride in ((1, 8), (2, 4), (3, 2)):
                height, width = len(photo) // scale, (right - left) // scale
                region = photo[: height * scale, left : left + width * scale]
                region = region.reshape(height, scale, width, scale, 3).mean((1, 3))
                means = region.round().astype("uint8")
                windows = np.lib.stride_tricks.sliding_window_view(means, (size, size, 3))
                patches.append(windows[::stride, ::stride].reshape(-1, size, size, 3))
                labels += [label] * len(patches[-1])
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(labels))[:number]
    x = np.concatenate(patches)[chosen]
    x[::2] = x[::2, :, ::-1]
    channels = rng.permuted(np.tile(np.arange(3), (number, 1)), axis=1)
    return np.take_along_axis(x, channels[:, None, None], axis=3), np.array(labels)[chosen]
