"""Latent codes: KL spectrum, units in use, linear probe, projection to a plane, mixture."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vae_keras.losses import kl_per_dim

ACTIVE_UNIT_VARIANCE = 0.01
USED_UNIT_NATS = 0.5


def draw_codes(source, num_codes):
    """Draws latent codes, the same in every run.

    Args:
        source: a `Prior` or a `fitted.SecondStage`.
        num_codes: number of codes.

    Returns:
        float32, `(num_codes, latent_dim)`.
    """
    rng = np.random.default_rng(0)

    def draw(moments):
        mean, log_var = (np.asarray(moment) for moment in moments)
        return mean + np.exp(0.5 * log_var) * rng.standard_normal(mean.shape, "float32")

    return np.asarray(source.sample(num_codes, draw))


def relative_to_prior(vae, z_mean, z_log_var):
    """Standardises posteriors by the prior's mean and standard deviation in each dimension.

    The standard normal prior leaves them unchanged. For any other prior, the KL spectrum of the
    result shows what each dimension would cost if the prior were normal.

    Args:
        vae: a `VAE`.
        z_mean: posterior means, `(num_images, latent_dim)`.
        z_log_var: logarithms of the posterior variances, `(num_images, latent_dim)`.

    Returns:
        The standardised pair `(z_mean, z_log_var)`.
    """
    mean, deviation = (np.asarray(part) for part in vae.prior.spread(vae.sampler))
    return (z_mean - mean) / deviation, z_log_var - 2 * np.log(deviation)


def kl_spectrum(z_mean, z_log_var):
    """Computes the KL divergence of each latent dimension, largest first.

    Args:
        z_mean: posterior means, `(num_images, latent_dim)`.
        z_log_var: logarithms of the posterior variances, `(num_images, latent_dim)`.

    Returns:
        Pair `(spectrum, order)`, `(latent_dim,)` each: nats/image in descending order, averaged
        over images, and the latent dimensions that they belong to.
    """
    spectrum = np.asarray(kl_per_dim(z_mean, z_log_var)).mean(axis=0, dtype="float64")
    order = np.argsort(-spectrum)
    return spectrum[order], order


def used_units(spectrum):
    """Counts the latent dimensions whose KL divergence exceeds 0.5 nats/image.

    Args:
        spectrum: nats/image of each latent dimension, `(latent_dim,)`.
    """
    return int((spectrum > USED_UNIT_NATS).sum())


def active_units(z_mean):
    """Counts the latent dimensions whose posterior mean has a variance above 0.01 over images.

    After short training, most of these carry almost no information: read it beside `used_units`.

    Args:
        z_mean: `(num_images, latent_dim)`.

    Reference:
        Burda et al., 2016, "Importance Weighted Autoencoders", section 5.2.
    """
    return int((z_mean.var(axis=0) > ACTIVE_UNIT_VARIANCE).sum())


def participation_ratio(spectrum):
    """Computes the effective number of latent dimensions that share the KL divergence.

    Args:
        spectrum: nats/image of each latent dimension, `(latent_dim,)`.

    Returns:
        `sum(spectrum)**2 / sum(spectrum**2)`: 1 if one dimension holds all of it, `latent_dim` if
        all hold equal parts, 0 if the divergence is 0.

    Reference:
        Gao et al., 2017, "A Theory of Multineuronal Dimensionality, Dynamics and Measurement",
        which applies it to variances.
    """
    squares = np.square(spectrum).sum()
    return float(np.sum(spectrum) ** 2 / squares) if squares else 0.0


def fit_probe(z, labels):
    """Fits a linear classifier to latent codes: logistic regression on standardised codes.

    Args:
        z: codes, `(num_images, latent_dim)`.
        labels: integers, `(num_images,)`.

    Returns:
        `sklearn.pipeline.Pipeline`; `score(z, labels)` gives its accuracy on other codes.
    """
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    return probe.fit(np.asarray(z, "float64"), labels)  # in float32 the solver does not converge


def probe_accuracy(train, test):
    """Measures how well a linear classifier recognises classes from latent codes.

    Args:
        train: pair of codes `(num_images, latent_dim)` and labels `(num_images,)`.
        test: the same for other images.

    Returns:
        Accuracy on the test images, from 0 to 1.

    Reference:
        Alain & Bengio, 2017, "Understanding Intermediate Layers Using Linear Classifier Probes".
    """
    return float(fit_probe(*train).score(*test))


def planar(z_mean, reference):
    """Projects latent codes onto a plane for drawing.

    Args:
        z_mean: `(num_images, latent_dim)`.
        reference: codes whose principal components span the plane, `(num_reference_images,
            latent_dim)`. Several sets of codes share a plane if they share a reference.

    Returns:
        `(num_images, 2)`: two latent dimensions unchanged; more than two projected onto the first
        two principal components, or onto the first two dimensions if there are fewer than two
        reference images; a single one with zeros as the second coordinate.
    """
    latent_dim = z_mean.shape[1]
    if latent_dim > 2 and len(reference) < 2:
        return z_mean[:, :2]
    if latent_dim > 2:
        return PCA(n_components=2, random_state=0).fit(reference).transform(z_mean)
    return np.pad(z_mean, ((0, 0), (0, 2 - latent_dim)))


def fit_mixture(z, labels=None, num_components=10):
    """Fits a Gaussian mixture to latent codes, to sample from instead of the prior.

    Args:
        z: codes of training images, `(num_images, latent_dim)`.
        labels: integers, `(num_images,)`, for a conditional model. The Gaussians are then divided
            among the classes, at least one each: one per class for 10 classes, five for two.
            Classes with a single image are left out.
        num_components: number of Gaussians, with full covariances.

    Returns:
        List of triples `(label, num_images, mixture)`, one per class: `label` is None without
        labels, and `mixture` a `sklearn.mixture.GaussianMixture` in float64.

    Reference:
        Ghosh et al., 2020, "From Variational to Deterministic Autoencoders", section 4.
    """
    z = np.asarray(z, "float64")  # in float32 the weights can sum to more than 1
    if labels is None:
        groups = [(None, z)]
    else:
        groups = [(int(label), z[labels == label]) for label in np.unique(labels)]
    mixtures = []
    for label, codes in groups:
        if len(codes) > 1:
            components = min(max(1, num_components // len(groups)), len(codes))
            mixture = GaussianMixture(components, max_iter=1000, random_state=0)
            mixtures.append((label, len(codes), mixture.fit(codes)))
    return mixtures


def sample_mixture(mixtures, num_samples, seed=0):
    """Draws latent codes from fitted mixtures, in random order.

    Args:
        mixtures: list from `fit_mixture`.
        num_samples: number of codes.
        seed: random seed.

    Returns:
        Pair `(z, labels)`: float32 codes, `(num_samples, latent_dim)`, and the class of each,
        integers `(num_samples,)` with the frequencies of the training images, or None without
        labels.
    """
    rng = np.random.default_rng(seed)
    sizes = np.array([size for _, size, _ in mixtures], "float64")
    codes, labels = [], []
    for (label, _, mixture), count in zip(
        mixtures, rng.multinomial(num_samples, sizes / sizes.sum()), strict=True
    ):
        if count:
            mixture.set_params(random_state=int(rng.integers(2**31)))
            codes.append(mixture.sample(count)[0])
            labels += [label] * count
    order = rng.permutation(num_samples)
    z = np.concatenate(codes).astype("float32")[order]
    return z, None if labels[0] is None else np.array(labels)[order]
