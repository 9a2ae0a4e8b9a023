import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from scipy.special import logsumexp

from vae_keras.beyond import objectives
from vae_keras.beyond.objectives import (
    BetaTC,
    ImportanceWeighted,
    MaximumMeanDiscrepancy,
    Perceptual,
)

SHAPE = (8, 8, 1)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, *SHAPE), dtype=np.uint8)


def fixed_noise(vae, noise):
    """Replaces the model's own noise with these numbers."""
    draws = iter(noise)
    vae.sampler = lambda pair: pair[0] + tf.exp(0.5 * pair[1]) * next(draws)
    vae.compile(run_eagerly=True)
    return vae


def terms(vae, noise):
    logs = fixed_noise(vae, noise).test_on_batch(IMAGES, return_dict=True)
    return logs["loss"], logs["reconstruction_loss"], logs["kl_divergence"]


def numpy_parts(vae, noise):
    """Means, deviations, codes and reconstruction losses in float64."""
    z_mean, z_log_var = (np.asarray(part, "float64") for part in vae.encode(IMAGES))
    z = z_mean + np.exp(0.5 * z_log_var) * noise
    losses = np.array([vae.reconstruction_loss(IMAGES, draw) for draw in z.astype("float32")])
    return z_mean, np.exp(0.5 * z_log_var), z, losses


def test_importance_weighted_bound_of_five_draws(build_vae):
    vae = build_vae(objective=ImportanceWeighted(), beta=0.5)
    noise = RNG.standard_normal((5, 40, 2)).astype("float32")
    mean, deviation, z, losses = numpy_parts(vae, noise)
    log_p = stats.norm.logpdf(z).sum(-1)
    log_q = stats.norm.logpdf(z, mean, deviation).sum(-1)
    expected = np.log(5) - logsumexp(0.5 * (log_p - log_q) - losses, axis=0)
    loss, reconstruction_loss, _ = terms(vae, noise)
    np.testing.assert_allclose(loss, expected.mean(), rtol=1e-5)
    np.testing.assert_allclose(reconstruction_loss, losses.mean(), rtol=1e-5)


def test_beta_tc_is_the_published_sum_of_three_terms(build_vae):
    """Mutual information, total correlation and dimension-wise KL, each of a batch in NumPy."""
    vae, beta, size = build_vae(objective=BetaTC(), beta=6.0), 6.0, 1000
    noise = RNG.standard_normal((1, 40, 2)).astype("float32")
    mean, deviation, (z,), (losses,) = numpy_parts(vae, noise)
    log_q = np.empty((40, 40, 2))
    for i in range(40):
        for j in range(40):
            log_q[i, j] = stats.norm.logpdf(z[i], mean[j], deviation[j])
    log_given = np.array([log_q[i, i].sum() for i in range(40)])
    log_together = logsumexp(log_q.sum(-1), axis=1) - np.log(40 * size)
    log_apart = (logsumexp(log_q, axis=1) - np.log(40 * size)).sum(-1)
    information, correlation = log_given - log_together, log_together - log_apart
    dimension_wise = log_apart - stats.norm.logpdf(z).sum(-1)
    published = losses + information + beta * correlation + dimension_wise
    # The published form has an additional constant and estimates the KL divergence from one draw.
    constant = (beta - 1) * np.log(size)
    kl = 0.5 * (mean**2 + deviation**2 - 1 - 2 * np.log(deviation)).sum(-1)
    exact = kl - (log_given - stats.norm.logpdf(z).sum(-1))
    loss, _, _ = terms(vae, noise)
    np.testing.assert_allclose(loss, (published - constant + exact).mean(), rtol=1e-5)


def test_beta_tc_is_the_elbo_at_beta_1(build_vae):
    loss, reconstruction_loss, kl = terms(build_vae(objective=BetaTC()), np.ones((1, 40, 2), "f"))
    np.testing.assert_allclose(loss, reconstruction_loss + kl, rtol=1e-6)


