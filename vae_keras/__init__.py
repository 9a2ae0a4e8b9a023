"""Variational autoencoders in TensorFlow/Keras: the library behind a comparative study.

>>> from vae_keras import VAE, build_networks, build_optimizer, load_images

These names are imported on first use: `import vae_keras` does not load TensorFlow.
"""

import importlib
import os

# TensorFlow and Keras read these variables on import: no other place is early enough.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # hides start-up notices, keeps errors

__version__ = "0.2.0"
__all__ = ["VAE", "build_networks", "build_optimizer", "load_images"]

_HOMES = {
    "VAE": "vae",
    "build_networks": "networks",
    "build_optimizer": "recipe",
    "load_images": "data.load",
}


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"vae_keras.{_HOMES[name]}"), name)


def __dir__():
    return [*globals(), *__all__]
