import keras
import numpy as np
import pytest
from scipy import stats

from vae_keras.evaluation.linear import ProbabilisticPCA, linear_measures

RNG = np.random.default_rng(0)
SHAPE = (4, 4, 1)
NOISE = 0.05
LOADINGS = RNG.normal(size=(2, 16)) * [[0.06], [0.03]]


def draw(number):
    """Draws images from a linear model with two latent dimensions; the first one sets the class."""
    z = RNG.normal(size=(number, 2))
    pixels = 0.5 + z @ LOADINGS + NOISE * RNG.normal(size=(number, 16))
    images = np.rint(255 * np.clip(pixels, 0, 1)).astype("uint8")
    return images.reshape(-1, *SHAPE), (z[:, 0] > 0).astype(int)


TRAIN, VALIDATION, TEST = draw(5000), draw(500), draw(500)


@pytest.fixture(scope="module")
def model():
    return ProbabilisticPCA(TRAIN[0], 2)


def test_likelihood_matches_the_model_that_drew_the_images(model):
    covariance = LOADINGS.T @ LOADINGS + NOISE**2 * np.eye(16)
    density = stats.multivariate_normal(np.full(16, 0.5), covariance)
    expected = -density.logpdf(TEST[0].reshape(-1, 16) / 255).mean()
    np.testing.assert_allclose(model.nll(TEST[0]), expected, atol=0.05)


def test_reconstructions_are_the_posterior_means_of_pixels(model):
    # For jointly normal pixels and codes: the covariance without noise, times the inverse of the
    # covariance with noise.
    signal = LOADINGS.T @ LOADINGS
    gain = signal @ np.linalg.inv(signal + NOISE**2 * np.eye(16))
    expected = 0.5 + (TEST[0].reshape(-1, 16) / 255 - 0.5) @ gain
    codes = model.encode(TEST[0])
    np.testing.assert_allclose(model.decode(codes).reshape(-1, 16), expected, atol=0.02)
    # Their variance is that of the prior minus that of the posteriors, 1 / precision.
    precision = np.linalg.eigvalsh(np.eye(2) + LOADINGS @ LOADINGS.T / NOISE**2)[::-1]
    np.testing.assert_allclose(codes.var(axis=0), 1 - 1 / precision, atol=0.15)


def test_samples_have_no_noise_and_stay_in_range(model):
    samples = model.sample(20_000).reshape(-1, 16)
    assert samples.min() >= 0 and samples.max() <= 1
    np.testing.assert_allclose(np.cov(samples, rowvar=False), LOADINGS.T @ LOADINGS, atol=2e-3)


def test_measures_of_the_twin():
    inputs = keras.Input(SHAPE, dtype="uint8")
    flat = keras.layers.Flatten(dtype="float32")(keras.layers.Rescaling(1 / 255)(inputs))
    judge = keras.Model(inputs, keras.layers.Dense(4)(flat))
    measures = linear_measures(TRAIN, VALIDATION, TEST, 2, judge)
    assert set(measures) == {
        *("linear_nll", "linear_mse", "linear_psnr", "linear_ssim", "linear_probe_accuracy"),
        *("linear_fd_samples", "linear_fd_reconstructions"),
    }
    # The noise, except for the share that the two codes reconstruct.
    np.testing.assert_allclose(measures["linear_mse"], NOISE**2 * 14 / 16, rtol=0.1)
    assert measures["linear_probe_accuracy"] > 0.85
    many = draw(1200)  # a VAE's likelihood is measured on the first 1,000
    found = linear_measures(TRAIN, VALIDATION, many, 2, None)["linear_nll"]
    assert found == ProbabilisticPCA(TRAIN[0], 2).nll(many[0][:1000])
    assert 0 < measures["linear_fd_reconstructions"] < measures["linear_fd_samples"] + 0.01


def test_measures_that_do_not_apply_are_left_out():
    splits = [(images, None) for images, _ in (TRAIN, VALIDATION, TEST)]
    measures = linear_measures(*splits, 2, judge=None)
    assert set(measures) == {"linear_nll", "linear_mse", "linear_psnr", "linear_ssim"}
    assert linear_measures(*splits, 16, judge=None) == {}
    one_class = [(images, np.zeros(len(images), int)) for images, _ in splits]
    assert "linear_probe_accuracy" not in linear_measures(*one_class, 2, judge=None)


def test_a_latent_size_without_variance_for_the_noise_is_refused():
    dark = TRAIN[0].copy()
    dark[:, 0, :2] = 7  # two of 16 pixels never vary
    for images, latent_dim in ((TRAIN[0], 16), (TRAIN[0][:10], 9), (dark, 14)):
        with pytest.raises(ValueError, match="leaves no variance for the noise"):
            ProbabilisticPCA(images, latent_dim)
        ProbabilisticPCA(images, latent_dim - 1)
