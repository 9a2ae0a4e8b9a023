import gzip
import hashlib
import io
import pickle
import socket
import struct
import tarfile
import threading
import time

import numpy as np
import pytest
import scipy.io

from vae_keras.data import download, load
from vae_keras.data.catalogue import DATASETS
from vae_keras.data.load import load_images

pytestmark = pytest.mark.faults

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """Empty caches, no data folder, no proxy, no retries."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("VAE_KERAS_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "RETRIES", 0)
    load._read.cache_clear()
    yield tmp_path
    load._read.cache_clear()


@pytest.fixture
def serve(web, places, monkeypatch):
    """Serves files on the loopback address in place of a data set's own; counts the requests."""

    def start(name, *contents):
        files = []
        for (url, _, place), content in zip(DATASETS[name]["files"], contents, strict=True):
            file = url.rpartition("/")[2]
            (web.folder / file).write_bytes(content)
            files.append((web.url + file, f"md5:{hashlib.md5(content).hexdigest()}", place))
        monkeypatch.setitem(DATASETS[name], "files", tuple(files))
        return web.requests

    return start


def cached(places):
    files = (path for path in (places / "keras").rglob("*") if path.is_file())
    return [path for path in files if path.suffix != ".lock"]


def matrices(number):
    """An official SVHN file."""
    content, file = RNG.integers(0, 256, (32, 32, 3, number), dtype="uint8"), io.BytesIO()
    labels = (np.arange(number, dtype="uint8") % 10 + 1).reshape(-1, 1)
    scipy.io.savemat(file, {"X": content, "y": labels}, do_compression=True)
    return content, file.getvalue()


def test_svhn_is_downloaded_once_and_converted(serve, places, capsys):
    (_, train), (content, test) = matrices(40), matrices(12)
    requests = serve("svhn", train, test)
    images, labels = load_images("svhn", "test")
    np.testing.assert_array_equal(images[7], content[:, :, :, 7])
    assert labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    assert load_images("svhn", "train")[0].shape == (36, 32, 32, 3)
    captured = capsys.readouterr()
    assert captured.out == "" and "100%" in captured.err
    load._read.cache_clear()
    assert len(load_images("svhn", "train")[0]) == 36
    assert len(requests) == 2 and len(cached(places)) == 2


def test_a_complete_cache_may_be_read_only(serve, places, monkeypatch):
    requests = serve("svhn", matrices(40)[1], matrices(12)[1])
    load_images("svhn", "train")
    load._read.cache_clear()

    def refuse(*_):
        raise PermissionError("a read-only folder")

    monkeypatch.setattr(download, "FileLock", refuse)  # root may write everywhere
    assert len(load_images("svhn", "train")[0]) == 36 and len(requests) == 2


def test_fashion_mnist_is_read_from_its_four_files(serve):
    images = RNG.integers(0, 256, (30, 28, 28), dtype="uint8")
    labels = np.arange(30, dtype="uint8") % 10
    files = [
        gzip.compress(struct.pack(form, *values) + array.tobytes())
        for array in (labels, images)
        for form, values in [(f">{array.ndim + 1}i", (array.ndim, *array.shape))]
    ]
    serve("fashion_mnist", *files, *files)
    for split in ("train", "test"):
        read, numbers = load_images("fashion_mnist", split)
        np.testing.assert_array_equal(read[..., 0], images[: len(read)])
        np.testing.assert_array_equal(numbers, labels[: len(read)])


def test_cifar10_is_read_from_its_batches(serve):
    images, file = RNG.integers(0, 256, (60, 3, 32, 32), dtype="uint8"), io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as files:
        for part, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
            chosen = slice(10 * part, 10 * part + 10)
            batch = {b"data": images[chosen].reshape(10, -1), b"labels": [part] * 10}
            content = pickle.dumps(batch)
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            files.addfile(info, io.BytesIO(content))
    serve("cifar10", file.getvalue())
    read, labels = load_images("cifar10", "train")
    np.testing.assert_array_equal(read, images[:45].transpose(0, 2, 3, 1))
    assert labels.tolist() == sum([[part] * 10 for part in range(5)], [])[:45]
    read, labels = load_images("cifar10", "test")
    np.testing.assert_array_equal(read, images[50:].transpose(0, 2, 3, 1))
    assert set(labels) == {5}


def test_mnist_is_read_from_its_archive(serve):
    images, file = RNG.integers(0, 256, (20, 28, 28), dtype="uint8"), io.BytesIO()
    labels = np.arange(20) % 10
    np.savez(file, x_train=images, y_train=labels, x_test=images, y_test=labels)
    serve("mnist", file.getvalue())
    np.testing.assert_array_equal(load_images("mnist", "test")[0][..., 0], images)


def test_a_file_that_was_tampered_with_is_refused_and_nothing_stays(serve, places):
    serve("svhn", matrices(10)[1], matrices(10)[1])
    path = places / "server" / "train_32x32.mat"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(OSError, match="'svhn' is not available.*does not match the known hash"):
        load_images("svhn", "train")
    assert cached(places) == []


def test_a_damaged_file_in_the_cache_is_downloaded_again(serve, places):
    serve("svhn", matrices(10)[1], matrices(10)[1])
    load_images("svhn", "train")
    path = places / "keras" / "datasets" / "svhn" / "train_32x32.mat"
    content = path.read_bytes()
    path.write_bytes(content[:99])  # as Keras leaves it when it is killed
    load._read.cache_clear()
    load_images("svhn", "train")
    assert path.read_bytes() == content


@pytest.mark.parametrize("answer", ["nothing", "half of it", "a little at first"])
def test_a_download_that_stalls_or_breaks_off_fails(places, monkeypatch, answer):
    monkeypatch.setattr(download, "STALL_SECONDS", 0.3)
    monkeypatch.setattr(download, "RETRIES", 1)
    calls = []
    stop = threading.Event()

    def serve_badly(server):
        with server:
            while not stop.is_set():
                connection, _ = server.accept()
                calls.append(connection)
                if answer != "nothing":
                    connection.recv(1000)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nxxx")
                if answer == "half of it":
                    connection.close()

    server = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve_badly, args=(server,), daemon=True)
    thread.start()
    address = server.getsockname()
    file = (f"http://127.0.0.1:{address[1]}/a.mat", "md5:0", "datasets/svhn/a.mat")
    monkeypatch.setitem(DATASETS["svhn"], "files", (file, file))
    start = time.monotonic()
    with pytest.raises(OSError, match="'svhn' is not available.*(timed out|IncompleteRead)"):
        load_images("svhn", "train")
    assert len(calls) == 2 and time.monotonic() - start < 8
    assert cached(places) == []
    stop.set()
    socket.create_connection(address).close()
    thread.join()
    for connection in calls:
        connection.close()


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10", "mnist", "svhn"])
def test_without_a_network_the_error_says_what_to_do(monkeypatch, name):
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: (_ for _ in ()).throw(OSError("dead"))
    )
    with pytest.raises(OSError) as caught:
        load_images(name, "train")
    message = str(caught.value)
    assert "\n" not in message
    for part in ("dead", f"Put {name}.npz into a folder", "x_train", "no network: digits, photos"):
        assert part in message


def test_without_a_home_the_cache_is_among_the_temporary_files(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "none"))
    assert download.cache_folder().parent == download.Path(download.tempfile.gettempdir())
    monkeypatch.setenv("HOME", str(tmp_path))
    assert download.cache_folder() == tmp_path / ".keras"
