"""All measures of a trained model on held-out images: the columns of the study's table."""

import numpy as np

from vae_keras.evaluation.batched import decode, encode, reconstruct
from vae_keras.evaluation.codes import (
    active_units,
    draw_codes,
    fit_mixture,
    kl_spectrum,
    participation_ratio,
    probe_accuracy,
    relative_to_prior,
    sample_mixture,
    used_units,
)
from vae_keras.evaluation.distances import can_judge, extract, frechet_distance
from vae_keras.evaluation.images import (
    grey_level_entropy,
    image_quality,
    pixel_variance,
    sharpness,
)
from vae_keras.evaluation.likelihood import binary_nll, elbo_terms, gap_parts, is_plain, nll

NUM_TRAIN_IMAGES = 10_000
NUM_NLL_IMAGES = 1000
NUM_NLL_SAMPLES, NUM_BINARY_NLL_SAMPLES = 200, 500
NUM_GAP_IMAGES = 2000
NUM_SAMPLES = 10_000


def evaluate(vae, test, train, num_nll_images=NUM_NLL_IMAGES):
    """Measures a model's likelihood, reconstructions and codes.

    Args:
        vae: a `VAE`.
        test: the pair `(images, labels)` of the test split, uint8
            `(num_images, height, width, channels)` and integers `(num_images,)`, or None for
            images without classes.
        train: the same for all training images; a fixed random subset of 10,000 is used.
        num_nll_images: number of test images for the importance-weighted bounds. 0 skips these
            and the exact likelihood, which take most of the time.

    Returns:
        Dict of numbers. Likelihoods are in nats/image, averaged over images:

        - `elbo`, `reconstruction_loss`, `kl_divergence`: see `likelihood.elbo_terms`.
        - `train_elbo`: the ELBO on training images.
        - `excess`, `train_excess`: for "bce", the reconstruction loss minus the entropy of the grey
          levels.
        - `binary_nll`, `num_binary_nll_images`, `num_binary_nll_samples`: for "bce", on the first
          `num_nll_images` test images.
        - `nll`, `num_nll_images`, `num_nll_samples`: the same for the other likelihoods.
        - `bits_per_dim`, `elbo_bits_per_dim`: for "logistic", `nll` and the negative ELBO in bits
          per pixel and channel.
        - `exact_nll`, `refined_elbo`, `gap_approximation`, `gap_amortisation`,
          `gap_amortisation_generalisation`, `gap_decoder`, `num_gap_images`: for a plain
          "bce" model with two latent dimensions, on 2,000 images per split; see
          `likelihood.gap_parts`.
        - `mse`, `psnr`, `ssim`, `sharpness`: of reconstructions from `z_mean`, see `images`.
        - `explained_variance`: the share of the images' variance around their mean image that
          these reconstructions explain, at most 1.
        - `active_units`, `used_units`, `participation_ratio`: see `codes`.
        - `probe_accuracy`: accuracy of a probe fitted to the training codes, from 0 to 1; needs
          images of two classes or more.
        - `num_parameters`, `num_test_images`: counts.
    """
    images, labels = test
    train = random_images(train, NUM_TRAIN_IMAGES)
    z_mean, z_log_var = encode(vae, images, labels)
    spectrum, _ = kl_spectrum(*relative_to_prior(vae, z_mean, z_log_var))
    metrics = {
        **_elbos(vae, test, train),
        **(_likelihood(vae, test, train, num_nll_images) if num_nll_images else {}),
        **_reconstruction_quality(images, decode(vae, z_mean, labels)),
        "active_units": active_units(z_mean),
        "used_units": used_units(spectrum),
        "participation_ratio": participation_ratio(spectrum),
        "num_parameters": sum(int(np.prod(weight.shape)) for weight in vae.trainable_weights),
        "num_test_images": len(images),
    }
    if labels is not None and len(np.unique(train[1])) > 1:
        seen = encode(vae, *train)[0], train[1]
        metrics["probe_accuracy"] = probe_accuracy(seen, (z_mean, labels))
    return metrics


