"""Checks of a `VAE`'s images, labels, networks and compilation."""

import numpy as np

from vae_keras.runtime import keras, tf


def check_images(images, image_shape):
    """Raises an error unless images are uint8, or floats in [0, 1], of the right shape.

    Args:
        images: array or tensor. The range of a symbolic tensor, and the parts of its shape that
            are unknown, are checked when the graph runs.
        image_shape: expected `(height, width, channels)`.

    Raises:
        ValueError: if the type, shape or range is wrong.
        tf.errors.InvalidArgumentError: if the range of a symbolic tensor is wrong; XLA skips this.
    """
    if not hasattr(images, "dtype"):
        raise ValueError(
            f"images must be an array or a tensor. Received: {type(images).__name__}. To pass "
            "images and labels from `load_images`, use `*`: `vae.fit(*load_images(...))`"
        )
    dtype, shape = keras.backend.standardize_dtype(images.dtype), tf.TensorShape(images.shape)
    if not shape.is_compatible_with((None, *image_shape)):
        missing_axis = shape.is_compatible_with((None, *image_shape[:2]))
        raise ValueError(
            f"images must have the shape (num_images, {', '.join(map(str, image_shape))}). "
            f"Received: {tuple(shape)}."
            + (" Add the channel axis: `images[..., None]`." if missing_axis else "")
        )
    if dtype == "uint8":
        return
    expected = "images must be uint8, or floats in [0, 1]: divide grey levels by 255."
    if "float" not in dtype:
        raise ValueError(
            f"{expected} Received: {dtype}. Use `images.astype('uint8')` for grey levels from 0 to "
            "255, or `images.astype('float32')` for images of 0 and 1."
        )
    if keras.backend.is_keras_tensor(images):
        return
    if not isinstance(images, np.ndarray) and not tf.executing_eagerly():
        tf.debugging.Assert(
            tf.reduce_all((images >= 0) & (images <= 1)),
            [expected, "Received: from", tf.reduce_min(images), "to", tf.reduce_max(images)],
        )
        return
    lowest, highest = float(np.min(images)), float(np.max(images))
    if not (lowest >= 0 and highest <= 1):  # false for NaN
        raise ValueError(f"{expected} Received: from {lowest:g} to {highest:g}.")


def check_labels(labels, num_classes, num_images):
    """Raises an error unless labels are integers from 0 to `num_classes - 1`, one for each image.

    Args:
        labels: array, list or tensor. The range of a symbolic tensor is checked when the graph
            runs.
        num_classes: number of classes, at least 1.
        num_images: number of images or codes.

    Raises:
        ValueError: if there are none, or their shape, type or range is wrong.
        tf.errors.InvalidArgumentError: if the range of a symbolic tensor is wrong; XLA skips this.
    """
    expected = (
        f"a conditional model needs `labels`, integers from 0 to {num_classes - 1}, one for each "
        "image"
    )
    if labels is None:
        raise ValueError(f"{expected}. Received: None")
    if keras.backend.is_keras_tensor(labels):
        return
    if not tf.executing_eagerly():
        labels = tf.convert_to_tensor(labels)
        if labels.shape.rank not in (None, 1) or not labels.dtype.is_integer:
            raise ValueError(f"{expected}. Received: {labels.dtype.name} of shape {labels.shape}")
        fits = tf.reduce_all((labels >= 0) & (labels < num_classes))
        tf.debugging.Assert(fits, [f"{expected}. Received:", labels])
        return
    labels = np.asarray(labels)
    if labels.shape != (num_images,) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{expected}, {num_images}. Received: {labels.dtype} of shape {labels.shape}"
        )
    if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(f"{expected}. Received: from {labels.min()} to {labels.max()}")


def check_compiled(model):
    """Raises a `ValueError` if a model was compiled with losses or metrics, which it ignores."""
    settings = (model.get_compile_config() or {}) if model.compiled else {}
    names = ("loss", "loss_weights", "metrics", "weighted_metrics")
    if found := [name for name in names if settings.get(name)]:
        raise ValueError(
            f"`compile` takes no {' or '.join(found)}: a `VAE` has its own, see `objective`"
        )


def check_schedule(model):
    """Raises a `ValueError` if a compiled model's learning rate schedule has ended at 0."""
    schedule = model.compiled and model.optimizer.get_config().get("learning_rate")
    if isinstance(schedule, dict) and not float(model.optimizer.learning_rate):
        raise ValueError(
            "the learning rate is 0: its schedule has ended. Compile the model again, with a "
            "schedule for the steps to come"
        )


def check_networks(encoder, decoder):
    """Raises an error unless an encoder and a decoder fit together.

    Args:
        encoder: see `VAE`.
        decoder: see `VAE`.

    Returns:
        The image shape, `(height, width, channels)`, the latent size, and the number of classes, 0
        if the networks take no labels.

    Raises:
        ValueError: if they do not fit together.
    """
    shapes = {}
    for name, network in (("encoder", encoder), ("decoder", decoder)):
        if not isinstance(network, keras.Model) or not getattr(network, "inputs", None):
            raise ValueError(
                f"`{name}` must be a functional or sequential `keras.Model` with known input "
                f"shapes, as `build_networks` returns; `keras.Model(inputs, model(inputs))` makes "
                f"one of any model. Received: {network!r}"
            )
        if isinstance(getattr(network, "output", None), dict):
            raise ValueError(f"`{name}` must return a tensor or a list of tensors, not a dict")
        if not all("float" in tensor.dtype for tensor in network.inputs):
            raise ValueError(
                f"`{name}` must take floats: images are in [0, 1] already. Received: inputs of "
                f"type {', '.join(tensor.dtype for tensor in network.inputs)}"
            )
        shapes[name] = [
            [tuple(tensor.shape[1:]) for tensor in tensors]
            for tensors in (network.inputs, network.outputs)
        ]
    last = last_layer(decoder, _activation)
    if _activation(last) == "sigmoid":
        raise ValueError(
            "`decoder` must return logits, to which the model applies the sigmoid: remove the "
            f"activation of its last layer, {last.name!r}"
        )
    (images, *labels), posterior = shapes["encoder"]
    (codes, *decoder_labels), logits = shapes["decoder"]
    if (len(images), len(codes)) != (3, 1) or posterior != [codes] * 2 or logits != [images]:
        raise ValueError(
            "`encoder` must map images (height, width, channels) to two outputs (latent_dim,), "
            "and `decoder` codes (latent_dim,) to one output of the images' shape. Received: "
            f"encoder from {images} to {posterior}, decoder from {codes} to {logits}"
        )
    if labels != decoder_labels or len(labels) > 1:
        raise ValueError(
            "`encoder` and `decoder` must both take one-hot labels (num_classes,) as a second "
            f"input, or neither. Received: {labels} and {decoder_labels}"
        )
    return images, codes[0], labels[0][0] if labels else 0


def last_layer(network, fits):
    """Returns the last layer that fits, also of the models in a network, or `None`.

    Args:
        network: a `keras.Model`.
        fits: function of a layer; its result counts as true or false.
    """
    for layer in reversed(network.layers):
        found = last_layer(layer, fits) if isinstance(layer, keras.Model) else layer
        if found is not None and fits(found):
            return found
    return None


def _activation(layer):
    """Returns the name of a layer's activation, or `None` if it has no such argument."""
    return getattr(getattr(layer, "activation", None), "__name__", None)
