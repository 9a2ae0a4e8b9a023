"""Judges of samples: one classifier per data set; its features are used to compare images.

A judge is trained once and published with its SHA-256, so all users get the same distances.
`python -m vae_keras.evaluation.judge NAME...` trains judges; with `--validate` it measures which
distortions they detect. Both rewrite `models/judges/README.md`.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from vae_keras import recipe, runtime
from vae_keras.data.catalogue import DATASETS
from vae_keras.data.load import load_images
from vae_keras.evaluation import judge_validation
from vae_keras.evaluation.distances import extract
from vae_keras.published import registry
from vae_keras.runtime import keras, tf

EPOCHS = {"mnist": 4, "svhn": 5}  # 10 for the others
MIN_STEPS = 1000  # small data sets get more epochs
BATCH_SIZE = 128
LEARNING_RATE = 3e-3
LABEL_SMOOTHING = 0.1
DEAD = 1e-3  # standard deviation over the test images below which a feature counts as dead
MIRRORED = ("fashion_mnist", "cifar10")  # a mirrored digit is no longer that digit


def build_classifier(image_shape, num_classes, dtype="float32"):
    """Builds a small residual network that classifies images.

    Args:
        image_shape: `(height, width, channels)`, with height and width divisible by 4.
        num_classes: number of classes.
        dtype: name of the layers' dtype policy. Features and logits are always float32.

    Returns:
        `keras.Model` from uint8 images `(batch_size, height, width, channels)` to logits
        `(batch_size, num_classes)`. The layer named `features`, `(batch_size, 128)`, averages the
        activations of the last residual block over positions.

    Reference:
        He et al., 2016, "Deep Residual Learning for Image Recognition", section 3.
    """

    def convolve(hidden, filters):
        hidden = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(hidden)
        hidden = keras.layers.BatchNormalization(momentum=0.9)(hidden)
        return keras.layers.ReLU()(hidden)

    def residual(hidden, filters):
        branch = convolve(convolve(hidden, filters), filters)
        return keras.layers.Add()([hidden, branch])

    inputs = keras.Input(image_shape, dtype="uint8")
    with runtime.dtype_policy(dtype):
        hidden = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
        hidden = keras.layers.MaxPooling2D()(convolve(hidden, 32))
        hidden = residual(convolve(hidden, 64), 64)
        hidden = keras.layers.MaxPooling2D()(convolve(hidden, 128))
        hidden = residual(hidden, 128)
    features = keras.layers.GlobalAveragePooling2D(name="features", dtype="float32")(hidden)
    return keras.Model(inputs, keras.layers.Dense(num_classes, dtype="float32")(features))


def train_judge(dataset, seed=0, epochs=None):
    """Trains the judge of a data set on its training images.

    The images are shifted at random and, for Fashion-MNIST and CIFAR-10, mirrored. Training uses
    Keras's global dtype policy; the judge itself computes in float32, for the same results on every
    machine.

    Args:
        dataset: a key of `DATASETS`.
        seed: random seed for the weights, the order of the images and their augmentation.
        epochs: passes over the training images; by default 4 for MNIST, 5 for SVHN and 10 for the
            others, or more if a small data set needs them for 1,000 steps.

    Returns:
        The classifier, a `keras.Model` from `build_classifier`.
    """
    keras.utils.set_random_seed(seed)
    images, labels = load_images(dataset, "train")
    num_classes = len(DATASETS[dataset]["classes"])
    steps = len(images) // BATCH_SIZE
    epochs = epochs or num_epochs(dataset, len(images))
    policy = keras.config.dtype_policy().name
    classifier = build_classifier(images.shape[1:], num_classes, dtype=policy)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=LABEL_SMOOTHING)
    optimizer = recipe.build_optimizer(epochs * steps, LEARNING_RATE)
    classifier.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
    batches = _augmented(images, tf.one_hot(labels, num_classes), dataset in MIRRORED)
    classifier.fit(batches, epochs=epochs, shuffle=False, verbose=2)
    judge = build_classifier(images.shape[1:], num_classes)
    judge.set_weights(classifier.get_weights())
    return judge


def load_judge(dataset):
    """Loads the published judge of a data set.

    Args:
        dataset: name of the data set.

    Returns:
        `keras.Model` from uint8 images `(batch_size, height, width, channels)` to features
        `(batch_size, 128)`, float32. None if no judge is published for the data set, such as a
        user's own images.

    Raises:
        OSError: if the judge cannot be downloaded, see `registry.fetch`.
    """
    classifier = load_classifier(dataset)
    return None if classifier is None else _features(classifier)


def load_classifier(dataset):
    """Loads the whole classifier that the judge of a data set is part of.

    Args:
        dataset: name of the data set.

    Returns:
        `keras.Model` from uint8 images `(batch_size, height, width, channels)` to logits
        `(batch_size, num_classes)`. None if no judge is published for the data set.

    Raises:
        OSError: if the classifier cannot be downloaded, see `registry.fetch`.
    """
    name = f"judges/{dataset}.keras"
    return _load(registry.fetch(name)) if name in registry.names() else None


def main(arguments=None):
    """Trains or validates judges and rewrites the `README.md` beside them.

    Args:
        arguments: list of strings; by default the command line.

    Returns:
        The exit code: 0, or 1 after printing an error to stderr.
    """
    parser = argparse.ArgumentParser(prog="python -m vae_keras.evaluation.judge")
    parser.add_argument("names", nargs="+", choices=DATASETS, metavar="NAME")
    parser.add_argument("--seed", type=int, default=0, help="seed of the training (default: 0)")
    parser.add_argument("--folder", type=Path, default=registry.MODELS / "judges")
    parser.add_argument("--validate", action="store_true", help="validate instead of training")
    parser.add_argument("--second", type=Path, help="folder of judges with another seed")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    try:
        for name in options.names:
            path = options.folder / f"{name}.keras"
            if options.validate:
                distances = judge_validation.measure(_features(_load(path)), name)
                second = options.second and options.second / path.name
                if second and second.exists():
                    others = judge_validation.measure(_features(_load(second)), name)
                    name_of_row = "Spearman's rank correlation with a judge of another seed"
                    distances[name_of_row] = judge_validation.agreement(distances, others)
                judge_validation.record(options.folder, name, distances=distances)
            else:
                train_judge(name, options.seed).save(path)
                judge_validation.record(options.folder, name, **_describe(name, path))
                if path.is_relative_to(registry.MODELS):
                    registry.register(path)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    judge_validation.write_readme(options.folder)
    return 0


def _load(path):
    return keras.models.load_model(path, compile=False)


def _features(classifier):
    return keras.Model(classifier.input, classifier.get_layer("features").output)


def _describe(dataset, path):
    """Returns the entries of a judge for the README."""
    images, labels = load_images(dataset, "test")
    num_images = len(load_images(dataset, "train")[0])
    classifier = _load(path)
    logits = extract(classifier, images)
    deviations = extract(_features(classifier), images).std(axis=0)
    return {
        "training_images": num_images,
        "epochs": num_epochs(dataset, num_images),
        "test_accuracy": float(np.mean(logits.argmax(axis=-1) == labels)),
        "dead_features": int((deviations < DEAD).sum()),
        "bytes": path.stat().st_size,
    }


def num_epochs(dataset, num_images):
    """Returns the number of epochs for which a judge is trained by default."""
    return max(EPOCHS.get(dataset, 10), -(-MIN_STEPS // (num_images // BATCH_SIZE)))


def _augmented(images, targets, mirrored):
    """Returns full batches, reshuffled each epoch, of images shifted by up to an eighth.

    Pixels that a shift exposes are black.
    """
    height, width = images.shape[1:3]
    pad = height // 8
    images = tf.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))

    def take(positions):
        top, left = (tf.random.uniform([BATCH_SIZE, 1], 0, 2 * pad + 1, "int32") for _ in range(2))
        batch = tf.gather(images, positions)
        batch = tf.gather(batch, top + tf.range(height), axis=1, batch_dims=1)
        batch = tf.gather(batch, left + tf.range(width), axis=2, batch_dims=1)
        if mirrored:
            chosen = tf.random.uniform([BATCH_SIZE, 1, 1, 1]) < 0.5
            batch = tf.where(chosen, batch[:, :, ::-1], batch)
        return batch, tf.gather(targets, positions)

    positions = tf.data.Dataset.range(len(targets)).shuffle(len(targets))
    options = tf.data.Options()
    options.autotune.enabled = False  # see `image_batches`
    batches = positions.batch(BATCH_SIZE, drop_remainder=True).map(take)
    return batches.prefetch(2).with_options(options)


if __name__ == "__main__":
    runtime.configure()
    sys.exit(main())
