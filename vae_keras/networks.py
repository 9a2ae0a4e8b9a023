"""Encoders and decoders, built from the name of an architecture."""

import functools
import math
import numbers
from collections.abc import Callable
from typing import NamedTuple

from vae_keras.layers import ResidualBlock
from vae_keras.runtime import keras, layers


class Architecture(NamedTuple):
    """The parts in which one pair of networks differs from another.

    Attributes:
        features: function that maps images, `(batch_size, height, width, channels)`, to features
            of any shape, which are flattened for the encoder's dense layers.
        hidden_units: units of the encoder's dense layers, a tuple.
        logits: function that maps codes and `image_shape` to logits, `(batch_size, *image_shape)`.
            The codes are `(batch_size, latent_dim)`, with one-hot labels appended if the model is
            conditional.
    """

    features: Callable
    hidden_units: tuple
    logits: Callable


def build_networks(architecture, image_shape, latent_dim, num_classes=0):
    """Builds the encoder and the decoder of a VAE.

    Hidden layers follow Keras's global dtype policy; the outputs are always float32.

    Args:
        architecture: `"plain"`: three convolutions with 32, 64 and 128 channels, the first two
            with stride 2, and 256 hidden units; the decoder upsamples twice, to 32 and 16
            channels. `"residual"`: the same, with a residual block after each upsampling.
            `"mlp"`: one hidden layer of 400 units in each network. Or your own `Architecture`.
        image_shape: `(height, width, channels)`; height and width must be divisible by 4.
        latent_dim: number of latent dimensions, at least 1.
        num_classes: if above 0, both networks also take a one-hot label.

    Returns:
        The pair `(encoder, decoder)` of `keras.Model`. The encoder maps images in [0, 1],
        `(batch_size, height, width, channels)`, to `(z_mean, z_log_var)`, each
        `(batch_size, latent_dim)`. The decoder maps codes, `(batch_size, latent_dim)`, to logits,
        `(batch_size, height, width, channels)`: their sigmoid is the image. With `num_classes`,
        each takes a list: this input and labels, `(batch_size, num_classes)`.

    Raises:
        ValueError: if the architecture is unknown or another argument is out of range.
    """
    if isinstance(architecture, str):
        if architecture not in ARCHITECTURES:
            raise ValueError(
                f"`architecture` must be one of {', '.join(ARCHITECTURES)}, or an `Architecture`. "
                f"Received: {architecture!r}"
            )
        architecture = ARCHITECTURES[architecture]
    image_shape = tuple(image_shape)
    if len(image_shape) != 3 or image_shape[0] % 4 or image_shape[1] % 4 or min(image_shape) < 1:
        raise ValueError(
            "`image_shape` must be (height, width, channels), with height and width divisible by "
            "4, because the networks halve both twice: pad or resize the images. "
            f"Received: {image_shape}"
        )
    for name, value, lowest in (("latent_dim", latent_dim, 1), ("num_classes", num_classes, 0)):
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < lowest:
            raise ValueError(
                f"`{name}` must be a whole number, at least {lowest}. Received: {value!r}"
            )
    sizes = image_shape, int(latent_dim), int(num_classes)
    return _build_encoder(architecture, *sizes), _build_decoder(architecture, *sizes)


def _build_encoder(architecture, image_shape, latent_dim, num_classes):
    images, labels = keras.Input(image_shape, name="images"), _label_input(num_classes)
    hidden = _join(layers.Flatten()(architecture.features(images)), labels)
    for units in architecture.hidden_units:
        hidden = layers.Dense(units, activation="relu")(hidden)
    posterior = [
        layers.Dense(latent_dim, dtype="float32", name=name)(hidden)
        for name in ("z_mean", "z_log_var")
    ]
    return keras.Model([images, *labels] if labels else images, posterior, name="encoder")


def _build_decoder(architecture, image_shape, latent_dim, num_classes):
    codes, labels = keras.Input((latent_dim,), name="z"), _label_input(num_classes)
    logits = architecture.logits(_join(codes, labels), image_shape)
    return keras.Model([codes, *labels] if labels else codes, logits, name="decoder")


def _label_input(num_classes):
    return [keras.Input((num_classes,), name="labels")] if num_classes else []


def _join(hidden, labels):
    return layers.Concatenate()([hidden, *labels]) if labels else hidden


def convolutions(images, filters, strides):
    """Applies 3x3 convolutions; `filters` and `strides` are tuples with one entry per layer."""
    hidden = images
    for number, stride in zip(filters, strides, strict=True):
        hidden = layers.Conv2D(number, 3, stride, padding="same", activation="relu")(hidden)
    return hidden


def transposed_convolutions(codes, image_shape, depth, filters, residual=False):
    """Maps codes to logits: a quarter-size map with `depth` channels is upsampled twice.

    `filters` is a pair, the channels after each transposed convolution. With `residual`, a
    `ResidualBlock` follows each.
    """
    height, width, channels = image_shape
    hidden = layers.Dense(height // 4 * (width // 4) * depth, activation="relu")(codes)
    hidden = layers.Reshape((height // 4, width // 4, depth))(hidden)
    for number in filters:
        hidden = layers.Conv2DTranspose(number, 3, 2, padding="same", activation="relu")(hidden)
        if residual:
            hidden = ResidualBlock(number)(hidden)
    return layers.Conv2D(channels, 3, padding="same", dtype="float32", name="logits")(hidden)


def dense_layers(codes, image_shape, hidden_units):
    """Maps codes to logits through dense layers of `hidden_units`, a tuple."""
    hidden = codes
    for units in hidden_units:
        hidden = layers.Dense(units, activation="relu")(hidden)
    hidden = layers.Dense(math.prod(image_shape), dtype="float32")(hidden)
    return layers.Reshape(image_shape, dtype="float32", name="logits")(hidden)


_PLAIN = Architecture(
    features=functools.partial(convolutions, filters=(32, 64, 128), strides=(2, 2, 1)),
    hidden_units=(256,),
    logits=functools.partial(transposed_convolutions, depth=128, filters=(32, 16)),
)
ARCHITECTURES = {
    "residual": _PLAIN._replace(logits=functools.partial(_PLAIN.logits, residual=True)),
    "plain": _PLAIN,
    "mlp": Architecture(
        features=lambda images: images,
        hidden_units=(400,),
        logits=functools.partial(dense_layers, hidden_units=(400,)),
    ),
}
