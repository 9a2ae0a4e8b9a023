"""A model's likelihood: the ELBO, tighter bounds, the exact value, and the gaps between them."""

import math

import numpy as np
from scipy.special import logsumexp

from vae_keras.evaluation.batched import encode, over_batches
from vae_keras.evaluation.images import grey_level_entropy
from vae_keras.losses import LIKELIHOODS, kl_divergence
from vae_keras.posteriors import DiagonalNormal
from vae_keras.priors import StandardNormal
from vae_keras.runtime import tf

GRID_END, GRID_SIZE = 4.5, 451  # a spacing of 0.02
GRID_BATCH_SIZE = 2048  # grid codes
BATCH_SIZE = 64  # images; larger batches are no faster on a CPU
NUM_ELBO_SAMPLES = 10
REFINEMENT_STEPS, REFINEMENT_RATE = 75, 0.15


def elbo_terms(vae, images, labels=None):
    """Estimates the ELBO at beta 1 from one draw of each image's posterior.

    Args:
        vae: a `VAE`.
        images: uint8, or floats in [0, 1], `(num_images, height, width, channels)`.
        labels: integers, `(num_images,)`; only a conditional model needs them.

    Returns:
        Dict of `elbo`, `reconstruction_loss` and `kl_divergence`: nats/image, means over images.
    """

    def terms(images, labels):
        z, _, kl_parts = vae.draw(vae.moments(images, labels))
        return vae.reconstruction_loss(images, z, labels), tf.reduce_sum(kl_parts, axis=-1)

    loss, kl = (float(part.mean(dtype="float64")) for part in over_batches(terms, images, labels))
    return {"elbo": -(loss + kl), "reconstruction_loss": loss, "kl_divergence": kl}


def nll(vae, images, labels=None, num_samples=200):
    """Estimates the negative log-likelihood by the importance-weighted bound.

    For "mse" it omits a constant, as the reconstruction loss does. For "bce", which is not a
    density of grey levels, use `binary_nll`.

    Args:
        vae: a `VAE`.
        images: uint8, or floats in [0, 1], `(num_images, height, width, channels)`.
        labels: integers, `(num_images,)`; only a conditional model needs them.
        num_samples: number K of draws from each image's posterior, at least 1.

    Returns:
        Nats/image, mean over images. In expectation, an upper bound on the negative log-likelihood:
        the negative ELBO for K = 1, and tighter for larger K.

    Reference:
        Burda et al., 2016, "Importance Weighted Autoencoders", equation 8.
    """
    return _importance_weighted_nll(vae, images, images, labels, num_samples)


def binary_nll(vae, images, labels=None, num_samples=500, seed=0):
    """Estimates the negative log-likelihood of binarised images by the importance-weighted bound.

    The binary images are one draw with the grey levels as probabilities. Their likelihood under the
    decoder's Bernoulli distribution is properly normalised. Codes are proposed by the posterior of
    the grey image, on which the model was trained; any proposal gives an upper bound. The result is
    comparable with the literature on dynamically binarised images.

    Args:
        vae: a `VAE` with the likelihood "bce".
        images: uint8, or floats in [0, 1], `(num_images, height, width, channels)`.
        labels: integers, `(num_images,)`; only a conditional model needs them.
        num_samples: number K of draws from each image's posterior, at least 1.
        seed: seed of the binary draw, see `binarise`.

    Returns:
        Nats/image, mean over images.

    Raises:
        ValueError: if the model's likelihood is not "bce".

    Reference:
        Burda et al., 2016, "Importance Weighted Autoencoders", equation 8; for the binarisation:
        Salakhutdinov & Murray, 2008, "On the Quantitative Analysis of Deep Belief Networks".
    """
    if vae.likelihood != "bce":
        raise ValueError(
            '`binary_nll` needs a model with the likelihood "bce"; use `nll` for others. '
            f"Received: {vae.likelihood!r}"
        )
    return _importance_weighted_nll(vae, images, binarise(images, seed), labels, num_samples)


def binarise(images, seed=0):
    """Draws binary images with the grey levels as probabilities.

    Args:
        images: uint8, or floats in [0, 1], `(num_images, height, width, channels)`.
        seed: seed of the draw. An image's draw depends on its position, but not on the images after
            it.

    Returns:
        Array of the same shape, float32, with the values 0 and 1.
    """
    draws = np.random.default_rng(seed).random(images.shape, "float32")
    draws *= 255 if images.dtype == np.uint8 else 1
    return (draws < images).astype("float32")


