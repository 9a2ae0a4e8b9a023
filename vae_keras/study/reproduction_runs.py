"""Reproductions that notebook 02 cannot run: Keras's example, and other encoders.

`python -m vae_keras.study.reproduction_runs keras_example float32 0` trains Keras's example on all
of MNIST, with a precision and a seed. `... grid RUN` and `... moved RUN` evaluate the decoder of a
finished run with another encoder; they need its `model.keras`. `reproductions` reads the records.
"""

import argparse
import sys

import numpy as np

from vae_keras import runtime
from vae_keras.data.batches import image_batches
from vae_keras.data.load import SPLITS, load_images
from vae_keras.evaluation.batched import over_batches
from vae_keras.evaluation.evaluate import NUM_NLL_IMAGES, evaluate
from vae_keras.evaluation.likelihood import elbo_terms
from vae_keras.networks import Architecture, build_networks
from vae_keras.recipe import build_optimizer
from vae_keras.runtime import keras
from vae_keras.study import reproductions, runs
from vae_keras.study.reproduction_networks import NETWORKS
from vae_keras.vae import VAE

EXAMPLE_EPOCHS = 30
ENCODER_UNITS, ENCODER_EPOCHS = (1024, 1024, 1024), 30
BATCH_SIZE, LEARNING_RATE = 128, 1e-3
# Rotations up to 9 degrees (as a share of a full turn), shifts up to 4 %, zooms up to 7 %.
TURN, SHIFT, ZOOM = 9 / 360, 0.04, 0.07
# The grid of codes: points along each axis, from -4 to 4, and the standard deviation of the
# Gaussian window around the likeliest code.
GRID_SIZE, GRID_END, GRID_RADIUS = 192, 4.0, 0.15


def keras_example(precision, seed):
    """Trains Keras's example as published: on training and test images together.

    Args:
        precision: "float32" or "mixed_bfloat16".
        seed: seed of the weights, the order of the images and the draws of z.

    Returns:
        Dict of `num_images`; `history`, a dict of the means of `loss`, `reconstruction_loss` and
        `kl_divergence` over each epoch; `after`, the `elbo_terms` of all images after training; and
        the result of `runtime.configure`.
    """
    machine = runtime.configure(precision)
    keras.utils.set_random_seed(seed)
    images = np.concatenate([load_images("mnist", split)[0] for split in SPLITS])
    vae = VAE(*build_networks(NETWORKS["small"], images.shape[1:], latent_dim=2))
    vae.compile(optimizer=keras.optimizers.Adam(LEARNING_RATE))
    batches = image_batches(images, batch_size=BATCH_SIZE, shuffle_seed=seed)
    history = vae.fit(batches, epochs=EXAMPLE_EPOCHS, shuffle=False, verbose=2).history
    after = elbo_terms(vae, images)
    return {"num_images": len(images), "history": history, "after": after, **machine}


def other_encoder(name, run):
    """Evaluates the decoder of a finished run with another encoder.

    Args:
        name: one of `ENCODERS`.
        run: name of a run with `model.keras` in its folder.

    Returns:
        Dict of the measures of `evaluate`.
    """
    runtime.configure()
    folder = runs.models_folder() / run
    parameters = runs.read_record(folder)
    keras.utils.set_random_seed(parameters["seed"])
    vae = keras.saving.load_model(folder / "model.keras", compile=False)
    train, test = (load_images(parameters["dataset"], split) for split in ("train", "test"))
    encoder = ENCODERS[name](vae, train[0], parameters["seed"])
    return evaluate(VAE(encoder, vae.decoder), test, train, NUM_NLL_IMAGES)


