import functools
import gzip
import hashlib
import http.server
import os
import socket
import threading
import time

import keras
import numpy as np
import pytest
import scipy.io

from vae_keras import sources
from vae_keras.data import _read, image_batches, load_images, main
from vae_keras.datasets import DATASETS


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """A Keras home of the test's own, no data folder, no proxy, nothing remembered."""
    (tmp_path / "keras").mkdir()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    # Keras reads the variable once, while it is imported.
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
        entry = DATASETS["svhn"]
        urls = [f"http://127.0.0.1:{server.server_port}/{file}" for file in matrices]
        contents = [(folder / file).read_bytes() for file in matrices]
        monkeypatch.setitem(entry, "urls", tuple(urls))
        monkeypatch.setitem(entry, "md5", tuple(hashlib.md5(c).hexdigest() for c in contents))
        cached = {f"svhn/{file}": len(c) for file, c in zip(matrices, contents, strict=True)}
        monkeypatch.setitem(entry, "cached", cached)
        yield matrices
        server.shutdown()


def write_mnist(folder, num_train=100, num_test=7):
    """Each image is filled with its own number, so that it can be recognised."""
    folder.mkdir(exist_ok=True)
    arrays = {}
    for part, number in (("train", num_train), ("test", num_test)):
        arrays[f"x_{part}"] = np.arange(number, dtype="uint8")[:, None, None] + np.zeros(
            (28, 28), "uint8"
        )
        arrays[f"y_{part}"] = np.arange(number, dtype="uint8")[:, None] % 10
    np.savez(folder / "mnist.npz", **arrays)
    return str(folder)


def cache_fashion_mnist(home, monkeypatch):
    """Small Fashion-MNIST files, in the official format, where Keras looks for them."""
    folder = home / "datasets" / "fashion-mnist"
    folder.mkdir(parents=True)
    for part, number in (("train", 30), ("t10k", 5)):
        labels = bytes(8) + bytes(index % 10 for index in range(number))
        images = bytes(16) + bytes(index for index in range(number) for _ in range(784))
        for file, content in (("labels-idx1", labels), ("images-idx3", images)):
            path = folder / f"{part}-{file}-ubyte.gz"
            path.write_bytes(gzip.compress(content))
            cached = DATASETS["fashion_mnist"]["cached"]
            monkeypatch.setitem(cached, f"fashion-mnist/{path.name}", path.stat().st_size)
    return folder


def numbers_of(batches):
    return [int(image[0, 0, 0]) for batch in batches for image in np.asarray(batch)]


def test_splits_come_in_file_order_and_do_not_overlap(places, monkeypatch):
    monkeypatch.setenv("VAE_KERAS_DATA", write_mnist(places / "data"))
    splits = {split: load_images("mnist", split) for split in ("train", "validation", "test")}
    for split, numbers in (
        *(("train", range(90)), ("validation", range(90, 100)), ("test", range(7))),
    ):
        images, labels = splits[split]
        assert images.dtype == np.uint8
        assert labels.dtype == np.int64
        assert images.shape == (len(numbers), 28, 28, 1)
        assert images[:, 5, 9, 0].tolist() == list(numbers)
        assert labels.tolist() == [number % 10 for number in numbers]


def test_validation_is_at_most_5000_images(places, monkeypatch):
    x = np.zeros((60000, 8, 8), "uint8")
    y = np.zeros(60000, int)
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
        assert labels.shape == shape[:1]
        assert set(labels) == set(range(len(DATASETS[name]["classes"])))


@pytest.mark.parametrize(
    ("fraction", "number"), [(1, 90), (0.5, 45), (0.1, 9), (1e-9, 1), (np.float32(0.5), 45)]
)
def test_fraction_takes_the_first_images(places, monkeypatch, fraction, number):
    monkeypatch.setenv("VAE_KERAS_DATA", write_mnist(places / "data"))
    images, labels = load_images("mnist", "train", fraction)
    assert images[:, 0, 0, 0].tolist() == list(range(number))
    assert len(labels) == number


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, float("nan"), True, "1", None])
def test_bad_fractions_are_refused(fraction):
    with pytest.raises(ValueError, match="`fraction` must be above 0 and at most 1. Received"):
        load_images("digits", "train", fraction)


@pytest.mark.parametrize("split", ["valid", "", None, ["train"]])
def test_bad_splits_are_refused(split):
    with pytest.raises(ValueError, match="Valid splits: train, validation, test"):
        load_images("digits", split)


