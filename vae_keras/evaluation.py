"""Measures of a trained VAE on held-out images: the columns of the table."""

import numpy as np
import tensorflow as tf
from sklearn.mixture import GaussianMixture

from vae_keras.codes import nll, probe_accuracy
from vae_keras.features import extract, frechet_distance
from vae_keras.measures import (
    active_units,
    grey_level_entropy,
    image_quality,
    pixel_variance,
    sharpness,
)

BATCH_SIZE = 256
NUM_TRAIN_IMAGES = 5000
NUM_NLL_IMAGES, NUM_NLL_SAMPLES = 1000, 200
NUM_CODES = 10_000
NUM_SAMPLES = 10_000
NUM_COMPONENTS = 10


def evaluate(vae, test, train):
    """Measures a model's likelihood, its reconstructions and its codes.

    Args:
        vae: a compiled `VAE`.
        test: pair `(images, labels)` of the test split, uint8 `(num_images, height, width,
            channels)` and integers `(num_images,)`.
        train: the same of the training images: 5,000 for the generalisation gap, the codes of
            10,000 for the probe.

    Returns:
        Dict of floats; a measure that does not apply is left out:

        - `elbo`: nats/image, at beta 1, z drawn from the posterior.
        - `reconstruction_loss`, `kl_divergence`: its terms, nats/image.
        - `train_elbo`: nats/image, the ELBO of training images.
        - `excess`: nats/image, of BCE models only: `reconstruction_loss` above the entropy of the
          grey levels.
        - `bits_per_dim`: bits, of "logistic" models only: the negative ELBO per pixel and channel.
        - `nll`: nats/image, of all but BCE models, see `codes.nll`, with `num_nll_images` of the
          first test images and `num_nll_samples`.
        - `mse`, `psnr`, `ssim`: of reconstructions from `z_mean`, see `measures.image_quality`.
        - `explained_variance`: share of the images' variance around their mean image that these
          reconstructions explain, at most 1.
        - `sharpness`: their fine detail as a share of the images', see `measures.sharpness`.
        - `active_units`: number of latent dimensions in use, see `measures.active_units`.
        - `probe_accuracy`: from 0 to 1, from `z_mean`, see `codes.probe_accuracy`.
        - `num_parameters`, `num_test_images`: counts.
    """
    images, labels = test
    terms = elbo_terms(vae, images, labels)
    z_mean, _ = encode(vae, images, labels)
    train_images, train_labels = (array[:NUM_CODES] for array in train)
    train_codes, _ = encode(vae, train_images, train_labels)
    gap = slice(NUM_TRAIN_IMAGES)
    reconstructions = reconstruct(vae, images, labels)
    quality = image_quality(images, reconstructions)
    metrics = {
        **terms,
        "train_elbo": elbo_terms(vae, train_images[gap], train_labels[gap])["elbo"],
        **quality,
        "explained_variance": 1 - quality["mse"] / pixel_variance(images),
        "sharpness": sharpness(images, reconstructions),
        "active_units": active_units(z_mean),
        "probe_accuracy": probe_accuracy((train_codes, train_labels), (z_mean, labels)),
        "num_parameters": sum(int(np.prod(weight.shape)) for weight in vae.trainable_weights),
        "num_test_images": len(images),
    }
    if vae.likelihood == "bce":
        metrics["excess"] = terms["reconstruction_loss"] - grey_level_entropy(images)
    else:
        first = slice(NUM_NLL_IMAGES)
        metrics["nll"] = nll(vae, images[first], labels[first], NUM_NLL_SAMPLES)
        metrics["num_nll_images"] = len(images[first])
        metrics["num_nll_samples"] = NUM_NLL_SAMPLES
    if vae.likelihood == "logistic":
        metrics["bits_per_dim"] = -terms["elbo"] / (np.prod(images.shape[1:]) * np.log(2))
    return metrics


