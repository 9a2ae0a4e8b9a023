import keras
import numpy as np
import pytest

from vae_keras import codes, evaluation
from vae_keras.vae import VAE

RNG = np.random.default_rng(0)


def linear_gaussian(noise=0.05, size=4):
    """A VAE whose decoder is linear as long as its logits are small, and its exact density.

    The sigmoid of a small logit is 1/2 + logit / 4: x is normal around 1/2 with the covariance
    W W' / 16 + noise**2. The encoder has the mean of the exact posterior and too wide a variance.
    """
    inputs = keras.Input((size, size, 1))
    flat = keras.layers.Flatten()(inputs)
    encoder = keras.Model(inputs, [keras.layers.Dense(2, name=n)(flat) for n in ("mean", "log")])
    decoder = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(size**2, use_bias=False),
            keras.layers.Reshape((size, size, 1)),
        ]
    )
    vae = VAE((size, size, 1), 2, likelihood="sigma", encoder=encoder, decoder=decoder)
    loadings = RNG.normal(size=(2, size**2)) * 0.05
    decoder.layers[0].kernel.assign(loadings)
    vae.log_scale.assign(np.log(noise))
    weights = loadings / 4
    posterior = np.linalg.inv(np.eye(2) + weights @ weights.T / noise**2)
    gain = weights.T @ posterior / noise**2
    encoder.get_layer("mean").set_weights([gain, -0.5 * gain.sum(axis=0)])
    encoder.get_layer("log").set_weights(
        [np.zeros((size**2, 2)), np.log(np.diag(posterior)) + [0.4, 0.2]]
    )
    return vae, weights.T @ weights + noise**2 * np.eye(size**2)


def test_bound_is_exact_on_a_linear_gaussian_model():
    vae, covariance = linear_gaussian()
    images = RNG.multivariate_normal(np.full(16, 0.5), covariance, size=600)
    centred = images - 0.5
    log_density = -0.5 * np.einsum("ni,ij,nj->n", centred, np.linalg.inv(covariance), centred)
    log_density -= 0.5 * (np.linalg.slogdet(covariance)[1] + 16 * np.log(2 * np.pi))
    images = images.reshape(-1, 4, 4, 1).astype("float32")
    estimates = {k: codes.nll(vae, images, num_samples=k) for k in (1, 10, 500)}
    np.testing.assert_allclose(estimates[500], -log_density.mean(), atol=0.003)
    assert estimates[1] > estimates[10] > estimates[500] - 0.001
    vae.compile(optimizer="adam")
    elbo = evaluation.elbo_terms(vae, images)["elbo"]
    np.testing.assert_allclose(estimates[1], -elbo, atol=0.1)


def test_refined_posteriors_are_the_best_of_their_family():
    vae, covariance = linear_gaussian()
    images = RNG.multivariate_normal(np.full(16, 0.5), covariance, size=270)  # a short batch, too
    centred = images - 0.5
    log_density = -0.5 * np.einsum("ni,ij,nj->n", centred, np.linalg.inv(covariance), centred)
    log_density -= 0.5 * (np.linalg.slogdet(covariance)[1] + 16 * np.log(2 * np.pi))
    # Of diagonal posteriors the best has the variances 1 / precision_ii, and the divergence
    # (log prod precision_ii - log det precision) / 2 from the exact one.
    weights = vae.decoder.layers[0].kernel.numpy() / 4
    precision = np.eye(2) + weights @ weights.T / 0.05**2
    best = log_density.mean() - 0.5 * (
        np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1]
    )
    images = images.reshape(-1, 4, 4, 1).astype("float32")
    vae.encoder.get_layer("mean").bias.assign_add([0.3, -0.2])
    vae.compile(optimizer="adam")
    amortised = evaluation.elbo_terms(vae, images)["elbo"]
    refined = codes.refined_elbo(vae, images, num_steps=200, num_draws=20)
    assert amortised < best - 0.1
    np.testing.assert_allclose(refined, best, atol=0.03)


def test_refinement_starts_from_the_encoder_and_uses_labels():
    vae = VAE((8, 8, 1), 2, architecture="mlp", num_classes=3)
    vae.compile(optimizer="adam")
    images = RNG.integers(0, 256, (30, 8, 8, 1), dtype=np.uint8)
    labels = np.arange(30) % 3
    elbo = evaluation.elbo_terms(vae, images, labels)["elbo"]
    refined = codes.refined_elbo(vae, images, labels, num_steps=0, num_draws=5)
    np.testing.assert_allclose(refined, elbo, atol=0.5)
    with pytest.raises(ValueError, match="`labels` must be given"):
        codes.refined_elbo(vae, images, num_steps=0)


def test_bound_of_a_conditional_model_uses_the_labels():
    vae = VAE((8, 8, 1), 2, architecture="mlp", likelihood="logistic", num_classes=3)
    images = RNG.integers(0, 256, (270, 8, 8, 1), dtype=np.uint8)
    assert np.isfinite(codes.nll(vae, images, np.arange(270) % 3, num_samples=3))
    with pytest.raises(ValueError, match="`labels` must be given"):
        codes.nll(vae, images, num_samples=3)


def test_spectrum_falls_and_sums_to_the_divergence():
    z_mean = np.tile(np.float32([1, 3, 0]), (5, 1))
    spectrum, order = codes.kl_spectrum(z_mean, np.zeros_like(z_mean))
    np.testing.assert_allclose(spectrum, [4.5, 0.5, 0])
    np.testing.assert_array_equal(order, [1, 0, 2])


def test_probe_finds_classes_that_a_line_separates_and_no_others():
    labels = np.arange(400) % 2
    separable = RNG.normal(size=(400, 3)) + 10 * labels[:, None]
    noise = RNG.normal(size=(400, 3))
    halves = slice(0, 200), slice(200, 400)
    accuracy = [
        codes.probe_accuracy(*((z[half], labels[half]) for half in halves))
        for z in (separable, noise)
    ]
    assert accuracy[0] == 1.0
    assert 0.35 < accuracy[1] < 0.65


def test_a_fitted_probe_judges_any_codes():
    z = np.float32([[0, 5], [1, 5], [10, 5], [11, 5]])
    probe = codes.fit_probe(z, [0, 0, 7, 7])
    assert probe.predict([[-3, 5], [20, 5]]).tolist() == [0, 7]
    assert probe.score([[-3, 5], [20, 5]], [7, 7]) == 0.5