def exact_nll(vae, images):
    """Computes the negative log-likelihood of a plain model with one or two latent dimensions.

    The integral over codes is a sum over a grid with spacing 0.02 in [-4.5, 4.5]. For "bce", the
    log-likelihoods are a single matrix product of images and logits, which takes half a minute for
    4,000 images of 28x28 pixels. Other likelihoods are computed pixel by pixel, which is 50 to 500
    times slower.

    Args:
        vae: a `VAE` for which `is_plain` holds, with at most two latent dimensions.
        images: uint8, or floats in [0, 1], `(num_images, height, width, channels)`.

    Returns:
        Nats/image, mean over images.

    Raises:
        ValueError: if the model is another one.
    """
    return -float(_sum_over_grid(vae, images)[0].mean())


def is_plain(vae):
    """Returns whether a `VAE` has a standard normal prior, a diagonal posterior and no labels."""
    plain = type(vae.prior) is StandardNormal and type(vae.posterior) is DiagonalNormal
    return plain and not vae.num_classes


def gap_parts(vae, train, test):
    """Splits the gap between training likelihood and test ELBO into its four causes.

    With at most two latent dimensions, the likelihood is known exactly. Four parts separate the
    encoder's ELBO on test images from the log-likelihood of training images:

    - `gap_amortisation`: loss of the encoder, compared with the best diagonal normal posterior of
      each *training* image.
    - `gap_amortisation_generalisation`: additional loss of the encoder on test images.
    - `gap_approximation`: loss of the best such posterior of each test image, compared with the
      exact posterior.
    - `gap_decoder`: loss of the decoder on test images. For "bce", both log-likelihoods are taken
      relative to the entropy of the grey levels, which differs between images. Even so, the result
      depends on the images drawn: its standard error is 1 nat for 2,000 Fashion-MNIST images per
      split.

    All are in nats/image, and positive for a loss. They add up to the total gap.

    Args:
        vae: a `VAE` for which `is_plain` holds, with one or two latent dimensions.
        train: training images, uint8 `(num_images, height, width, channels)`.
        test: test images, in the same form.

    Returns:
        Dict of the four parts, and of `exact_nll` and `refined_elbo`, the ELBO with the best
        diagonal normal posterior of each image, both on test images. Gradient steps find these
        posteriors, from the encoder's code or from the most probable code of the grid.

    Raises:
        ValueError: if the model is another one.

    Reference:
        Cremer et al., 2018, "Inference Suboptimality in Variational Autoencoders", sections 3 and
        4.2.
    """
    images = np.concatenate([train, test])  # together, to decode the grid once
    log_likelihoods, codes = _sum_over_grid(vae, images)
    amortised, refined = _refine(vae, images, codes)
    seen, unseen = slice(len(train)), slice(len(train), None)
    amortisation = (refined - amortised)[seen].mean()
    decoder = log_likelihoods[seen].mean() - log_likelihoods[unseen].mean()
    if vae.likelihood == "bce":
        decoder += grey_level_entropy(train) - grey_level_entropy(test)
    parts = {
        "exact_nll": -log_likelihoods[unseen].mean(),
        "refined_elbo": refined[unseen].mean(),
        "gap_approximation": (log_likelihoods - refined)[unseen].mean(),
        "gap_amortisation": amortisation,
        "gap_amortisation_generalisation": (refined - amortised)[unseen].mean() - amortisation,
        "gap_decoder": decoder,
    }
    return {name: float(value) for name, value in parts.items()}


def _importance_weighted_nll(vae, images, targets, labels, num_samples):
    """Returns the bound of `nll` for targets, with codes proposed by the posteriors of images."""
    moments = over_batches(vae.moments, images, labels)
    weights = _log_weights(vae, targets, labels, moments, num_samples)
    return float(np.log(num_samples) - logsumexp(weights, axis=1).mean())


def _elbos(vae, images, posterior):
    """Returns the ELBO of each image, `(num_images,)`.

    The log-weights vary less than the reconstruction loss with the exact KL divergence.
    """
    return _log_weights(vae, images, None, posterior, NUM_ELBO_SAMPLES).mean(axis=1)


def _log_weights(vae, images, labels, moments, num_samples):
    """Returns draws of log p(x, z) - log q(z given x), `(num_images, num_samples)`, in nats."""

    @tf.function(reduce_retracing=True)
    def weigh(images, labels, *moments):
        def draw(_):
            z, log_q = vae.posterior.sample(moments, vae.prior, vae.sampler)
            return z, -vae.reconstruction_loss(images, z, labels) - log_q

        kinds = (tf.float32, tf.float32)
        z, weights = tf.map_fn(draw, tf.range(num_samples), fn_output_signature=kinds)
        log_prior = vae.prior.log_prob(tf.reshape(z, (-1, vae.latent_dim)))  # all draws at once
        return tf.transpose(weights + tf.reshape(log_prior, tf.shape(weights)))

    weights = over_batches(weigh, images, labels, *moments, batch_size=BATCH_SIZE)
    return weights.astype("float64")


