import hashlib
import http.server
import socket
import threading
import time

import keras
import numpy as np
import pytest
from scipy.linalg import sqrtm

from vae_keras import data, fid
from vae_keras.vae import VAE

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (120, 8, 8, 1), dtype=np.uint8)
LABELS = np.arange(120) % 3
WEIGHTS = b"the weights"


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """A Keras home and an environment of the test's own, few images, and no network."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("VAE_KERAS_FID", raising=False)
    monkeypatch.setattr(fid, "WEIGHTS_URL", "http://127.0.0.1:9/weights.h5")
    monkeypatch.setattr(fid, "WEIGHTS_MD5", hashlib.md5(WEIGHTS).hexdigest())
    monkeypatch.setattr(fid, "NUM_IMAGES", 100)
    monkeypatch.setattr(fid, "NUM_FEATURES", 12)
    return tmp_path / "keras" / "models"


@pytest.fixture
def built(monkeypatch):
    """A network of three layers in place of InceptionV3; what it is built with."""
    calls = []

    def build(**settings):
        calls.append({**settings, "policy": keras.config.dtype_policy().name})
        return stub()

    monkeypatch.setattr(keras.applications, "InceptionV3", build)
    return calls


@pytest.fixture
def server(monkeypatch):
    """Serves the weights, slowly; yields the requests it has answered."""
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            requests.append(self.command)
            self.send_response(200)
            self.send_header("Content-Length", str(len(WEIGHTS)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(WEIGHTS[:4])
                time.sleep(0.3)
                self.wfile.write(WEIGHTS[4:])

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *_: None  # a client that gives up is none
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/weights.h5"
        monkeypatch.setattr(fid, "WEIGHTS_URL", address)
        yield requests
        server.shutdown()


def stub(shape=(None, None, 3)):
    images = keras.Input(shape)
    corners = keras.layers.AveragePooling2D(149, strides=150)(images)
    return keras.Model(images, keras.layers.Flatten()(corners))


def model(num_classes=0):
    return VAE((8, 8, 1), 2, architecture="mlp", num_classes=num_classes)


def refuse(*_, **__):
    raise AssertionError("not to be asked for")


@pytest.mark.parametrize(("wish", "gpus"), [(None, []), ("", []), ("0", []), ("0", ["a GPU"])])
def test_nothing_is_loaded_unless_asked_for(monkeypatch, capsys, wish, gpus):
    monkeypatch.setattr(fid.tf.config, "list_physical_devices", lambda _: gpus)
    monkeypatch.setattr(fid, "load_inception", refuse)
    if wish is not None:
        monkeypatch.setenv("VAE_KERAS_FID", wish)
    assert fid.evaluate_fid(None, (IMAGES, LABELS)) == {}
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("wish", "gpus"), [("1", []), ("1", ["a GPU"]), (None, ["a GPU"])])
def test_it_is_computed_on_request_and_on_gpus(monkeypatch, capsys, wish, gpus):
    monkeypatch.setattr(fid.tf.config, "list_physical_devices", lambda _: gpus)
    monkeypatch.setattr(fid, "load_inception", lambda: stub((299, 299, 3)))
    if wish is not None:
        monkeypatch.setenv("VAE_KERAS_FID", wish)
    vae = model()
    noise = np.array(vae.sampler.seed_generator.state)
    results = fid.evaluate_fid(vae, (IMAGES, LABELS))
    assert results.pop("fid") > 0
    assert results == {"num_fid_images": 100, "num_fid_samples": 100}
    np.testing.assert_array_equal(vae.sampler.seed_generator.state, noise)
    assert capsys.readouterr().err == ""


def test_another_wish_is_named_and_does_not_end_the_run(monkeypatch, capsys):
    monkeypatch.setenv("VAE_KERAS_FID", "yes")
    monkeypatch.setattr(fid, "load_inception", refuse)
    assert fid.evaluate_fid(None, (IMAGES, LABELS)) == {}
    assert capsys.readouterr().err.endswith("must be 0 or 1, or not set. Received: 'yes'\n")


def test_too_few_images_are_no_error_and_load_nothing(monkeypatch, capsys):
    monkeypatch.setenv("VAE_KERAS_FID", "1")
    monkeypatch.setattr(fid, "load_inception", refuse)
    assert fid.evaluate_fid(None, (IMAGES[:12], LABELS[:12])) == {}
    expected = "FID is not computed: it takes more than 12 test images, and there are 12\n"
    assert capsys.readouterr().err == expected


def test_samples_of_a_conditional_model_have_the_labels_of_the_test_images(monkeypatch):
    monkeypatch.setenv("VAE_KERAS_FID", "1")
    monkeypatch.setattr(fid, "load_inception", lambda: None)
    assert fid.evaluate_fid(None, (IMAGES, LABELS)) == {}
    monkeypatch.setattr(fid, "load_inception", stub)
    monkeypatch.setattr(fid, "fid", lambda inception, samples, images: (samples, images))
    vae = model(num_classes=3)
    samples, images = fid.evaluate_fid(vae, (IMAGES[:40], LABELS[:40]))["fid"]
    codes = np.random.default_rng(0).standard_normal((100, 2), "float32")
    expected = vae.decode(codes, np.concatenate([LABELS[:40], LABELS[:40], LABELS[:20]]))
    np.testing.assert_allclose(samples, expected, atol=1e-6)
    np.testing.assert_array_equal(images, IMAGES[:40])


@pytest.mark.parametrize("channels", [1, 3])
def test_the_network_gets_large_colour_images_around_zero(channels):
    seen = []

    def inception(batch, training):
        assert training is False
        seen.append((batch.shape, batch.dtype))
        batch = fid.tf.tensordot(batch[:, ::150, ::150], [1.0, 2.0, 4.0], 1)  # four of the pixels
        return fid.tf.reshape(batch, (-1, 4))

    images = RNG.integers(0, 256, (101, 6, 4, channels), dtype=np.uint8)
    distance = fid.fid(inception, images, images[:70] / 255)
    assert seen == [((None, 299, 299, 3), "float32")]
    rows, columns = (np.arange(0, 299, 150) + 0.5) * 6 / 299, (np.arange(0, 299, 150) + 0.5) / 74.75
    scaled = (images / 127.5 - 1) @ ([[1, 2, 4]] if channels == 3 else [[7]])[0]
    scaled = interpolate(interpolate(scaled, rows, axis=1), columns, axis=2).reshape(101, 4)
    np.testing.assert_allclose(distance, reference(scaled, scaled[:70]), rtol=1e-3)


def test_weights_of_a_host_that_does_not_answer_are_given_up_within_seconds(
    monkeypatch, capsys, built
):
    monkeypatch.setenv("VAE_KERAS_FID", "1")
    monkeypatch.setattr(fid, "PROBE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(fid, "WEIGHTS_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/w.h5")
        start = time.monotonic()
        assert fid.evaluate_fid(None, (IMAGES, LABELS)) == {}
        assert time.monotonic() - start < 2
    message = capsys.readouterr().err
    assert message.startswith("FID is not computed: no weights of InceptionV3: 127.0.0.1:")
    assert message.count("\n") == 1 and built == []


def test_a_download_that_stalls_or_is_damaged_is_given_up(monkeypatch, capsys, built, server):
    monkeypatch.setattr(data, "STALL_SECONDS", 0.1)
    assert fid.load_inception() is None
    monkeypatch.setattr(data, "STALL_SECONDS", 5)
    monkeypatch.setattr(fid, "WEIGHTS_MD5", "0" * 32)
    assert fid.load_inception() is None
    messages = capsys.readouterr().err.splitlines()
    assert len(messages) == 2 and built == []
    assert "timed out" in messages[0] and "Incomplete or corrupted" in messages[1]


def test_weights_are_downloaded_once_and_replace_a_damaged_file(places, capsys, built, server):
    places.mkdir(parents=True)
    (places / "weights.h5").write_bytes(WEIGHTS[:5])
    jobs = [threading.Thread(target=fid._fetch_weights) for _ in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert sorted(server) == ["GET", "HEAD", "HEAD", "HEAD"]
    assert (places / "weights.h5").read_bytes() == WEIGHTS
    server.clear()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert fid.load_inception() is not None
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    weights = str(places / "weights.h5")
    expected = dict(include_top=False, weights=weights, pooling="avg", policy="float32")
    assert server == [] and built == [expected]
    assert capsys.readouterr() == ("", "")


def test_the_real_network_has_2048_features(monkeypatch):
    monkeypatch.setattr(fid, "_fetch_weights", lambda: None)  # random ones
    inception = fid.load_inception()
    assert inception.output_shape == (None, 2048)
    images = RNG.integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    monkeypatch.setattr(fid, "frechet_distance", lambda *features: features)
    features, other = fid.fid(inception, images, images[:2] / 255)
    assert (features.shape, features.dtype) == ((3, 2048), "float32")
    np.testing.assert_allclose(other, features[:2], rtol=1e-4, atol=1e-6)
    assert np.ptp(features) > 0


def interpolate(values, positions, axis):
    """Bilinear interpolation along one axis; pixel `k` has its centre at `k + 0.5`."""
    size = values.shape[axis]
    below = np.floor(positions - 0.5).astype(int)
    shape = [-1 if number == axis else 1 for number in range(values.ndim)]
    share = (positions - 0.5 - below).reshape(shape)
    first, second = (np.clip(below + step, 0, size - 1) for step in (0, 1))
    return (1 - share) * values.take(first, axis) + share * values.take(second, axis)


def reference(features, other):
    """The distance by the root of the product of the covariances."""
    covariances = [np.cov(values, rowvar=False) for values in (features, other)]
    root = sqrtm(covariances[0] @ covariances[1]).real
    mean_distance = np.square(features.mean(axis=0) - other.mean(axis=0)).sum()
    return mean_distance + np.trace(sum(covariances) - 2 * root)
