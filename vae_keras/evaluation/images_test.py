import numpy as np
import pytest
from scipy import ndimage

from vae_keras.evaluation import images as image_measures
from vae_keras.evaluation import reference_test

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (600, 8, 8, 1), dtype=np.uint8)  # two batches and a short one


def test_quality_of_a_constant_error_worked_out_by_hand():
    images = np.full((5, 8, 8, 3), 51, np.uint8)  # 0.2
    quality = image_measures.image_quality(images, np.full(images.shape, 0.3, "float32"))
    np.testing.assert_allclose(quality["mse"], 0.01, rtol=1e-5)
    np.testing.assert_allclose(quality["psnr"], 20.0, rtol=1e-5)
    # Without variance, only the luminance term remains: (2 * 0.2 * 0.3 + c1) / (0.04 + 0.09 + c1).
    np.testing.assert_allclose(quality["ssim"], 0.1201 / 0.1301, rtol=1e-4)


def test_pixel_variance_is_the_error_of_the_mean_image():
    unit = IMAGES / 255
    expected = np.square(unit - unit.mean(axis=0)).mean()
    np.testing.assert_allclose(image_measures.pixel_variance(IMAGES), expected)


def test_sharpness_against_scipy_and_by_hand():
    unit = IMAGES / 255
    blurred = ndimage.uniform_filter(unit, (0, 3, 3, 0)).astype("float32")
    variances = [
        reference_test.laplacian_variance(values) for values in (blurred.astype("float64"), unit)
    ]
    share = image_measures.sharpness(IMAGES, blurred)
    np.testing.assert_allclose(share, variances[0] / variances[1], rtol=1e-5)
    assert share < 0.2
    # Half the contrast has a quarter of the variance.
    half = image_measures.sharpness(IMAGES, (unit / 2).astype("float32"))
    np.testing.assert_allclose(half, 0.25, rtol=1e-5)


@pytest.mark.parametrize("size, window", [(8, 7), (12, 11), (28, 11), (4, 3)])
def test_ssim_matches_its_definition_and_fits_small_images(size, window):
    images = RNG.integers(0, 256, (1, size, size, 1), dtype=np.uint8)
    other = np.clip(images / 255 + RNG.normal(0, 0.1, images.shape), 0, 1).astype("float32")
    pixels = images[..., 0] / 255, other[..., 0].astype("float64")
    expected = reference_test.ssim(*pixels, window)
    np.testing.assert_allclose(
        image_measures.image_quality(images, other)["ssim"], expected, rtol=1e-3, atol=1e-5
    )


def test_identical_images_are_perfect():
    quality = image_measures.image_quality(IMAGES, (IMAGES / 255).astype("float32"))
    assert quality["mse"] < 1e-12
    assert quality["psnr"] == 100.0
    np.testing.assert_allclose(quality["ssim"], 1.0, rtol=1e-5)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="`reconstructions` must have the shape of `images`"):
        image_measures.image_quality(IMAGES, np.zeros((600, 8, 8, 3), "float32"))


def test_entropy_of_black_white_and_grey():
    images = np.zeros((2, 2, 2, 1), np.uint8)
    images[0] = 255
    assert image_measures.grey_level_entropy(images) == 0
    images[0, 0, 0, 0] = 102  # one pixel of 0.4 in two images
    expected = -(0.4 * np.log(0.4) + 0.6 * np.log(0.6)) / 2
    np.testing.assert_allclose(image_measures.grey_level_entropy(images), expected)
