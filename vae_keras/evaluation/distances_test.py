import hashlib
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.linalg import sqrtm

from vae_keras.data import download
from vae_keras.evaluation import distances
from vae_keras.runtime import tf

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (120, 8, 8, 1), dtype=np.uint8)
LABELS = np.arange(120) % 3


def reference(features, other):
    """Computes the distance from the square root of the product of the covariances."""
    covariances = [np.cov(values, rowvar=False) for values in (features, other)]
    root = sqrtm(covariances[0] @ covariances[1]).real
    mean_distance = np.square(features.mean(axis=0) - other.mean(axis=0)).sum()
    return mean_distance + np.trace(sum(covariances) - 2 * root)


def test_distance_of_shifted_and_scaled_normals():
    # Means 3 apart in one dimension, deviations 1 and 2 in another: 9 + (2 - 1)**2.
    first = RNG.normal(size=(400_000, 3))
    second = RNG.normal(size=(400_000, 3)) * [1, 2, 1] + [3, 0, 0]
    np.testing.assert_allclose(distances.frechet_distance(first, second), 10.0, rtol=0.01)


def test_distance_matches_the_root_of_the_product():
    first, second = (RNG.normal(size=(500, 6)) @ mix for mix in RNG.normal(size=(2, 6, 6)))
    distance = distances.frechet_distance(first, second)
    np.testing.assert_allclose(distance, reference(first, second), rtol=1e-6)
    assert distances.frechet_distance(first, first) < 1e-9


def test_features_that_never_vary_change_nothing():
    first, second = RNG.normal(size=(2, 300, 4)) @ RNG.normal(size=(4, 4))
    dead = np.zeros((300, 3))
    distance = distances.frechet_distance(np.hstack([first, dead]), np.hstack([second, dead]))
    np.testing.assert_allclose(distance, distances.frechet_distance(first, second), rtol=1e-9)


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match="`other` must hold more images than features, 5"):
        distances.frechet_distance(RNG.normal(size=(6, 5)), RNG.normal(size=(5, 5)))


def test_floats_and_uint8_give_the_same_features():
    judge = keras.Sequential([keras.Input((8, 8, 1), dtype="uint8"), keras.layers.Flatten()])
    features = distances.extract(judge, IMAGES)
    np.testing.assert_array_equal(distances.extract(judge, IMAGES / np.float32(255)), features)
    np.testing.assert_array_equal(features, IMAGES.reshape(120, 64))


@pytest.fixture
def small_inception(web, monkeypatch, tmp_path):
    """Replaces Inception by 12 pooled pixels and FID by 100 images; a local server has the weights.

    Returns the list of requests that the server has answered.
    """
    (tmp_path / "keras").mkdir()
    (web.folder / "weights.h5").write_bytes(b"the weights")

    def build(weights, **_):
        assert Path(weights).read_bytes() == b"the weights"
        assert keras.config.dtype_policy().name == "float32"
        images = keras.Input((299, 299, 3))
        pooled = keras.layers.AveragePooling2D(149, strides=150)(images)
        return keras.Model(images, keras.layers.Flatten()(pooled))

    monkeypatch.setattr(keras.applications, "InceptionV3", build)
    monkeypatch.setattr(distances, "NUM_FID_IMAGES", 100)
    monkeypatch.setattr(distances, "NUM_INCEPTION_FEATURES", 12)
    monkeypatch.setattr(distances, "INCEPTION_MD5", hashlib.md5(b"the weights").hexdigest())
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("VAE_KERAS_FID", "1")
    monkeypatch.setattr(download, "RETRIES", 0)
    monkeypatch.setattr(distances, "INCEPTION_URL", f"{web.url}weights.h5")
    return web.requests


def test_fid_downloads_the_weights_once_in_float32(small_inception, small_vae, capsys):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        results = [distances.evaluate_fid(small_vae, (IMAGES, None))]
        assert "100%" in capsys.readouterr().err
        results.append(distances.evaluate_fid(small_vae, (IMAGES, None)))
    finally:
        keras.config.set_dtype_policy("float32")
    assert results[0].pop("fid") == results[1]["fid"] > 0
    assert results[0] == {"num_fid_images": 100, "num_fid_samples": 100}
    assert len(small_inception) == 1
    assert capsys.readouterr().err == ""


def test_fid_of_a_conditional_model_uses_the_test_labels(small_inception, build_vae):
    vae = build_vae(num_classes=3)
    given = []
    vae.decode = lambda z, labels: given.append(labels) or tf.zeros((len(z), 8, 8, 1))
    distances.evaluate_fid(vae, (IMAGES[:40], LABELS[:40]))
    np.testing.assert_array_equal(given[0], np.resize(LABELS[:40], 100))


@pytest.mark.parametrize("channels", [1, 3])
def test_inception_gets_large_colour_images_around_zero(channels):
    images = RNG.integers(0, 256, (3, 8, 8, channels), dtype=np.uint8)
    seen = []
    distances._inception_features(lambda x, training: seen.append(x) or x[:, 0, 0], images / 255)
    assert seen[0].shape == (3, 299, 299, 3)
    corner = images[:, 0, 0] / 127.5 - 1  # enlarging keeps the corner pixel
    np.testing.assert_allclose(seen[0][:, 0, 0], np.broadcast_to(corner, (3, 3)), atol=1e-5)


@pytest.mark.parametrize("setting", [None, "", "0"])
def test_fid_is_off_without_a_gpu_or_a_request(monkeypatch, capsys, setting):
    devices = []
    monkeypatch.setattr(distances.tf.config, "list_physical_devices", lambda kind: devices)
    if setting is None:
        monkeypatch.delenv("VAE_KERAS_FID", raising=False)
    else:
        monkeypatch.setenv("VAE_KERAS_FID", setting)
    assert distances.evaluate_fid(None, (IMAGES, LABELS)) == {}
    assert capsys.readouterr().err == ""
    devices.append("GPU:0")
    assert distances.evaluate_fid(None, (IMAGES[:2], LABELS[:2])) == {}
    assert ("needs more than" in capsys.readouterr().err) == (setting != "0")


def test_one_line_says_why_there_is_no_fid(small_inception, monkeypatch, capsys):
    assert distances.evaluate_fid(None, (IMAGES[:12], LABELS[:12])) == {}
    monkeypatch.setattr(distances, "INCEPTION_MD5", "0" * 32)
    assert distances.evaluate_fid(None, (IMAGES, LABELS)) == {}
    monkeypatch.setattr(distances, "INCEPTION_URL", "http://127.0.0.1:9/other.h5")
    assert distances.evaluate_fid(None, (IMAGES, LABELS)) == {}
    shown = capsys.readouterr().err.splitlines()
    lines = [line for line in shown if line.startswith("FID is not computed: ")]
    assert len(lines) == 3
    assert lines[0].endswith("it needs more than 12 test images. Received: 12")
    assert "does not match" in lines[1] and "refused" in lines[2]