def evaluate_samples(vae, judge, validation, train, num_samples=NUM_SAMPLES, source=None):
    """Measures the distance between generated images and held-out images.

    These are Fréchet distances between features of the data set's judge. They are not FID, and are
    comparable only within one data set. A conditional model draws samples for the labels of the
    validation images, repeated as needed.

    Args:
        vae: a `VAE`.
        judge: model from `judge.load_judge`, or None.
        validation: the pair `(images, labels)` of the validation split, the reference, uint8
            `(num_images, height, width, channels)` and integers `(num_images,)` or None.
        train: the same for the training images; the mixture is fitted to the codes of 10,000.
        num_samples: number of samples of each kind.
        source: where to draw codes from instead of the prior, such as a `fitted.SecondStage`.

    Returns:
        Dict of numbers, empty without a judge or with too few validation images for a Fréchet
        distance:

        - `fd_samples`: distance of images decoded from draws of the prior.
        - `fd_reconstructions`: distance of reconstructions of the validation images.
        - `fd_mixture`: distance of images decoded from draws of a Gaussian mixture fitted to
          training codes, one mixture per class for a conditional model.
        - `num_fd_images`, `num_fd_samples`: number of validation images, and of samples.

    Reference:
        For the mixture: Ghosh et al., 2020, "From Variational to Deterministic Autoencoders",
        section 4.
    """
    images, labels = validation
    if not can_judge(judge, images):
        return {}
    reference = extract(judge, images)

    def distance(pictures):
        return frechet_distance(extract(judge, pictures), reference)

    given = np.resize(labels, num_samples) if vae.num_classes else None
    prior = draw_codes(source or vae.prior, num_samples)
    train_images, train_labels = random_images(train, NUM_TRAIN_IMAGES)
    z_mean, _ = encode(vae, train_images, train_labels)
    mixtures = fit_mixture(z_mean, train_labels if vae.num_classes else None)
    # One kind of image at a time, to bound the memory.
    return {
        "fd_samples": distance(decode(vae, prior, given)),
        "fd_reconstructions": distance(reconstruct(vae, images, labels)),
        "fd_mixture": distance(decode(vae, *sample_mixture(mixtures, num_samples))),
        "num_fd_images": len(images),
        "num_fd_samples": num_samples,
    }


def random_images(split, number):
    """Returns a random subset of a split, the same in every run.

    The first images would not be representative: the entropy of their grey levels differs from that
    of the rest.

    Args:
        split: the pair `(images, labels)`, `(num_images, ...)` and `(num_images,)` or None.
        number: maximum number of images.

    Returns:
        The pair `(images, labels)` of the subset.
    """
    order = np.random.default_rng(0).permutation(len(split[0]))[:number]
    return tuple(None if array is None else array[order] for array in split)


def first_images(split, number):
    """Returns the first images of a split.

    Args:
        split: the pair `(images, labels)`, `(num_images, ...)` and `(num_images,)` or None.
        number: maximum number of images.

    Returns:
        The pair `(images, labels)` of the first images.
    """
    return tuple(None if array is None else array[:number] for array in split)


def bits_per_dim(vae, nats):
    """Converts nats/image of a `VAE` to bits per pixel and channel."""
    return float(nats / (np.prod(vae.image_shape) * np.log(2)))


def _elbos(vae, test, train):
    terms, train_terms = elbo_terms(vae, *test), elbo_terms(vae, *train)
    metrics = {**terms, "train_elbo": train_terms["elbo"]}
    if vae.likelihood == "bce":
        metrics["excess"] = terms["reconstruction_loss"] - grey_level_entropy(test[0])
        metrics["train_excess"] = train_terms["reconstruction_loss"] - grey_level_entropy(train[0])
    if vae.likelihood == "logistic":
        metrics["elbo_bits_per_dim"] = bits_per_dim(vae, -terms["elbo"])
    return metrics


def _likelihood(vae, test, train, num_images):
    first = first_images(test, num_images)
    if vae.likelihood != "bce":
        metrics = {
            "nll": nll(vae, *first, num_samples=NUM_NLL_SAMPLES),
            "num_nll_images": len(first[0]),
            "num_nll_samples": NUM_NLL_SAMPLES,
        }
        if vae.likelihood == "logistic":
            metrics["bits_per_dim"] = bits_per_dim(vae, metrics["nll"])
        return metrics
    metrics = {
        "binary_nll": binary_nll(vae, *first, num_samples=NUM_BINARY_NLL_SAMPLES),
        "num_binary_nll_images": len(first[0]),
        "num_binary_nll_samples": NUM_BINARY_NLL_SAMPLES,
    }
    if vae.latent_dim == 2 and is_plain(vae):
        test, train = (images[:NUM_GAP_IMAGES] for images, _ in (test, train))
        metrics |= gap_parts(vae, train, test)
        metrics["num_gap_images"] = len(test)
    return metrics


def _reconstruction_quality(images, reconstructions):
    """Returns the measures; those relative to the images are left out if these have no detail."""
    quality, variance = image_quality(images, reconstructions), pixel_variance(images)
    if variance:
        quality["explained_variance"] = 1 - quality["mse"] / variance
    sharp = sharpness(images, reconstructions)
    return quality if np.isnan(sharp) else quality | {"sharpness": sharp}
