"""What the latent codes are worth: the importance-weighted bound, the KL spectrum, the probe."""

import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vae_keras.losses import kl_per_dim

BATCH_SIZE = 250
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