def test_total_correlation_of_a_normal_distribution():
    """It is -log(1 - rho^2) / 2 for correlated codes, 0 for independent ones."""
    noise, tiny = RNG.standard_normal((2000, 2)), np.full((2000, 2), np.log(0.01))
    for rho in (0.0, 0.9):
        z_mean = np.stack([noise[:, 0], rho * noise[:, 0] + np.sqrt(1 - rho**2) * noise[:, 1]], 1)
        z = z_mean + 0.1 * RNG.standard_normal((2000, 2))
        arrays = [array.astype("float32") for array in (z, z_mean, tiny)]
        covariance = np.array([[1, rho], [rho, 1]]) + 0.01 * np.eye(2)
        expected = -0.5 * np.log(np.linalg.det(covariance) / 1.01**2)
        found = np.mean(objectives.total_correlation(*arrays))
        assert abs(found - expected) < 0.06


def test_squared_discrepancy_by_hand():
    z, other = np.array([[0.0], [1.0]], "float32"), np.array([[0.0], [2.0]], "float32")
    kernel = lambda distance: np.exp(-(distance**2) / 2)  # noqa: E731
    across = kernel(0) + kernel(2) + kernel(1) + kernel(1)
    expected = 2 * kernel(1) / 2 + 2 * kernel(2) / 2 - 2 * across / 4
    np.testing.assert_allclose(objectives.squared_discrepancy(z, other), expected, rtol=1e-6)
    # A batch of one image has no pairs within a set.
    alone = objectives.squared_discrepancy(z[1:], other[1:])
    np.testing.assert_allclose(alone, -2 * kernel(1), rtol=1e-6)


def test_squared_discrepancy_has_no_bias():
    draws = RNG.standard_normal((2, 300, 20, 3)).astype("float32")
    same = [float(objectives.squared_discrepancy(a, b)) for a, b in zip(*draws, strict=True)]
    assert abs(np.mean(same)) < 5 * np.std(same) / np.sqrt(300)
    moved = [float(objectives.squared_discrepancy(a + 1, b)) for a, b in zip(*draws, strict=True)]
    assert np.mean(moved) > 0.2


def test_mmd_weighs_the_discrepancy_and_no_divergence(build_vae):
    vae = build_vae(objective=MaximumMeanDiscrepancy(), beta=100.0)
    noise = RNG.standard_normal((2, 40, 2)).astype("float32")
    _, _, (z, _), _ = numpy_parts(vae, noise)
    loss, reconstruction_loss, _ = terms(vae, noise)
    discrepancy = objectives.squared_discrepancy(z.astype("float32"), noise[1])
    np.testing.assert_allclose(loss, reconstruction_loss + 100 * discrepancy, rtol=1e-5)


def build_features():
    images = keras.Input(SHAPE)
    first = keras.layers.Conv2D(2, 3)(images)
    return keras.Model(images, [first, keras.layers.Conv2D(3, 3)(first)])


def test_perceptual_adds_the_distance_of_features(build_vae):
    vae = build_vae(objective=Perceptual(build_features(), 3.0))
    noise = np.zeros((1, 40, 2), "float32")
    loss, reconstruction_loss, kl = terms(vae, noise)
    kernels = vae.objective.features.weights
    assert vae.objective.features.trainable_weights == [] and len(kernels) == 4
    maps = [vae.objective.features(x) for x in (IMAGES / 255.0, vae.reconstruct(IMAGES))]
    distance = 64 * sum(np.mean((a - b) ** 2) for a, b in zip(*maps, strict=True))
    np.testing.assert_allclose(loss, reconstruction_loss + kl + 3 * distance, rtol=1e-5)


@pytest.mark.parametrize(
    "objective",
    [ImportanceWeighted, BetaTC, MaximumMeanDiscrepancy, lambda: Perceptual(build_features(), 2.0)],
)
def test_an_objective_trains_and_is_saved(build_vae, objective, tmp_path):
    vae = build_vae(objective=objective(), beta=3.0)
    fixed = [np.array(weight) for weight in vae.objective.weights]
    losses = vae.fit(np.sort(IMAGES, axis=1), epochs=8, batch_size=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    for before, weight in zip(fixed, vae.objective.weights, strict=True):
        np.testing.assert_array_equal(before, weight)
    vae.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for name in ("num_draws", "weight"):
        assert getattr(loaded.objective, name, None) == getattr(vae.objective, name, None)
    for before, weight in zip(fixed, loaded.objective.weights, strict=True):
        np.testing.assert_array_equal(before, weight)
    np.testing.assert_array_equal(loaded.encode(IMAGES), vae.encode(IMAGES))
