"""Trains one of the models of `best` and measures it on all test images.

`python -m vae_keras.study.best_runs mnist` writes `models/best_mnist/best.json`. A repeated command
resumes an interrupted training.
"""

import argparse
import sys

import numpy as np

from vae_keras import runtime
from vae_keras.callbacks import StopAtNaN
from vae_keras.data.batches import image_batches
from vae_keras.data.load import load_images
from vae_keras.evaluation.evaluate import bits_per_dim, first_images
from vae_keras.evaluation.likelihood import binarise, elbo_terms, nll
from vae_keras.evaluation.recorder import EpochRecorder
from vae_keras.networks import build_networks
from vae_keras.recipe import build_optimizer
from vae_keras.runtime import keras, tf
from vae_keras.study import best, runs
from vae_keras.study.backup import Backup
from vae_keras.study.sweeps import RECIPE
from vae_keras.vae import VAE

NUM_SAMPLES = 1000
SEED = 0


def run(dataset):
    """Trains and measures a model.

    Args:
        dataset: one of `best.SETTINGS`.

    Returns:
        Path of the record, a JSON file: the settings; `elbo`, `reconstruction_loss`,
        `kl_divergence` and `nll` of the test images in nats/image; `bits_per_dim` for "logistic";
        the numbers of images and samples; and the result of `runtime.configure`.
    """
    settings = best.SETTINGS[dataset]
    machine = runtime.configure()
    folder = best.record_path(dataset).parent
    folder.mkdir(parents=True, exist_ok=True)
    vae = train(dataset, folder, **settings)
    test = load_images(dataset, "test")[0]
    if settings["likelihood"] == "bce":
        test = np.uint8(255 * binarise(test))
    record = {
        **settings,
        **elbo_terms(vae, test),
        "nll": nll(vae, test, num_samples=NUM_SAMPLES),
        "num_images": len(test),
        "num_samples": NUM_SAMPLES,
        **machine,
    }
    if settings["likelihood"] == "logistic":
        record["bits_per_dim"] = bits_per_dim(vae, record["nll"])
    path = best.record_path(dataset)
    runs.write_json(path, record)
    (folder / runs.BACKUP).unlink(missing_ok=True)
    return path


def train(dataset, folder, likelihood, latent_dim, epochs):
    """Trains a model with the recipe of the study.

    Args:
        dataset: name of a data set.
        folder: path of an existing folder, for the history and the backup.
        likelihood: "bce" trains on dynamically binarised images; or another likelihood.
        latent_dim: number of latent dimensions.
        epochs: passes over the training images.

    Returns:
        The `VAE`.
    """
    keras.utils.set_random_seed(SEED)
    images, validation = (load_images(dataset, split)[0] for split in ("train", "validation"))
    vae = VAE(*build_networks(best.ARCHITECTURE, images.shape[1:], latent_dim), likelihood)
    vae.adapt(images)
    batches = image_batches(images, batch_size=RECIPE["batch_size"], shuffle_seed=SEED)
    vae.compile(optimizer=build_optimizer(epochs * len(batches)))
    if likelihood == "bce":
        batches = batches.map(draw_binary)
        validation = np.uint8(255 * binarise(validation))
    examples = first_images((validation, None), 10)
    recorder = EpochRecorder((images, None), (validation, None), examples, examples)
    backup = Backup(folder, vae, recorder)
    first_epoch = backup.restore(batches)
    logger = keras.callbacks.CSVLogger(folder / "history.csv", append=first_epoch > 0)
    vae.fit(
        batches,
        validation_data=image_batches(validation, batch_size=256),
        initial_epoch=first_epoch,
        epochs=epochs,
        callbacks=[StopAtNaN(), recorder, logger, backup],
        shuffle=False,
        verbose=2,
    )
    return vae


def draw_binary(images):
    """Draws binary images with the grey levels as probabilities, for `tf.data.Dataset.map`.

    Args:
        images: uint8 `(batch_size, height, width, channels)`.

    Returns:
        Images of the same shape and type, with the values 0 and 255.
    """
    thresholds = tf.random.uniform(tf.shape(images), maxval=255, dtype=tf.int32)
    return 255 * tf.cast(thresholds < tf.cast(images, tf.int32), tf.uint8)


def main(arguments=None):
    """Runs one experiment and returns the exit code: 0, or 1 after printing an error to stderr.

    Args:
        arguments: list of strings, by default those of the command line.
    """
    parser = argparse.ArgumentParser(
        prog="python -m vae_keras.study.best_runs", description=__doc__
    )
    parser.add_argument("dataset", choices=best.SETTINGS)
    return runs.print_path(run, parser.parse_args(arguments).dataset)


if __name__ == "__main__":
    sys.exit(main())
