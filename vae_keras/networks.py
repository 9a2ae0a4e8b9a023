"""Encoders and decoders, chosen by the name of their architecture."""

from functools import partial

import keras
from keras import layers

from vae_keras.layers import ResidualBlock
from vae_keras.parameters import check


WIDE = ((128, 7), (256, 7), (512, 5))  # channels and kernels


def build_encoder(
    architecture,
    image_shape,
    latent_dim,
    num_classes=0,
    dtype=None,
    hidden_units=0,
    encoder_shift=0,
):
    """Builds the network from an image to the parameters of its posterior.

    Args:
        architecture: "residual" or "plain" (convolutions of 32, 64 and 128 channels, the first
            two with stride 2, and 256 hidden units), "wide" (convolutions of 128, 256 and 512
            channels with kernels of 7, 7 and 5 pixels, stride 1, padded by 1 pixel), "small" (that
            of Keras's own VAE example: convolutions of 32 and 64 channels with stride 2, and 16
            hidden units), "mlp" (400 hidden units) or "deep_mlp" (two layers of 512).
        image_shape: `(height, width, channels)`, height and width divisible by 4, for "wide" at
            least 12.
        latent_dim: number of latent dimensions.
        num_classes: if above 0, the labels are a second input, one-hot.
        dtype: dtype policy of the hidden layers; by default the global one.
        hidden_units: units of the dense layer before the posterior's, in place of those named
            above; 0 leaves them. "wide" has no such layer.
        encoder_shift: pixels by which each image is moved at random in training, at most, both
            ways up and down and to the sides; its edges are repeated.

    Returns:
        A `keras.Model` from images in [0, 1], `(batch_size, height, width, channels)` (or the pair
        of these and of one-hot labels, `(batch_size, num_classes)`) to `(z_mean, z_log_var)`, each
        `(batch_size, latent_dim)` in float32.

    Raises:
        ValueError: if the architecture is unknown, the image size is not divisible by 4, or
            another argument is out of its range.
    """
    _check(architecture, image_shape, latent_dim, num_classes, hidden_units, encoder_shift)
    images = keras.Input(image_shape, name="images")
    moved = _moved(images, encoder_shift)
    bodies = {
        "mlp": _mlp_encoder,
        "deep_mlp": _deep_mlp_encoder,
        "wide": _wide_encoder,
        "small": _small_encoder,
    }
    labels = _label_input(num_classes)
    hidden = bodies.get(architecture, _convolutional_encoder)(moved, labels, dtype, hidden_units)
    posterior = [
        layers.Dense(latent_dim, dtype="float32", name=name)(hidden)
        for name in ("z_mean", "z_log_var")
    ]
    return keras.Model([images, *labels] if labels else images, posterior, name="encoder")


def build_decoder(architecture, image_shape, latent_dim, num_classes=0, dtype=None):
    """Builds the network from a latent code to the logits of an image.

    Args:
        architecture: "residual" (a dense layer, two transposed convolutions to 32 and 16 channels,
            a residual block after each), "plain" (the same without residual blocks), "wide" (the
            mirror image of its encoder), "small" (that of Keras's example: a dense layer, two
            transposed convolutions of 64 and 32 channels), "mlp" (400 hidden units) or "deep_mlp"
            (three layers of 512).
        image_shape: `(height, width, channels)`, height and width divisible by 4.
        latent_dim: number of latent dimensions.
        num_classes: if above 0, the labels are a second input, one-hot.
        dtype: dtype policy of the hidden layers; by default the global one.

    Returns:
        A `keras.Model` from codes, `(batch_size, latent_dim)` (or the pair of these and of one-hot
        labels, `(batch_size, num_classes)`) to logits, `(batch_size, height, width, channels)` in
        float32; their sigmoid is the image in [0, 1].

    Raises:
        ValueError: as `build_encoder`.
    """
    _check(architecture, image_shape, latent_dim, num_classes)
    codes = keras.Input((latent_dim,), name="z")
    labels = _label_input(num_classes)
    hidden = layers.Concatenate(dtype=dtype)([codes, *labels]) if labels else codes
    if architecture == "mlp":
        logits = _mlp_decoder(hidden, image_shape, dtype, (400,))
    elif architecture == "deep_mlp":
        logits = _mlp_decoder(hidden, image_shape, dtype, (512, 512, 512))
    elif architecture == "wide":
        logits = _wide_decoder(hidden, image_shape, dtype)
    elif architecture == "small":
        logits = _convolutional_decoder(hidden, image_shape, dtype, 64, (64, 32))
    else:
        residual = architecture == "residual"
        logits = _convolutional_decoder(hidden, image_shape, dtype, 128, (32, 16), residual)
    return keras.Model([codes, *labels] if labels else codes, logits, name="decoder")


def _moved(images, pixels):
    if not pixels:
        return images
    # Half a pixel more, so that after rounding all shifts are as likely.
    shares = [(pixels + 0.5) / size for size in images.shape[1:3]]
    move = layers.RandomTranslation(
        *shares, fill_mode="nearest", interpolation="nearest", dtype="float32", name="moved"
    )
    return move(images)


