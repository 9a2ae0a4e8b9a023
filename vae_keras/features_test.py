import numpy as np
import pytest
from scipy.linalg import sqrtm

from vae_keras import features
from vae_keras.datasets import read_embedded

RNG = np.random.default_rng(0)


def test_distance_of_shifted_and_scaled_normals():
    # Means 3 apart in one dimension, deviations 1 and 2 in another: 9 + (2 - 1)**2.
    first = RNG.normal(size=(400_000, 3))
    second = RNG.normal(size=(400_000, 3)) * [1, 2, 1] + [3, 0, 0]
    np.testing.assert_allclose(features.frechet_distance(first, second), 10.0, rtol=0.01)


def test_distance_matches_the_root_of_the_product():
    mixing = RNG.normal(size=(2, 6, 6))
    first, second = (RNG.normal(size=(500, 6)) @ mix for mix in mixing)
    covariances = [np.cov(values, rowvar=False) for values in (first, second)]
    expected = np.square(first.mean(0) - second.mean(0)).sum()
    expected += np.trace(sum(covariances) - 2 * sqrtm(covariances[0] @ covariances[1]).real)
    np.testing.assert_allclose(features.frechet_distance(first, second), expected, rtol=1e-6)


def test_distance_of_a_set_to_itself_is_zero():
    values = RNG.normal(size=(200, 5))
    assert features.frechet_distance(values, values) < 1e-9


def test_features_that_never_vary_change_nothing():
    first, second = RNG.normal(size=(2, 300, 4)) @ RNG.normal(size=(4, 4))
    dead = np.zeros((300, 3))
    expected = features.frechet_distance(first, 2 * second)
    distance = features.frechet_distance(np.hstack([first, dead]), np.hstack([2 * second, dead]))
    np.testing.assert_allclose(distance, expected, rtol=1e-9)


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match="`other` must hold more images than features, 5"):
        features.frechet_distance(RNG.normal(size=(6, 5)), RNG.normal(size=(5, 5)))


def test_extractor_is_trained_once_and_tells_noise_from_images(tmp_path):
    digits = read_embedded("digits")
    path = tmp_path / "models" / "extractor_digits.keras"
    extractor = features.load_extractor(path, digits["x_train"], digits["y_train"])
    written = path.stat().st_mtime_ns
    again = features.load_extractor(path, digits["x_train"][:0], digits["y_train"][:0])
    assert path.stat().st_mtime_ns == written
    assert list(path.parent.iterdir()) == [path]
    test = features.extract(extractor, digits["x_test"])
    np.testing.assert_array_equal(features.extract(again, digits["x_test"]), test)
    assert test.shape == (360, features.NUM_FEATURES)
    train = features.extract(extractor, digits["x_train"][:360])
    noise = RNG.integers(0, 256, digits["x_test"].shape, dtype=np.uint8)
    near = features.frechet_distance(train, test)
    far = features.frechet_distance(features.extract(extractor, noise), test)
    assert far > 10 * near


def test_floats_are_the_images_that_uint8_show():
    digits = read_embedded("digits")
    extractor = features.keras.Sequential(
        [features.keras.Input((8, 8, 1), dtype="uint8"), features.layers.Flatten(dtype="float32")]
    )
    images = digits["x_test"][:5]
    np.testing.assert_array_equal(
        features.extract(extractor, images / 255), features.extract(extractor, images)
    )