def evaluate_samples(vae, extractor, validation, train, num_samples=NUM_SAMPLES):
    """Measures how far generated images are from images held out of training.

    The Fréchet distances are between features of the data set's own classifier, and so no FID;
    they are compared within a data set only. A conditional model is given the labels of the
    validation images, in turn.

    Args:
        vae: a compiled `VAE`.
        extractor: of `features.load_extractor`.
        validation: pair `(images, labels)` of the whole validation split, the reference.
        train: the same of the training images, of which 10,000 codes make the mixture.
        num_samples: number of samples of each kind.

    Returns:
        Dict of floats:

        - `fd_samples`: of samples of the prior.
        - `fd_reconstructions`: of the reconstructions of the reference itself.
        - `fd_gmm`: of samples whose codes come from a mixture of 10 Gaussians fitted to
          training codes.
        - `num_fd_images`, `num_fd_samples`: number of images of the reference, and of samples.

    Reference:
        For the mixture: Ghosh et al., 2020, "From Variational to Deterministic Autoencoders",
        section 4.
    """
    images, labels = validation
    reference = extract(extractor, images)
    given = np.resize(labels, num_samples)
    codes, _ = encode(vae, *(array[:NUM_CODES] for array in train))
    # In float32 the weights can add up to more than 1, and covariances be not quite symmetric.
    mixture = GaussianMixture(NUM_COMPONENTS, random_state=0).fit(codes.astype("float64"))
    mixed = np.random.default_rng(0).permutation(mixture.sample(num_samples)[0])
    prior = vae.sampler((np.zeros_like(mixed, "float32"), np.zeros_like(mixed, "float32")))

    def distance(pictures):
        return frechet_distance(extract(extractor, pictures), reference)

    # One after the other, so that there is memory for the pictures of one kind at a time.
    return {
        "fd_samples": distance(decode(vae, np.asarray(prior), given)),
        "fd_reconstructions": distance(reconstruct(vae, images, labels)),
        "fd_gmm": distance(decode(vae, mixed.astype("float32"), given)),
        "num_fd_images": len(images),
        "num_fd_samples": num_samples,
    }


def elbo_terms(vae, images, labels=None):
    """Estimates the ELBO at beta 1 with one draw from each image's posterior.

    Returns:
        Dict of `elbo`, `reconstruction_loss` and `kl_divergence`, in nats/image, means over images.
    """
    logs = vae.evaluate(images, labels, batch_size=BATCH_SIZE, verbose=0, return_dict=True)
    terms = {name: logs[name] for name in ("reconstruction_loss", "kl_divergence")}
    return {"elbo": -sum(terms.values()), **terms}


def encode(vae, images, labels=None):
    """Encodes any number of images in batches.

    Returns:
        Pair of arrays `(z_mean, z_log_var)`, each `(num_images, latent_dim)`.
    """
    batches = _in_batches(vae.encode, images, labels)
    return tuple(np.concatenate(parts) for parts in zip(*batches))


def decode(vae, z, labels=None):
    """Decodes any number of latent codes in batches.

    Returns:
        Array in [0, 1], `(num_codes, height, width, channels)`.
    """
    return np.concatenate(_in_batches(vae.decode, z, labels))


def reconstruct(vae, images, labels=None):
    """Reconstructs any number of images from `z_mean` in batches.

    Returns:
        Array in [0, 1], `(num_images, height, width, channels)`.
    """
    inputs = images if labels is None else (images, labels)
    return vae.predict(inputs, batch_size=BATCH_SIZE, verbose=0)


def _in_batches(function, inputs, labels):
    if len(inputs) > BATCH_SIZE:  # tracing it pays
        function = tf.function(function, reduce_retracing=True)
    batches = []
    for start in range(0, len(inputs), BATCH_SIZE):
        part = slice(start, start + BATCH_SIZE)
        batches.append(function(inputs[part], None if labels is None else labels[part]))
    return batches
