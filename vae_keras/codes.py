"""What the latent codes are worth: bounds, the KL spectrum, the probe."""

import keras
import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vae_keras.losses import kl_divergence, kl_per_dim

BATCH_SIZE = 250
REFINEMENT_RATE = 0.02
LOG_2_PI = float(np.log(2 * np.pi))


def nll(vae, images, labels=None, num_samples=200):
    """Estimates the negative log-likelihood by the importance-weighted bound.

    The reconstruction loss is that of the model's likelihood; of "mse" it leaves the constant out,
    and of "bce", which is no density, the bound is none either.

    Args:
        vae: a `VAE`.
        images: uint8, `(num_images, height, width, channels)`.
        labels: integers, `(num_images,)`; of a conditional model only.
        num_samples: draws from each image's posterior, K.

    Returns:
        Nats per image, a float, mean over images. In expectation it is an upper bound, at most the
        negative ELBO, which it equals for one sample.

    Reference:
        Burda et al., 2016, "Importance Weighted Autoencoders", equation 8.
    """

    @tf.function(reduce_retracing=True)
    def log_weight(images, labels, z_mean, z_log_var):
        z = vae.sampler((z_mean, z_log_var))
        squares = tf.square(z - z_mean) * tf.exp(-z_log_var)
        log_posterior = -0.5 * tf.reduce_sum(squares + z_log_var + LOG_2_PI, axis=-1)
        log_prior = -0.5 * tf.reduce_sum(tf.square(z) + LOG_2_PI, axis=-1)
        return log_prior - log_posterior - vae.reconstruction_loss(images, z, labels)

    bounds = []
    for start in range(0, len(images), BATCH_SIZE):
        part = slice(start, start + BATCH_SIZE)
        batch = tf.constant(images[part]), None if labels is None else tf.constant(labels[part])
        posterior = vae.encode(*batch)
        log_weights = [log_weight(*batch, *posterior) for _ in range(num_samples)]
        log_weights = np.stack(log_weights).astype("float64")
        bounds.append(np.logaddexp.reduce(log_weights, axis=0) - np.log(num_samples))
    return -float(np.concatenate(bounds).mean())


def refined_elbo(vae, images, labels=None, num_steps=100, num_draws=5):
    """Estimates the ELBO after each image's posterior has been improved by gradient steps.

    The steps start from what the encoder says and move `z_mean` and `z_log_var` of the image alone;
    the decoder stays as it is. So it is no ELBO of the encoder: the difference between the two is
    what the encoder loses against the best posterior of its family.

    Args:
        vae: a `VAE`.
        images: uint8, `(num_images, height, width, channels)`.
        labels: integers, `(num_images,)`; of a conditional model only.
        num_steps: steps of Adam for each image.
        num_draws: draws of z in a step, and ten times as many in the final estimate.

    Returns:
        Nats per image at beta 1, a float, mean over images.

    Reference:
        Cremer et al., 2018, "Inference Suboptimality in Variational Autoencoders", section 4.2;
        Kim et al., 2018, "Semi-Amortized Variational Autoencoders", section 3.
    """
    shape = (BATCH_SIZE, vae.latent_dim)
    posterior = [tf.Variable(tf.zeros(shape), name=name) for name in ("z_mean", "z_log_var")]
    optimizer = keras.optimizers.Adam(REFINEMENT_RATE)
    optimizer.build(posterior)

    def losses(images, labels):
        z = vae.sampler(posterior)
        return vae.reconstruction_loss(images, z, labels) + kl_divergence(*posterior)

    @tf.function(reduce_retracing=True)
    def step(images, labels):
        with tf.GradientTape() as tape:
            loss = tf.add_n([tf.reduce_sum(losses(images, labels)) for _ in range(num_draws)])
        optimizer.apply(tape.gradient(loss, posterior), posterior)

    estimate = tf.function(losses, reduce_retracing=True)
    total = 0.0
    for start in range(0, len(images), BATCH_SIZE):
        # The last images of a short batch are repeated, so that all batches have one shape.
        positions = np.minimum(np.arange(start, start + BATCH_SIZE), len(images) - 1)
        batch = images[positions], None if labels is None else labels[positions]
        batch = [None if part is None else tf.constant(part) for part in batch]
        for variable, value in zip(posterior, vae.encode(*batch)):
            variable.assign(value)
        for variable in optimizer.variables:
            variable.assign(tf.zeros_like(variable))
        optimizer.learning_rate.assign(REFINEMENT_RATE)
        for _ in range(num_steps):
            step(*batch)
        draws = [estimate(*batch).numpy() for _ in range(10 * num_draws)]
        total += np.mean(draws, axis=0)[: len(images) - start].sum(dtype="float64")
    return -float(total / len(images))


def kl_spectrum(z_mean, z_log_var):
    """Computes the KL divergence of each latent dimension, largest first.

    Args:
        z_mean: means of the posterior, `(num_images, latent_dim)`.
        z_log_var: logarithms of its variances, `(num_images, latent_dim)`.

    Returns:
        Pair of arrays `(latent_dim,)`: nats per image, mean over images, in falling order; and the
        latent dimensions they belong to.
    """
    spectrum = np.asarray(kl_per_dim(z_mean, z_log_var)).mean(axis=0)
    order = np.argsort(-spectrum)
    return spectrum[order], order


def fit_probe(z, labels):
    """Fits the classifier of `probe_accuracy`, a logistic regression from standardised codes.

    Args:
        z: codes, `(num_images, latent_dim)`.
        labels: integers, `(num_images,)`.

    Returns:
        A `sklearn.pipeline.Pipeline`: its `score` of other codes and labels is the accuracy.
    """
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(z, labels)


def probe_accuracy(train, test):
    """Measures how well classes can be told from codes, by logistic regression.

    Args:
        train: pair of codes `(num_images, latent_dim)` and labels `(num_images,)`.
        test: the same, of other images.

    Returns:
        Share of the test images whose class is found, from 0 to 1.

    Reference:
        Alain & Bengio, 2017, "Understanding Intermediate Layers Using Linear Classifier Probes".
    """
    return float(fit_probe(*train).score(*test))