def test_bad_names_are_refused():
    with pytest.raises(ValueError, match="Valid values of `dataset`: fashion_mnist"):
        load_images("imagenet", "train")


def test_a_validation_split_of_nothing_is_refused(places, monkeypatch):
    monkeypatch.setenv("VAE_KERAS_DATA", write_mnist(places / "data", num_train=9))
    assert len(load_images("mnist", "train")[0]) == 9
    with pytest.raises(ValueError, match="`validation` split.*at least 10"):
        load_images("mnist", "validation")


def test_a_second_split_is_not_read_again_but_another_folder_is(places, monkeypatch):
    monkeypatch.setenv("VAE_KERAS_DATA", write_mnist(places / "data"))
    images, _ = load_images("mnist", "train")
    assert np.shares_memory(images, load_images("mnist", "train", 0.5)[0])
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 1
    monkeypatch.setenv("VAE_KERAS_DATA", write_mnist(places / "other", num_train=20))
    assert len(load_images("mnist", "train")[0]) == 18


def test_a_damaged_file_is_not_passed_over(places, monkeypatch):
    cache_fashion_mnist(places / "keras", monkeypatch)
    (places / "fashion_mnist.npz").write_bytes(b"PK")
    monkeypatch.setenv("VAE_KERAS_DATA", str(places))
    with pytest.raises(ValueError, match=r"fashion_mnist\.npz cannot be used"):
        load_images("fashion_mnist", "train")


def test_the_cache_of_keras_is_used(places, monkeypatch, capsys):
    cache_fashion_mnist(places / "keras", monkeypatch)
    images, labels = load_images("fashion_mnist", "validation")
    assert images.shape == (3, 28, 28, 1)
    assert images[:, 0, 0, 0].tolist() == [27, 28, 29]
    assert labels.tolist() == [7, 8, 9]
    assert capsys.readouterr().out == ""


def test_a_damaged_cache_is_one_clear_error(places, monkeypatch):
    folder = cache_fashion_mnist(places / "keras", monkeypatch)
    path = folder / "t10k-images-idx3-ubyte.gz"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    with pytest.raises(OSError, match=f"could not be read from the cache.*delete.*{path}") as error:
        load_images("fashion_mnist", "test")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10", "mnist"])
def test_keras_keeps_its_files_where_sources_looks_for_them(monkeypatch, name):
    asked = []

    def urlretrieve(url, target, *_):
        asked.append((url, os.path.relpath(target, sources.keras_cache())))
        raise OSError("no network in tests")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", urlretrieve)
    with pytest.raises(OSError, match="no network in tests"):
        getattr(keras.datasets, name).load_data()
    entry = DATASETS[name]
    assert asked == [(entry["urls"][0], next(iter(entry["cached"])))]


def test_whatever_keras_raises_becomes_one_oserror(monkeypatch):
    def load_data():
        assert socket.getdefaulttimeout() == 60  # or a stalled download would hang
        raise Exception("URL fetch failure on\nhttps://example.org: None -- reset")

    monkeypatch.setattr(sources, "find", lambda name: "network")
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", load_data)
    with pytest.raises(OSError, match=r"URL fetch failure on https.*cifar-10-python\.tar\.gz.*put"):
        load_images("cifar10", "train")
    assert socket.getdefaulttimeout() is None


def test_a_dead_network_is_a_quick_error(monkeypatch):
    def unreachable(*_, **__):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    start = time.monotonic()
    for name in ("fashion_mnist", "cifar10", "mnist", "svhn"):
        with pytest.raises(FileNotFoundError, match="Network is unreachable.*Without a network"):
            load_images(name, "train")
    assert time.monotonic() - start < 5


def test_svhn_is_downloaded_once_and_converted(svhn, monkeypatch, capsys):
    train, test = (svhn[f"{part}_32x32.mat"] for part in ("train", "test"))
    images, labels = load_images("svhn", "test")
    assert images.shape == (12, 32, 32, 3)
    np.testing.assert_array_equal(images[7], test["X"][:, :, :, 7])
    assert labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    images, _ = load_images("svhn", "validation")
    np.testing.assert_array_equal(images[-1], train["X"][:, :, :, -1])
    assert capsys.readouterr().out == ""
    _read.cache_clear()
    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", None)
    assert sources.find("svhn") == "cache"
    assert len(load_images("svhn", "train")[0]) == 36