def _sum_over_grid(vae, images):
    """Returns log p(x), `(num_images,)`, and the likeliest codes, `(num_images, latent_dim)`.

    The grid is decoded once, in blocks to bound the memory.
    """
    if vae.latent_dim > 2 or not is_plain(vae):
        raise ValueError(
            "the exact likelihood is available for unconditional models with at most 2 latent "
            "dimensions, a standard normal prior and a diagonal normal posterior; use `nll` or "
            f"`binary_nll` for others. Received: a model with {vae.latent_dim} latent dimensions, "
            f"{type(vae.prior).__name__} and {type(vae.posterior).__name__}"
        )
    pixels = np.asarray(images, "float32") / (255 if images.dtype == np.uint8 else 1)
    axes = [np.linspace(-GRID_END, GRID_END, GRID_SIZE, dtype="float32")] * vae.latent_dim
    grid = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, vae.latent_dim)
    log_cell = vae.latent_dim * np.log(2 * GRID_END / (GRID_SIZE - 1) / np.sqrt(2 * np.pi))

    def sum_block(z):
        joint = _log_likelihoods(vae, pixels, vae.logits(z))
        joint -= 0.5 * tf.reduce_sum(tf.square(z), axis=-1)
        likeliest = tf.gather(z, tf.argmax(joint, axis=1))
        sums = tf.reduce_logsumexp(joint, axis=1), tf.reduce_max(joint, axis=1), likeliest
        return tuple(values[None] for values in sums)

    sums, highest, likeliest = over_batches(sum_block, grid, batch_size=GRID_BATCH_SIZE)
    blocks = highest.argmax(axis=0)
    codes = likeliest[blocks, np.arange(len(pixels))]
    return logsumexp(sums.astype("float64"), axis=0) + log_cell, codes


def _log_likelihoods(vae, pixels, logits):
    """Returns log p(x given z) for all pairs of images and codes, `(num_images, num_codes)`."""
    if vae.likelihood == "bce":
        flat_pixels, flat_logits = (
            tf.reshape(values, (-1, math.prod(vae.image_shape))) for values in (pixels, logits)
        )
        products = tf.matmul(flat_pixels, flat_logits, transpose_b=True)
        return products - tf.reduce_sum(tf.nn.softplus(flat_logits), axis=-1)
    scale = () if vae.log_scale is None else (vae.log_scale,)
    loss = LIKELIHOODS[vae.likelihood]
    return -tf.map_fn(lambda image: loss(image[None], logits, *scale), pixels)


def _refine(vae, images, codes):
    """Returns ELBOs with the encoder's and the refined posteriors, `(num_images,)` each.

    Refinement starts at the encoder's mean, or at the image's code in `codes` if that is better.
    """
    z_mean, z_log_var = encode(vae, images)
    amortised = _elbos(vae, images, (z_mean, z_log_var))
    is_better = _elbos(vae, images, (codes, z_log_var)) > amortised
    z_mean = np.where(is_better[:, None], codes, z_mean)
    refined = over_batches(_refinement(vae), images, z_mean, z_log_var, batch_size=BATCH_SIZE)
    return amortised, _elbos(vae, images, refined)


def _refinement(vae):
    """Returns a function that refines posteriors by Adam, with a learning rate that falls to 0."""

    @tf.function(reduce_retracing=True)
    def refine(images, *posterior):
        # A step in `z_mean` is in units of the initial standard deviation.
        units = tf.stack([tf.exp(0.5 * posterior[1]), tf.ones_like(posterior[1])])

        def step(number, posterior, mean, square):
            with tf.GradientTape() as tape:
                tape.watch(posterior)
                loss = vae.reconstruction_loss(images, vae.sampler(posterior))
                loss += kl_divergence(*posterior)
            gradient = tf.stack(tape.gradient(loss, posterior))
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.99 * square + 0.01 * tf.square(gradient)
            time = tf.cast(number, "float32")
            rate = REFINEMENT_RATE * (1 - time / REFINEMENT_STEPS)
            rate *= tf.sqrt(1 - 0.99 ** (time + 1)) / (1 - 0.9 ** (time + 1))
            moved = tf.stack(posterior) - units * rate * mean / (tf.sqrt(square) + 1e-7)
            return number + 1, tuple(tf.unstack(moved, num=2)), mean, square

        state = 0, posterior, tf.zeros_like(units), tf.zeros_like(units)
        return tf.while_loop(lambda number, *_: number < REFINEMENT_STEPS, step, state)[1]

    return refine
