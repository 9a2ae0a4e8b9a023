import keras
import numpy as np
import pytest

from vae_keras import evaluation
from vae_keras.vae import VAE

SHAPE = (8, 8, 1)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (600, *SHAPE), dtype=np.uint8)  # two batches and a short one
LABELS = np.arange(600) % 3


@pytest.fixture(scope="module")
def vae():
    keras.utils.set_random_seed(0)
    vae = VAE(SHAPE, 3, architecture="mlp")
    vae.compile(optimizer="adam")
    vae.fit(IMAGES, verbose=0)
    posterior = vae.encoder.get_layer("z_log_var")
    posterior.kernel.assign(np.zeros((400, 3)))
    posterior.bias.assign(np.full(3, -60.0))  # so narrow that a draw is the mean
    return vae


def test_elbo_matches_numpy_and_does_not_depend_on_beta(vae):
    vae.kl_weight.assign(7.0)
    metrics = evaluation.evaluate(vae, (IMAGES, LABELS), (IMAGES[:100], LABELS[:100]))
    vae.kl_weight.assign(1.0)
    x, z = IMAGES / 255, np.asarray(vae.encode(IMAGES)[0], "float64")
    p = np.asarray(vae.decode(z), "float64")
    loss = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=(1, 2, 3))
    kl = 0.5 * (z**2 + 60.0 - 1).sum(axis=1)
    expected = {
        "elbo": -(loss + kl).mean(),
        "reconstruction_loss": loss.mean(),
        "kl_divergence": kl.mean(),
        "mse": ((x - p) ** 2).mean(),
        "psnr": (-10 * np.log10(((x - p) ** 2).mean(axis=(1, 2, 3)))).mean(),
        "train_elbo": -(loss + kl)[:100].mean(),
        "active_units": (z.var(axis=0) > 0.01).sum(),
        "num_test_images": 600,
        "num_parameters": (64 * 400 + 400) + 2 * (400 * 3 + 3) + (3 * 400 + 400) + (400 * 64 + 64),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-5, err_msg=name)
    floor = -(np.where((x > 0) & (x < 1), x, 1) * np.log(np.where(x > 0, x, 1)))
    floor -= (1 - x) * np.log(np.where(x < 1, 1 - x, 1))
    excess = (loss - floor.sum(axis=(1, 2, 3))).mean()
    np.testing.assert_allclose(metrics["excess"], excess, rtol=1e-5)


def test_excess_is_left_out_for_other_likelihoods():
    vae = VAE(SHAPE, 2, architecture="mlp", likelihood="mse")
    vae.compile(optimizer="adam")
    assert "excess" not in evaluation.evaluate(vae, (IMAGES, LABELS), (IMAGES, LABELS))


def test_conditional_models_are_evaluated_with_their_labels():
    vae = VAE(SHAPE, 2, architecture="mlp", num_classes=3)
    vae.compile(optimizer="adam")
    metrics = evaluation.evaluate(vae, (IMAGES, LABELS), (IMAGES, LABELS))
    assert np.isfinite(metrics["elbo"])
    assert not np.allclose(
        evaluation.encode(vae, IMAGES, LABELS)[0], evaluation.encode(vae, IMAGES, LABELS[::-1])[0]
    )


def test_batches_make_no_difference(vae):
    together = np.asarray(vae.reconstruct(IMAGES))
    np.testing.assert_allclose(evaluation.reconstruct(vae, IMAGES), together, atol=1e-6)
    for part, whole in zip(evaluation.encode(vae, IMAGES), vae.encode(IMAGES)):
        assert part.shape == (600, 3)
        np.testing.assert_allclose(part, whole, rtol=1e-4, atol=1e-5)


