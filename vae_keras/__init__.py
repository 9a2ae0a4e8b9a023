"""Variational autoencoders in TensorFlow/Keras: the library under a comparative study."""

import os

# Both are read while TensorFlow and Keras are imported, so this is the one place early enough.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # hide start-up notices, keep errors

__version__ = "0.1.0"
