"""What the data sets are: the shape of their images, their classes, their sources."""

DIGITS = tuple("0123456789")
KERAS_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
SVHN_URL = "http://ufldl.stanford.edu/housenumbers/"

# substitute: the data set that stands in without a network; None if none is needed.
# source: whose images these are, and on what terms.
# urls: where the official files are; cached: what they are called in Keras's cache.
DATASETS = {
    "fashion_mnist": {
        "image_shape": (28, 28, 1),
        "classes": (
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        "substitute": "digits",
        "source": "Fashion-MNIST: Xiao, Rasul and Vollgraf, 2017; MIT licence",
        "urls": (KERAS_URL + "*-ubyte.gz",),
        "cached": "fashion-mnist",
    },
    "cifar10": {
        "image_shape": (32, 32, 3),
        "classes": (
            *("airplane", "automobile", "bird", "cat", "deer"),
            *("dog", "frog", "horse", "ship", "truck"),
        ),
        "substitute": "photos",
        "source": "CIFAR-10: Krizhevsky, 2009; its authors state no licence",
        "urls": ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
        "cached": "cifar-10-batches-py-target*",
    },
    "mnist": {
        "image_shape": (28, 28, 1),
        "classes": DIGITS,
        "substitute": "digits",
        "source": "MNIST: LeCun, Cortes and Burges, 1998; CC BY-SA 3.0",
        "urls": (KERAS_URL + "mnist.npz",),
        "cached": "mnist.npz",
    },
    "svhn": {
        "image_shape": (32, 32, 3),
        "classes": DIGITS,
        "substitute": "photos",
        "source": "SVHN: Netzer et al., 2011; for non-commercial use",
        "urls": (SVHN_URL + "train_32x32.mat", SVHN_URL + "test_32x32.mat"),
        "md5": ("e26dedcc434d2e4c54c9b2d4a06d8373", "eb5a983be6a315427106f1b164d9cef3"),
        "cached": "svhn",
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
}


def is_own(name):
    """Tells whether a name means a user's own images.

    Args:
        name: `folder:/path/to/images`, the path of a `.npz` file, or a key of `DATASETS`.
    """
    return isinstance(name, str) and (
        (name.startswith("folder:") and len(name) > len("folder:")) or name.endswith(".npz")
    )