def moved_encoder(vae, images, seed):
    """Trains a new encoder, an MLP, for a frozen decoder.

    Half of each batch is randomly rotated, shifted and zoomed, both as input and as target. The
    encoder thus also sees images that the decoder was not trained on.

    Args:
        vae: a `VAE` without labels. Its decoder is frozen.
        images: training images, uint8 `(num_images, height, width, channels)`.
        seed: seed of the order of the images.

    Returns:
        The encoder, a `keras.Model` as built by `build_networks`.
    """
    network = Architecture(lambda images: images, ENCODER_UNITS, NETWORKS["deep_mlp"].logits)
    encoder, _ = build_networks(network, vae.image_shape, vae.latent_dim)
    vae.decoder.trainable = False
    learner = VAE(encoder, vae.decoder)
    batches = image_batches(images, batch_size=BATCH_SIZE, shuffle_seed=seed)
    num_steps = ENCODER_EPOCHS * len(batches)
    learner.compile(optimizer=build_optimizer(num_steps, LEARNING_RATE))
    move = keras.Sequential(
        [
            keras.layers.RandomRotation(TURN, fill_mode="constant", dtype="float32"),
            keras.layers.RandomTranslation(SHIFT, SHIFT, fill_mode="constant", dtype="float32"),
            keras.layers.RandomZoom(ZOOM, fill_mode="constant", dtype="float32"),
        ]
    )

    def move_half(images):
        images = keras.ops.cast(images, "float32") / 255
        moved, rest = images[: len(images) // 2], images[len(images) // 2 :]
        return keras.ops.concatenate([keras.ops.clip(move(moved, training=True), 0, 1), rest])

    learner.fit(batches.map(move_half), epochs=ENCODER_EPOCHS, shuffle=False, verbose=2)
    return encoder


def grid_encoder(vae, *_):
    """Builds the encoder that follows from a decoder by Bayes' rule, without training.

    Under cross-entropy, the log-likelihood of a code is linear in the image. So one dense layer,
    with the logits at a grid of codes as its kernel, gives log p(x, z) for all of them. `z_mean`
    and the variances are the moments of the posterior around the likeliest code.

    Args:
        vae: a `VAE` without labels, with likelihood "bce" and two latent dimensions.
        *_: ignored; other encoders take images and a seed.

    Returns:
        The encoder, a `keras.Model` from images in [0, 1] to `[z_mean, z_log_var]`.
    """
    axis = np.linspace(-GRID_END, GRID_END, GRID_SIZE, dtype="float32")
    codes = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    squares = np.sum(np.square(codes), axis=-1)
    logits = over_batches(vae.logits, codes).reshape(len(codes), -1)
    scores = keras.layers.Dense(len(codes), dtype="float32", trainable=False)
    images = keras.Input(vae.image_shape)
    joint = scores(keras.layers.Flatten(dtype="float32")(images))
    scores.set_weights([logits.T, -np.logaddexp(0, logits).sum(axis=-1) - squares / 2])
    likeliest = keras.ops.take(codes, keras.ops.argmax(joint, axis=-1), axis=0)
    # Minus half the squared distance to the likeliest code, up to a constant.
    closeness = keras.ops.matmul(likeliest, codes.T) - squares / 2
    weights = keras.ops.softmax(joint + closeness / GRID_RADIUS**2)
    z_mean = keras.ops.matmul(weights, codes)
    variance = keras.ops.matmul(weights, np.square(codes)) - keras.ops.square(z_mean)
    smallest = (axis[1] - axis[0]) ** 2 / 12  # variance of a uniform distribution over a cell
    return keras.Model(images, [z_mean, keras.ops.log(keras.ops.maximum(variance, smallest))])


ENCODERS = {"moved": moved_encoder, "grid": grid_encoder}


def main(arguments=None):
    """Runs one experiment and writes its record.

    Args:
        arguments: list of strings, by default those of the command line.

    Returns:
        The exit code: 0, or 1 after printing an error to stderr.
    """
    parser = argparse.ArgumentParser(
        prog="python -m vae_keras.study.reproduction_runs", description=__doc__
    )
    experiments = parser.add_subparsers(dest="name", metavar="EXPERIMENT", required=True)
    example = experiments.add_parser("keras_example", help="train Keras's example")
    example.add_argument("precision", choices=reproductions.PRECISIONS)
    example.add_argument("seed", type=int)
    for name in ENCODERS:
        encoder = experiments.add_parser(name, help="evaluate a decoder with another encoder")
        encoder.add_argument("run", help="name of a finished run's folder, with its model.keras")
    return runs.print_path(_run, parser, parser.parse_args(arguments))


def _run(parser, options):
    if options.name in ENCODERS:
        if not (runs.models_folder() / options.run / "model.keras").exists():
            parser.error(
                f"{options.run} has no model.keras in {runs.models_folder()}. Models are not in "
                "git; execute its sweep again: `make sweep SWEEP=... BUDGET=study FORCE=1`"
            )
        record = other_encoder(options.name, options.run)
        path = f"{options.run}/encoder_{options.name}.json"
    else:
        record = keras_example(options.precision, options.seed)
        path = f"keras_example/{options.precision}_seed{options.seed}.json"
    path = runs.models_folder() / path
    path.parent.mkdir(parents=True, exist_ok=True)
    runs.write_json(path, record)
    return path


if __name__ == "__main__":
    sys.exit(main())
