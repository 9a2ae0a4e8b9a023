"""The data sets: the shape of their images, their classes and their sources."""

DIGITS = tuple("0123456789")
SHAPES = ("square", "ellipse", "heart")
KERAS_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
SVHN_URL = "http://ufldl.stanford.edu/housenumbers/"

# substitute: the data set to use without a network; None if this one needs none.
# source: the authors and the licence.
# files: URL, checksum and path in Keras's cache of each official file. The checksums are Keras's;
# those of Fashion-MNIST are Zalando's.
DATASETS = {
    "fashion_mnist": {
        "image_shape": (28, 28, 1),
        "classes": (
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        "substitute": "digits",
        "source": "Fashion-MNIST: Xiao, Rasul and Vollgraf, 2017; MIT licence",
        "files": tuple(
            (KERAS_URL + file, f"md5:{md5}", f"datasets/fashion-mnist/{file}")
            for file, md5 in (
                ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
                ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
                ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
                ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
            )
        ),
    },
    "cifar10": {
        "image_shape": (32, 32, 3),
        "classes": (
            *("airplane", "automobile", "bird", "cat", "deer"),
            *("dog", "frog", "horse", "ship", "truck"),
        ),
        "substitute": "photos",
        "source": "CIFAR-10: Krizhevsky, 2009; its authors state no licence",
        "files": (
            (
                "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                "sha256:6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
                "datasets/cifar-10-batches-py-target_archive",
            ),
        ),
    },
    "mnist": {
        "image_shape": (28, 28, 1),
        "classes": DIGITS,
        "substitute": "digits",
        "source": "MNIST: LeCun, Cortes and Burges, 1998; CC BY-SA 3.0",
        "files": (
            (
                KERAS_URL + "mnist.npz",
                "sha256:731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
                "datasets/mnist.npz",
            ),
        ),
    },
    "svhn": {
        "image_shape": (32, 32, 3),
        "classes": DIGITS,
        "substitute": "photos",
        "source": "SVHN: Netzer et al., 2011; for non-commercial use",
        "files": tuple(
            (SVHN_URL + file, f"md5:{md5}", f"datasets/svhn/{file}")
            for file, md5 in (
                ("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"),
                ("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"),
            )
        ),
    },
    "digits": {
        "image_shape": (8, 8, 1),
        "classes": DIGITS,
        "substitute": None,
        "source": "The digits of scikit-learn: Alpaydin and Kaynak, 1998; CC BY 4.0",
    },
    "photos": {
        "image_shape": (32, 32, 3),
        "classes": ("china", "flower"),
        "substitute": None,
        "source": "Parts of the two photographs of scikit-learn; CC BY",
    },
    "sprites": {
        "image_shape": (32, 32, 1),
        "classes": SHAPES,
        "substitute": None,
        "source": "Drawn by this library in the manner of dSprites",
    },
    "dsprites": {
        "image_shape": (64, 64, 1),
        "classes": SHAPES,
        "substitute": "sprites",
        "source": "dSprites: Matthey et al., 2017 (Apache 2.0)",
    },
}
SPRITES = ("sprites", "dsprites")  # images with known factors, see `vae_keras.data.sprites`


def is_own(name):
    """Returns whether a name refers to a user's own images.

    Args:
        name: `folder:/path/to/images`, the path of an `.npz` file, or a key of `DATASETS`.
    """
    return isinstance(name, str) and (
        (name.startswith("folder:") and len(name) > len("folder:")) or name.endswith(".npz")
    )
