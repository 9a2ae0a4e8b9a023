"""The networks of the reproduced experiments."""

import functools

from vae_keras.networks import (
    ARCHITECTURES,
    Architecture,
    convolutions,
    dense_layers,
    transposed_convolutions,
)
from vae_keras.runtime import layers

WIDE = ((128, 7), (256, 7), (512, 5))  # channels and kernel size; stride 1, padding 1


def _wide_features(images):
    hidden = images
    for filters, kernel_size in WIDE:
        hidden = _padded_convolution(hidden, filters, kernel_size, padding=1)
    return hidden


def _wide_logits(codes, image_shape):
    """Mirrors `_wide_features`."""
    height, width = (size - sum(kernel - 3 for _, kernel in WIDE) for size in image_shape[:2])
    hidden = layers.Dense(height * width * WIDE[-1][0], activation="relu")(codes)
    hidden = layers.Reshape((height, width, WIDE[-1][0]))(hidden)
    # At stride 1, a transposed convolution with padding p is a convolution with padding
    # kernel_size - 1 - p.
    for (filters, _), (_, kernel_size) in zip(WIDE[-2::-1], WIDE[:0:-1], strict=True):
        hidden = _padded_convolution(hidden, filters, kernel_size, padding=kernel_size - 2)
    kernel_size = WIDE[0][1]
    hidden = layers.ZeroPadding2D(kernel_size - 2, dtype="float32")(hidden)
    return layers.Conv2D(image_shape[2], kernel_size, dtype="float32", name="logits")(hidden)


def _padded_convolution(hidden, filters, kernel_size, padding):
    hidden = layers.ZeroPadding2D(padding)(hidden)
    return layers.Conv2D(filters, kernel_size, activation="relu")(hidden)


# By value of the parameter `architecture`; `reproductions` names their sources.
NETWORKS = {
    "wide": Architecture(features=_wide_features, hidden_units=(), logits=_wide_logits),
    "small": Architecture(
        features=functools.partial(convolutions, filters=(32, 64), strides=(2, 2)),
        hidden_units=(16,),
        logits=functools.partial(transposed_convolutions, depth=64, filters=(64, 32)),
    ),
    "deep_mlp": Architecture(
        features=lambda images: images,
        hidden_units=(512, 512),
        logits=functools.partial(dense_layers, hidden_units=(512, 512, 512)),
    ),
    "residual_1024": ARCHITECTURES["residual"]._replace(hidden_units=(1024,)),
}