def test_svhn_of_a_wrong_checksum_is_one_clear_error(svhn, places, monkeypatch):
    monkeypatch.setitem(DATASETS["svhn"], "md5", ("0" * 32, "1" * 32))
    path = places / "keras" / "datasets" / "svhn" / "train_32x32.mat"
    with pytest.raises(OSError, match=f"hash does not match.*http://127.*delete.*{path}"):
        load_images("svhn", "train")


def test_svhn_that_is_no_matrix_is_one_clear_error(svhn, places, monkeypatch):
    path = places / "keras" / "datasets" / "svhn" / "train_32x32.mat"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no matrix")
    md5 = hashlib.md5(b"no matrix").hexdigest()
    monkeypatch.setitem(DATASETS["svhn"], "md5", (md5, md5))
    with pytest.raises(OSError, match=f"'svhn' could not be read.*delete.*{path}"):
        load_images("svhn", "train")


def test_main_names_the_place_and_the_counts(svhn, capsys):
    assert main(["digits", "svhn"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "digits: from embedded; images: 1294 train, 143 validation, 360 test",
        "svhn: from network; images: 36 train, 4 validation, 12 test",
    ]


def test_main_ends_with_one_line_on_errors(monkeypatch, capsys):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
    for names in (["digits", "nonsense"], ["mnist"]):
        assert main(names) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("error: ")
        assert captured.err.count("\n") == 1


def numbered(number):
    return np.arange(number, dtype="uint8")[:, None, None, None] + np.zeros((4, 6, 1), "uint8")


def test_batches_keep_order_type_and_the_short_last_one():
    batches = image_batches(numbered(10), batch_size=4)
    assert batches.cardinality() == 3
    assert batches.element_spec.shape.as_list() == [None, 4, 6, 1]
    assert [batch.shape[0] for batch in batches] == [4, 4, 2]
    assert all(batch.dtype == "uint8" for batch in batches)
    assert numbers_of(batches) == list(range(10))


def test_labels_travel_with_their_images():
    batches = image_batches(numbered(10), np.arange(10) * 3, batch_size=4, shuffle_seed=1)
    for images, labels in batches:
        np.testing.assert_array_equal(np.asarray(images)[:, 0, 0, 0] * 3, labels)
        assert labels.dtype == "int64"


def test_no_autotuning_thread_can_hold_up_the_end_of_an_epoch():
    assert image_batches(np.zeros((4, 2, 2, 1), np.uint8)).options().autotune.enabled is False


def test_shuffling_covers_the_set_anew_each_epoch_and_follows_the_seed():
    def epochs(seed):
        batches = image_batches(numbered(200), batch_size=32, shuffle_seed=seed)
        return [numbers_of(batches) for _ in range(3)]

    first = epochs(3)
    for order in first:
        assert sorted(order) == list(range(200))
        assert max(order[:20]) > 100  # the whole set, not a window of it
    assert first[0] != first[1] != first[2] != first[0]
    assert epochs(3) == first
    assert epochs(4) != first
    assert epochs(np.int64(3)) == first
    assert epochs(0)[0] != list(range(200))


@pytest.mark.parametrize(
    "images",
    [
        *(np.zeros((3, 4, 4, 1), "float32"), np.zeros((3, 4, 4, 1), bool)),
        *(np.zeros((3, 4, 4), "uint8"), np.zeros((0, 4, 4, 1), "uint8")),
    ],
)
def test_bad_images_are_refused(images):
    with pytest.raises(ValueError, match="`images` must be uint8.*at least one.*Received"):
        image_batches(images)


@pytest.mark.parametrize("labels", [np.zeros(9), np.zeros((10, 1)), 3])
def test_labels_of_another_length_are_refused(labels):
    with pytest.raises(ValueError, match=r"`labels` must have the shape \(10,\)"):
        image_batches(numbered(10), labels)


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True, None])
def test_bad_batch_sizes_are_refused(batch_size):
    with pytest.raises(ValueError, match="`batch_size` must be a whole number from 1. Received"):
        image_batches(numbered(10), batch_size=batch_size)


@pytest.mark.parametrize("seed", [1.5, True, "1"])
def test_bad_seeds_are_refused(seed):
    with pytest.raises(ValueError, match="`shuffle_seed` must be None or a whole number"):
        image_batches(numbered(10), shuffle_seed=seed)
