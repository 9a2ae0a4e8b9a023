import numpy as np
import pytest

from vae_keras import losses
from vae_keras.study.parameters import CHOICES

RNG = np.random.default_rng(0)
IMAGES = (RNG.integers(0, 256, (4, 8, 8, 3)) / 255).astype("float32")
LOGITS = RNG.normal(size=(4, 8, 8, 3)).astype("float32")


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits.astype("float64")))


def loss(name, images, logits, log_scale=-2.0):
    """A likelihood's loss, with the given scale if the likelihood learns one."""
    scale = (np.float32(log_scale),) if name in losses.SCALES else ()
    return losses.LIKELIHOODS[name](images, logits, *scale)


def test_likelihoods_are_those_a_run_may_choose():
    assert tuple(losses.LIKELIHOODS) == CHOICES["likelihood"]


@pytest.mark.parametrize("name", losses.LIKELIHOODS)
def test_one_float32_number_per_image(name):
    values = loss(name, IMAGES, LOGITS)
    assert values.shape == (4,)
    assert values.dtype == "float32"


@pytest.mark.parametrize("name", losses.LIKELIHOODS)
def test_three_equal_channels_triple_the_loss(name):
    grey, logits = IMAGES[..., :1], LOGITS[..., :1]
    once = loss(name, grey, logits)
    thrice = loss(name, np.repeat(grey, 3, -1), np.repeat(logits, 3, -1))
    np.testing.assert_allclose(thrice, 3 * once, rtol=1e-6)


def test_bce_at_one_half_is_log_2_a_pixel_and_channel():
    images = RNG.uniform(size=(2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(
        losses.bce(images, np.zeros_like(images)), 3072 * np.log(2), rtol=1e-6
    )


def test_bce_matches_numpy():
    p = sigmoid(LOGITS)
    expected = -(IMAGES * np.log(p) + (1 - IMAGES) * np.log(1 - p)).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(losses.bce(IMAGES, LOGITS), expected, rtol=1e-5)


def test_bce_stays_finite_at_extreme_logits():
    ones = np.ones((1, 2, 2, 1), "float32")
    np.testing.assert_allclose(losses.bce(ones, -200 * ones), 800.0)
    np.testing.assert_allclose(losses.bce(ones, 200 * ones), 0.0)


def test_mse_is_half_the_squared_error_to_the_sigmoid():
    expected = 0.5 * ((IMAGES - sigmoid(LOGITS)) ** 2).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(losses.mse(IMAGES, LOGITS), expected, rtol=1e-5)
    black = np.zeros((1, 28, 28, 1), "float32")
    np.testing.assert_allclose(losses.mse(black, black), 784 * 0.5 * 0.25)


@pytest.mark.parametrize("log_sigma", [-3.0, -1.0, 0.5])
def test_sigma_matches_the_density(log_sigma):
    sd = np.exp(log_sigma)
    log_density = -0.5 * ((IMAGES - sigmoid(LOGITS)) / sd) ** 2 - np.log(sd * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(
        loss("sigma", IMAGES, LOGITS, log_sigma), -log_density.sum(axis=(1, 2, 3)), rtol=1e-5
    )


def test_sigma_of_one_is_mse_and_a_constant():
    constant = 8 * 8 * 3 * 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(
        loss("sigma", IMAGES, LOGITS, 0.0), losses.mse(IMAGES, LOGITS) + constant, rtol=1e-6
    )


def logistic_probabilities(location, scale):
    """Probability of each of the 256 levels, by the definition."""
    with np.errstate(over="ignore"):
        ends = 1 / (1 + np.exp(-((np.arange(257) - 0.5) / 255 - location) / scale))
    ends[0], ends[-1] = 0, 1
    return np.diff(ends)


@pytest.mark.parametrize("log_scale", [-5.0, -2.0, 1.0])
@pytest.mark.parametrize("logit", [-6.0, 0.3, 6.0])
def test_logistic_matches_its_definition_and_sums_to_one(log_scale, logit):
    levels = (np.arange(256, dtype="float32") / 255).reshape(256, 1, 1, 1)
    nats = np.asarray(loss("logistic", levels, np.full_like(levels, logit), log_scale))
    np.testing.assert_allclose(np.exp(-nats.astype("float64")).sum(), 1.0, rtol=1e-4)
    expected = logistic_probabilities(sigmoid(np.array(logit)), np.exp(log_scale))
    likely = expected > 1e-12  # below, the reference's own difference cancels
    np.testing.assert_allclose(nats[likely], -np.log(expected[likely]), rtol=2e-3, atol=2e-3)


def test_logistic_stays_finite_far_from_the_location():
    black, logits = np.zeros((1, 2, 2, 1), "float32"), np.full((1, 2, 2, 1), 50.0, "float32")
    nats = loss("logistic", black, logits, -8.0)
    np.testing.assert_allclose(nats, 4 * (1 - 0.5 / 255) * np.exp(8.0), rtol=1e-4)


def test_kl_of_mean_1_in_10_dimensions_is_5():
    kl = losses.kl_divergence(np.ones((3, 10), "float32"), np.zeros((3, 10), "float32"))
    np.testing.assert_allclose(kl, [5, 5, 5])


def test_kl_of_the_prior_is_zero():
    zeros = np.zeros((2, 7), "float32")
    np.testing.assert_array_equal(losses.kl_per_dim(zeros, zeros), zeros)


def test_kl_matches_the_integral():
    mean, log_var = 0.7, -1.3
    z = np.linspace(-12, 12, 200_001)
    log_q = -0.5 * ((z - mean) ** 2 / np.exp(log_var) + log_var)
    integral = (np.exp(log_q) * (log_q + 0.5 * z**2)).sum() * (z[1] - z[0]) / np.sqrt(2 * np.pi)
    kl = losses.kl_divergence(np.full((1, 1), mean, "float32"), np.full((1, 1), log_var, "float32"))
    np.testing.assert_allclose(kl, integral, rtol=1e-5)


def test_kl_grows_with_the_number_of_dimensions():
    mean, log_var = RNG.normal(size=(2, 5, 6)).astype("float32")
    doubled = losses.kl_divergence(np.tile(mean, 2), np.tile(log_var, 2))
    np.testing.assert_allclose(doubled, 2 * losses.kl_divergence(mean, log_var), rtol=1e-6)


def test_free_bits_bound_each_dimension_of_the_batch_mean():
    # KL of the first dimension: 0.5 and 0 (mean 0.25); of the second: 2 and 2.
    z_mean = np.array([[1, 2], [0, 2]], "float32")
    z_log_var = np.zeros((2, 2), "float32")
    parts = losses.kl_per_dim(z_mean, z_log_var)
    penalty = losses.free_bits_divergence(parts, 0.4)
    np.testing.assert_allclose(penalty, [2.4, 2.4])
    without = losses.free_bits_divergence(parts, 0.0)
    np.testing.assert_allclose(without, [2.25, 2.25])
