"""Variational autoencoders in TensorFlow/Keras: the library under a comparative study.

>>> from vae_keras import VAE, build_networks, load_images

These names are imported when they are first used: `import vae_keras` loads no TensorFlow.
"""

import importlib
import os

# TensorFlow and Keras read both while they are imported: this is the only place early enough.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # hides start-up notices, keeps errors

__version__ = "0.2.0"
__all__ = ["VAE", "build_networks", "load_images"]

_HOMES = {"VAE": "vae", "build_networks": "networks", "load_images": "data.load"}


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name != "load_images":  # data without TensorFlow, models with a quiet start of it
        importlib.import_module("vae_keras.runtime")
    return getattr(importlib.import_module(f"vae_keras.{_HOMES[name]}"), name)


def __dir__():
    return [*globals(), *__all__]