def test_quality_of_a_constant_error_worked_out_by_hand():
    images = np.full((5, 8, 8, 3), 51, np.uint8)  # 0.2
    quality = evaluation.image_quality(images, np.full(images.shape, 0.3, "float32"))
    np.testing.assert_allclose(quality["mse"], 0.01, rtol=1e-5)
    np.testing.assert_allclose(quality["psnr"], 20.0, rtol=1e-5)
    # Without variance only the luminance counts: (2 * 0.2 * 0.3 + c1) / (0.04 + 0.09 + c1).
    np.testing.assert_allclose(quality["ssim"], 0.1201 / 0.1301, rtol=1e-4)


def ssim_reference(x, y, window):
    """SSIM of two grey images by its definition, loops and all."""
    offsets = np.arange(window) - (window - 1) / 2
    weights = np.exp(-(offsets**2) / (2 * 1.5**2))
    weights = np.outer(weights, weights) / weights.sum() ** 2
    values = []
    for row in range(x.shape[0] - window + 1):
        for column in range(x.shape[1] - window + 1):
            a = x[row : row + window, column : column + window]
            b = y[row : row + window, column : column + window]
            mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
            var_a = (weights * a**2).sum() - mean_a**2
            var_b = (weights * b**2).sum() - mean_b**2
            covariance = (weights * a * b).sum() - mean_a * mean_b
            luminance = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
            values.append(luminance * (2 * covariance + 0.03**2) / (var_a + var_b + 0.03**2))
    return np.mean(values)


@pytest.mark.parametrize("size, window", [(8, 7), (12, 11), (28, 11), (4, 3)])
def test_ssim_matches_its_definition_and_fits_small_images(size, window):
    images = RNG.integers(0, 256, (1, size, size, 1), dtype=np.uint8)
    other = np.clip(images / 255 + RNG.normal(0, 0.1, images.shape), 0, 1).astype("float32")
    expected = ssim_reference(images[0, ..., 0] / 255, other[0, ..., 0].astype("float64"), window)
    np.testing.assert_allclose(
        evaluation.image_quality(images, other)["ssim"], expected, rtol=1e-3, atol=1e-5
    )


def test_identical_images_are_perfect():
    quality = evaluation.image_quality(IMAGES, (IMAGES / 255).astype("float32"))
    assert quality["mse"] < 1e-12
    assert quality["psnr"] == 100.0
    np.testing.assert_allclose(quality["ssim"], 1.0, rtol=1e-5)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="`reconstructions` must have the shape of `images`"):
        evaluation.image_quality(IMAGES, np.zeros((600, 8, 8, 3), "float32"))


def test_active_units_counts_dimensions_above_the_threshold():
    z_mean = RNG.normal(size=(10_000, 4)) * [1.0, 0.11, 0.09, 0.0] + [0, 0, 5, 3]
    assert evaluation.active_units(z_mean) == 2


def test_planar_codes():
    z_mean = RNG.normal(size=(100, 5)) * [0.1, 3.0, 0.1, 1.0, 0.1]
    plane = evaluation.planar(z_mean, z_mean)
    assert plane.shape == (100, 2)
    assert abs(np.corrcoef(plane[:, 0], z_mean[:, 1])[0, 1]) > 0.99
    np.testing.assert_allclose(evaluation.planar(z_mean[:7], z_mean), plane[:7])
    np.testing.assert_array_equal(evaluation.planar(z_mean[:, :2], z_mean[:, :2]), z_mean[:, :2])
    np.testing.assert_array_equal(evaluation.planar(z_mean[:, :1], z_mean[:, :1])[:, 1], 0)


def test_entropy_of_black_white_and_grey():
    images = np.zeros((2, 2, 2, 1), np.uint8)
    images[0] = 255
    assert evaluation.grey_level_entropy(images) == 0
    images[0, 0, 0, 0] = 102  # 0.4 in one pixel of two images
    expected = -(0.4 * np.log(0.4) + 0.6 * np.log(0.6)) / 2
    np.testing.assert_allclose(evaluation.grey_level_entropy(images), expected)
