import functools
import hashlib
import http.server
import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.io

from vae_keras.data.catalogue import DATASETS
from vae_keras.data.load import _read, class_names, load_images, main


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """A Keras home of the test's own, no data folder, no proxy, nothing remembered."""
    (tmp_path / "keras").mkdir()
    # Keras reads KERAS_HOME once, while it is imported.
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path / "keras"))
    monkeypatch.delenv("VAE_KERAS_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    _read.cache_clear()
    yield tmp_path
    _read.cache_clear()


@pytest.fixture
def svhn(places, monkeypatch):
    """Small SVHN files in the official format, served on the loopback address."""
    folder = places / "served"
    folder.mkdir()
    random = np.random.default_rng(0)
    matrices = {
        file: {
            "X": random.integers(0, 256, (32, 32, 3, number), dtype="uint8"),
            "y": (np.arange(number, dtype="uint8") % 10 + 1).reshape(-1, 1),
        }
        for file, number in (("train_32x32.mat", 40), ("test_32x32.mat", 12))
    }
    for file, content in matrices.items():
        scipy.io.savemat(folder / file, content, do_compression=True)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        urls = [f"http://127.0.0.1:{server.server_port}/{file}" for file in matrices]
        contents = [(folder / file).read_bytes() for file in matrices]
        monkeypatch.setitem(DATASETS["svhn"], "urls", tuple(urls))
        sums = tuple(hashlib.md5(content).hexdigest() for content in contents)
        monkeypatch.setitem(DATASETS["svhn"], "md5", sums)
        yield matrices
        server.shutdown()


def write_mnist(folder, num_train=100, num_test=7):
    """Each image is filled with its own number, so that it can be recognised."""
    folder.mkdir(exist_ok=True)
    arrays = {}
    for part, number in (("train", num_train), ("test", num_test)):
        numbers = np.arange(number, dtype="uint8")
        arrays[f"x_{part}"] = numbers[:, None, None] + np.zeros((28, 28), "uint8")
        arrays[f"y_{part}"] = numbers[:, None] % 10
    np.savez(folder / "mnist.npz", **arrays)
    return str(folder)


def test_splits_come_in_file_order_and_do_not_overlap(places, monkeypatch):
    monkeypatch.setenv("VAE_KERAS_DATA", write_mnist(places / "data"))
    expected = {"train": range(90), "validation": range(90, 100), "test": range(7)}
    for split, numbers in expected.items():
        images, labels = load_images("mnist", split)
        assert images.dtype == np.uint8 and labels.dtype == np.int64
        assert images.shape == (len(numbers), 28, 28, 1)
        assert images[:, 5, 9, 0].tolist() == list(numbers)
        assert labels.tolist() == [number % 10 for number in numbers]


def test_validation_is_at_most_5000_images(places, monkeypatch):
    x, y = np.zeros((60000, 8, 8), "uint8"), np.zeros(60000, int)
    np.savez(places / "digits.npz", x_train=x, y_train=y, x_test=x[:1], y_test=y[:1])
    monkeypatch.setenv("VAE_KERAS_DATA", str(places))
    assert len(load_images("digits", "train")[0]) == 55000
    assert len(load_images("digits", "validation")[0]) == 5000


def test_embedded_sets_need_nothing():
    shapes = {
        ("digits", "train"): (1294, 8, 8, 1),
        ("digits", "validation"): (143, 8, 8, 1),
        ("digits", "test"): (360, 8, 8, 1),
        ("photos", "train"): (5200, 32, 32, 3),
        ("photos", "validation"): (577, 32, 32, 3),
        ("photos", "test"): (900, 32, 32, 3),
    }
    for (name, split), shape in shapes.items():
        images, labels = load_images(name, split)
        assert images.shape == shape
        assert set(labels) == set(range(len(class_names(name))))


def test_embedded_sets_and_files_need_no_tensorflow(places):
    write_mnist(places / "data")
    code = (
        "import sys; from vae_keras.data.load import load_images; load_images('digits', 'test');"
        "load_images('mnist', 'test');"
        "sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    environment = {"VAE_KERAS_DATA": str(places / "data"), "PATH": ""}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


@pytest.mark.parametrize(("fraction", "number"), [(1, 90), (0.5, 45), (0.1, 9), (1e-9, 1)])
def test_fraction_takes_the_first_images(places, monkeypatch, fraction, number):
    monkeypatch.setenv("VAE_KERAS_DATA", write_mnist(places / "data"))
    images, labels = load_images("mnist", "train", fraction)
    assert images[:, 0, 0, 0].tolist() == list(range(number))
    assert len(labels) == number


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("digits", "train", 0), "`fraction` must be above 0"),
        (("digits", "train", float("nan")), "`fraction` must be above 0"),
        (("digits", "valid"), "`split` must be one of train, validation, test"),
        (("imagenet", "train"), "`name` must be one of fashion_mnist"),
        (("../mnist", "train"), "`name` must be one of fashion_mnist"),
        (("folder:/no/such/folder", "train"), "must be followed by an existing folder"),
        (("/no/such/file.npz", "train"), "cannot be used.*No such file"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        load_images(*arguments)


def test_a_validation_split_of_nothing_is_refused(places, monkeypatch):
    monkeypatch.setenv("VAE_KERAS_DATA", write_mnist(places / "data", num_train=9))
    assert len(load_images("mnist", "train")[0]) == 9
    with pytest.raises(ValueError, match="validation split.*at least 10"):
        load_images("mnist", "validation")


def test_splits_share_one_read_only_array(places, monkeypatch):
    monkeypatch.setenv("VAE_KERAS_DATA", write_mnist(places / "data"))
    images, _ = load_images("mnist", "train")
    assert np.shares_memory(images, load_images("mnist", "train", 0.5)[0])
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 1
    monkeypatch.setenv("VAE_KERAS_DATA", write_mnist(places / "other", num_train=20))
    assert len(load_images("mnist", "train")[0]) == 18


def test_a_dead_network_is_one_clear_error(monkeypatch):
    def unreachable(*_, **__):
        raise OSError("Network is unreachable")

    monkeypatch.setattr("socket.getaddrinfo", unreachable)
    for name in ("fashion_mnist", "cifar10", "mnist", "svhn"):
        with pytest.raises(FileNotFoundError, match="Network is unreachable.*need no net") as error:
            load_images(name, "train")
        assert "\n" not in str(error.value)


def test_svhn_is_downloaded_once_and_converted(svhn, monkeypatch, capsys):
    train, test = (svhn[f"{part}_32x32.mat"] for part in ("train", "test"))
    images, labels = load_images("svhn", "test")
    np.testing.assert_array_equal(images[7], test["X"][:, :, :, 7])
    assert labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    images, _ = load_images("svhn", "validation")
    np.testing.assert_array_equal(images[-1], train["X"][:, :, :, -1])
    assert capsys.readouterr().out == ""
    _read.cache_clear()
    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", None)
    assert len(load_images("svhn", "train")[0]) == 36


def test_svhn_of_a_wrong_checksum_is_one_clear_error(svhn, monkeypatch):
    monkeypatch.setitem(DATASETS["svhn"], "md5", ("0" * 32, "1" * 32))
    with pytest.raises(FileNotFoundError, match="http://127.*hash does not match.*delete"):
        load_images("svhn", "train")


def test_the_command_says_where_sets_come_from(svhn, capsys):
    assert main(["digits", "svhn"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "digits: 1437 training and 360 test images from scikit-learn",
        "svhn: 40 training and 12 test images from Keras's cache",
    ]


def test_the_command_ends_with_one_line_on_errors(monkeypatch, capsys):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [])
    for name in ("nonsense", "mnist"):
        assert main([name]) == 1
        captured = capsys.readouterr()
        assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
