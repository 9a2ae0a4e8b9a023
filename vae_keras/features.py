"""Fréchet distances between features of a small classifier, which is trained once per data set."""

import contextlib
import os

import keras
import numpy as np
from keras import layers

NUM_FEATURES = 64
NUM_TRAIN_IMAGES = 20_000
EPOCHS = 4
SEED = 0
BATCH_SIZE = 256


def load_extractor(path, images, labels):
    """Loads the classifier of a data set, or trains it and keeps it.

    The seed is fixed, so that every machine starts from the same weights and the same order of
    images; the file makes sure that all runs of a study share one extractor.

    Args:
        path: file of the classifier, `.keras`.
        images: training images, uint8, `(num_images, height, width, channels)`; the first 20,000
            are used.
        labels: integers, `(num_images,)`.

    Returns:
        `keras.Model` from uint8 images to features, `(num_images, 64)`.
    """
    if not path.exists():
        classifier = _train(images[:NUM_TRAIN_IMAGES], labels[:NUM_TRAIN_IMAGES])
        partial = path.with_name(f".{os.getpid()}.{path.name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        classifier.save(partial)
        with contextlib.suppress(FileExistsError):  # of parallel runs the first decides
            os.link(partial, path)
        partial.unlink()
    classifier = keras.models.load_model(path)
    return keras.Model(classifier.input, classifier.get_layer("features").output)


def frechet_distance(features, other):
    """Computes the Fréchet distance of two sets of features, both taken as normally distributed.

    Args:
        features: `(num_images, num_features)`.
        other: `(num_other_images, num_features)`.

    Returns:
        The squared distance, a float, at least 0.

    Raises:
        ValueError: if a set has fewer images than features, so that its covariance is singular.

    Reference:
        Dowson & Landau, 1982, "The Fréchet Distance between Multivariate Normal Distributions".
    """
    for name, values in (("features", features), ("other", other)):
        if len(values) <= values.shape[1]:
            raise ValueError(
                f"`{name}` must hold more images than features, {values.shape[1]}. "
                f"Received: {len(values)}"
            )
    features, other = (np.asarray(values, "float64") for values in (features, other))
    mean_distance = np.square(features.mean(axis=0) - other.mean(axis=0)).sum()
    variances, roots = 0.0, []
    for values in (features, other):
        eigenvalues, eigenvectors = np.linalg.eigh(np.cov(values, rowvar=False))
        variances += eigenvalues.sum()
        roots.append(eigenvectors * np.sqrt(np.maximum(eigenvalues, 0)))
    # With the covariances A A' and B B', the eigenvalues of their product are the squares of the
    # singular values of A' B: the trace of its root is their sum.
    root_trace = np.linalg.svd(roots[0].T @ roots[1], compute_uv=False).sum()
    return float(max(mean_distance + variances - 2 * root_trace, 0.0))


def extract(extractor, images):
    """Computes the features of images.

    Args:
        extractor: what `load_extractor` returned.
        images: uint8, or floats in [0, 1], `(num_images, height, width, channels)`.

    Returns:
        `(num_images, num_features)`, float32.
    """
    if images.dtype != np.uint8:
        levels = 255 * images
        images = np.rint(levels, out=levels).astype("uint8")
    return extractor.predict(images, batch_size=BATCH_SIZE, verbose=0)


def _train(images, labels):
    keras.utils.set_random_seed(SEED)
    conv = dict(kernel_size=3, padding="same", activation="relu", dtype="float32")
    inputs = keras.Input(images.shape[1:], dtype="uint8")
    hidden = layers.Rescaling(1 / 255, dtype="float32")(inputs)
    for filters, strides in ((16, 2), (32, 2), (64, 1)):
        hidden = layers.Conv2D(filters, strides=strides, **conv)(hidden)
    hidden = layers.Flatten(dtype="float32")(hidden)
    hidden = layers.Dense(NUM_FEATURES, activation="relu", name="features", dtype="float32")(hidden)
    outputs = layers.Dense(int(labels.max()) + 1, dtype="float32")(hidden)
    classifier = keras.Model(inputs, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile(optimizer=keras.optimizers.Adam(1e-3), loss=loss, metrics=["accuracy"])
    classifier.fit(images, labels, batch_size=128, epochs=EPOCHS, verbose=0)
    return classifier