def _convolutional_encoder(images, labels, dtype, hidden_units):
    conv = partial(layers.Conv2D, kernel_size=3, padding="same", activation="relu", dtype=dtype)
    hidden = conv(32, strides=2)(images)
    hidden = conv(64, strides=2)(hidden)
    hidden = conv(128)(hidden)
    return _dense(_flatten(hidden, labels, dtype), hidden_units or 256, dtype)


def _small_encoder(images, labels, dtype, hidden_units):
    conv = partial(layers.Conv2D, kernel_size=3, padding="same", activation="relu", dtype=dtype)
    hidden = conv(64, strides=2)(conv(32, strides=2)(images))
    return _dense(_flatten(hidden, labels, dtype), hidden_units or 16, dtype)


def _mlp_encoder(images, labels, dtype, hidden_units):
    return _dense(_flatten(images, labels, dtype), hidden_units or 400, dtype)


def _deep_mlp_encoder(images, labels, dtype, hidden_units):
    hidden = _dense(_flatten(images, labels, dtype), 512, dtype)
    return _dense(hidden, hidden_units or 512, dtype)


def _wide_encoder(images, labels, dtype, hidden_units):
    hidden = images
    for filters, kernel_size in WIDE:
        hidden = _padded_conv(hidden, filters, kernel_size, 1, dtype)
    return _flatten(hidden, labels, dtype)


def _flatten(hidden, labels, dtype):
    hidden = layers.Flatten(dtype=dtype)(hidden)
    return layers.Concatenate(dtype=dtype)([hidden, *labels]) if labels else hidden


def _dense(hidden, units, dtype):
    return layers.Dense(units, activation="relu", dtype=dtype)(hidden)


def _padded_conv(hidden, filters, kernel_size, padding, dtype):
    hidden = layers.ZeroPadding2D(padding, dtype=dtype)(hidden)
    return layers.Conv2D(filters, kernel_size, activation="relu", dtype=dtype)(hidden)


def _convolutional_decoder(hidden, image_shape, dtype, depth, widths, residual=False):
    height, width, channels = image_shape
    hidden = _dense(hidden, height // 4 * (width // 4) * depth, dtype)
    hidden = layers.Reshape((height // 4, width // 4, depth), dtype=dtype)(hidden)
    for filters in widths:
        hidden = layers.Conv2DTranspose(
            filters, 3, strides=2, padding="same", activation="relu", dtype=dtype
        )(hidden)
        if residual:
            hidden = ResidualBlock(filters, dtype=dtype)(hidden)
    return layers.Conv2D(channels, 3, padding="same", dtype="float32", name="logits")(hidden)


def _mlp_decoder(hidden, image_shape, dtype, widths):
    height, width, channels = image_shape
    for units in widths:
        hidden = _dense(hidden, units, dtype)
    hidden = layers.Dense(height * width * channels, dtype="float32")(hidden)
    return layers.Reshape(image_shape, dtype="float32", name="logits")(hidden)


def _wide_decoder(hidden, image_shape, dtype):
    height, width = (size - sum(kernel - 3 for _, kernel in WIDE) for size in image_shape[:2])
    hidden = _dense(hidden, height * width * WIDE[-1][0], dtype)
    hidden = layers.Reshape((height, width, WIDE[-1][0]), dtype=dtype)(hidden)
    # With stride 1 a transposed convolution of padding p is one of padding kernel - 1 - p.
    for (filters, _), (_, kernel_size) in zip(WIDE[-2::-1], WIDE[:0:-1]):
        hidden = _padded_conv(hidden, filters, kernel_size, kernel_size - 2, dtype)
    kernel_size = WIDE[0][1]
    hidden = layers.ZeroPadding2D(kernel_size - 2, dtype="float32")(hidden)
    return layers.Conv2D(image_shape[2], kernel_size, dtype="float32", name="logits")(hidden)


def _label_input(num_classes):
    return [keras.Input((num_classes,), name="labels")] if num_classes else []


def _check(architecture, image_shape, latent_dim, num_classes, hidden_units=0, encoder_shift=0):
    check(architecture=architecture, latent_dim=latent_dim, hidden_units=hidden_units)
    check(encoder_shift=encoder_shift)
    if len(image_shape) != 3 or any(size < 1 for size in image_shape):
        raise ValueError(
            f"`image_shape` must be (height, width, channels). Received: {tuple(image_shape)}"
        )
    if image_shape[0] % 4 or image_shape[1] % 4:
        raise ValueError(
            "`image_shape` must have a height and a width divisible by 4, as the networks halve "
            f"both twice: pad or resize the images. Received: {tuple(image_shape)}"
        )
    if architecture == "wide" and min(image_shape[:2]) < 12:
        raise ValueError(
            "`image_shape` must have a height and a width of at least 12 for the architecture "
            f"'wide', whose convolutions take 10 pixels away. Received: {tuple(image_shape)}"
        )
    if architecture == "wide" and hidden_units:
        raise ValueError(
            "`hidden_units` must be 0 for the architecture 'wide', which has no dense layer to "
            f"resize. Received: {hidden_units}"
        )
    if encoder_shift >= min(image_shape[:2]):
        raise ValueError(
            f"`encoder_shift` must be less than the images' height and width, {image_shape[:2]}. "
            f"Received: {encoder_shift}"
        )
    if num_classes < 0:
        raise ValueError(f"`num_classes` must be at least 0. Received: {num_classes}")
