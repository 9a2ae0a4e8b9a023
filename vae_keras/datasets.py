"""The data sets: what their images are, and the two that come with scikit-learn. No TensorFlow."""

import os

import numpy as np

DIGITS = tuple("0123456789")
_CLOTHES = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
_OBJECTS = "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck"
_KERAS_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_SVHN_URL = "http://ufldl.stanford.edu/housenumbers/"
_IDX_FILES = {
    "train-labels-idx1-ubyte.gz": 29515,
    "train-images-idx3-ubyte.gz": 26421880,
    "t10k-labels-idx1-ubyte.gz": 5148,
    "t10k-images-idx3-ubyte.gz": 4422102,
}
# `cached`: the official files, relative to `keras_cache()`, and their sizes in bytes, since a
# download that was cut off leaves a shorter file under the same name. Of CIFAR-10 it is the
# archive that counts: without it Keras downloads again, even if the extracted folder is there.
DATASETS = {
    "fashion_mnist": {
        "image_shape": (28, 28, 1),
        "classes": tuple(_CLOTHES.split(",")),
        "substitute": "digits",
        "urls": tuple(_KERAS_URL + file for file in _IDX_FILES),
        "cached": {f"fashion-mnist/{file}": size for file, size in _IDX_FILES.items()},
    },
    "cifar10": {
        "image_shape": (32, 32, 3),
        "classes": tuple(_OBJECTS.split(",")),
        "substitute": "photos",
        "urls": ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
        "cached": {"cifar-10-batches-py-target_archive": 170498071},
    },
    "mnist": {
        "image_shape": (28, 28, 1),
        "classes": DIGITS,
        "substitute": "digits",
        "urls": (_KERAS_URL + "mnist.npz",),
        "cached": {"mnist.npz": 11490434},
    },
    "svhn": {
        "image_shape": (32, 32, 3),
        "classes": DIGITS,
        "substitute": "photos",
        "urls": (_SVHN_URL + "train_32x32.mat", _SVHN_URL + "test_32x32.mat"),
        "cached": {"svhn/train_32x32.mat": 182040794, "svhn/test_32x32.mat": 64275384},
        "md5": ("e26dedcc434d2e4c54c9b2d4a06d8373", "eb5a983be6a315427106f1b164d9cef3"),
    },
    "digits": {"image_shape": (8, 8, 1), "classes": DIGITS, "substitute": None, "urls": ()},
    "photos": {
        "image_shape": (32, 32, 3),
        "classes": ("china", "flower"),
        "substitute": None,
        "urls": (),
    },
}
# Columns of each photograph, all of its rows: no pixel is in two of the three regions.
_PHOTO_REGIONS = {
    "train": ((0, 224), (400, 640)),
    "validation": ((224, 304),),
    "test": ((304, 400),),
}


def read_embedded(name):
    """Reads a data set that comes with scikit-learn.

    `digits` are its handwritten digits, the last 360 of them for the test. `photos` are patches of
    its two sample photographs, the label says of which one; test images, the last tenth of the
    training images (which the library holds out for validation) and the rest share no pixel.

    Args:
        name: `"digits"` or `"photos"`.

    Returns:
        A dict of arrays: `x_train` and `x_test`, uint8, `(num_images, height, width, channels)`;
        `y_train` and `y_test`, integers from 0, `(num_images,)`.

    Raises:
        ValueError: if that data set is not embedded.
    """
    if name not in ("digits", "photos"):
        raise ValueError(f"`name` must be digits or photos. Received: {name!r}")
    if name == "digits":
        from sklearn.datasets import load_digits

        images, y = load_digits(return_X_y=True)
        x = np.round(images * (255 / 16)).astype("uint8").reshape(-1, 8, 8, 1)  # from 0 to 16
        return {"x_train": x[:-360], "y_train": y[:-360], "x_test": x[-360:], "y_test": y[-360:]}
    from sklearn.datasets import load_sample_images

    photos = load_sample_images().images
    x, y = _photo_patches(photos, "train")
    x_held, y_held = _photo_patches(photos, "validation")
    num_held = len(x) // 9  # a tenth of both together
    x_test, y_test = _photo_patches(photos, "test")
    return {
        "x_train": np.concatenate([x, x_held[:num_held]]),
        "y_train": np.concatenate([y, y_held[:num_held]]),
        "x_test": x_test,
        "y_test": y_test,
    }


def write_stand_ins(folder, num_train=1000, num_test=200):
    """Writes small files in the form of the real data sets, made from the embedded ones.

    They serve to try a program, through `VAE_KERAS_DATA`; what it then reports means nothing. For
    the grey sets the digits are enlarged; for the colour sets the labels of the photo patches are
    tenths of their brightness, 0 the darkest.

    Args:
        folder: where to write the files; created if missing.
        num_train: number of training images, from 10 to 1,437.
        num_test: number of test images, from 1 to 360.

    Raises:
        ValueError: if a number is out of its range.
    """
    if not 10 <= num_train <= 1437 or not 1 <= num_test <= 360:
        raise ValueError(
            f"`num_train` must be from 10 to 1437 and `num_test` from 1 to 360. "
            f"Received: num_train={num_train!r}, num_test={num_test!r}"
        )
    os.makedirs(folder, exist_ok=True)
    for name in ("fashion_mnist", "mnist", "cifar10", "svhn"):
        arrays = read_embedded(DATASETS[name]["substitute"])
        for part, number in (("train", num_train), ("test", num_test)):
            x, y = arrays[f"x_{part}"][:number], arrays[f"y_{part}"][:number]
            if DATASETS[name]["image_shape"] == (28, 28, 1):
                x = np.pad(x[..., 0].repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2)))
            else:
                y = x.mean(axis=(1, 2, 3)).argsort().argsort() * 10 // number
            arrays[f"x_{part}"], arrays[f"y_{part}"] = x, y.astype("uint8")
        np.savez_compressed(os.path.join(folder, f"{name}.npz"), **arrays)


def _photo_patches(photos, region, size=32, stride=8):
    """Overlapping patches of one region of all photographs, in a fixed random order."""
    patches, labels = [], []
    for label, photo in enumerate(photos):
        for left, right in _PHOTO_REGIONS[region]:
            windows = np.lib.stride_tricks.sliding_window_view(
                photo[:, left:right], (size, size, 3)
            )[::stride, ::stride]
            patches.append(windows.reshape(-1, size, size, 3))
            labels += [label] * len(patches[-1])
    order = np.random.default_rng(0).permutation(len(labels))
    return np.concatenate(patches)[order], np.array(labels)[order]
