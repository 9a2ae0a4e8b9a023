import http.server
import os
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from vae_keras import sources


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """A data folder and a Keras home of the test's own, and no proxy."""
    (tmp_path / "keras").mkdir()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("VAE_KERAS_DATA", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path


@pytest.fixture
def silent_url():
    """A host that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/file"


@pytest.fixture
def status_url():
    """A server that answers with the status its URL names."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(int(self.path[1:]))
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def set_urls(monkeypatch, name, *urls):
    monkeypatch.setitem(sources.DATASETS[name], "urls", urls)


def grey_arrays(**changes):
    arrays = {
        "x_train": np.arange(20 * 784, dtype="uint32").astype("uint8").reshape(20, 28, 28),
        "y_train": np.arange(20, dtype="uint8") % 10,
        "x_test": np.ones((3, 28, 28), "uint8"),
        "y_test": np.array([[0], [9], [5]]),
    }
    arrays.update(changes)
    return {name: array for name, array in arrays.items() if array is not None}


@pytest.mark.parametrize("name", ["imagenet", "", None, ["mnist"], "../mnist"])
def test_unknown_names_are_refused_with_the_valid_ones(name):
    for function in (sources.find, sources.read_file):
        with pytest.raises(ValueError, match="of `dataset`: fashion_mnist, cifar10, mnist, svhn"):
            function(name)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "5", None])
def test_bad_timeouts_are_refused(timeout):
    with pytest.raises(ValueError, match="`timeout` must be a number of seconds"):
        sources.find("mnist", timeout)


def test_importing_and_finding_need_no_tensorflow():
    code = (
        "import sys; from vae_keras import sources; sources.find('digits');"
        "assert not {'tensorflow', 'keras', 'sklearn', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_file_wins_and_is_read_as_it_is(places):
    np.savez(places / "mnist.npz", **grey_arrays())
    np.savez_compressed(places / "fashion_mnist.npz", **grey_arrays())
    for name in ("mnist", "fashion_mnist"):
        assert sources.find(name) == "file"
        for array, values in grey_arrays().items():
            np.testing.assert_array_equal(sources.read_file(name)[array], values)


def test_a_file_may_have_a_channel_axis_and_may_replace_an_embedded_set(places):
    x = np.zeros((4, 8, 8, 1), "uint8", order="F")
    np.savez(places / "digits.npz", x_train=x, y_train=[1] * 4, x_test=x, y_test=[2] * 4)
    assert sources.find("digits") == "file"
    assert sources.read_file("digits")["x_train"].shape == (4, 8, 8, 1)


@pytest.mark.parametrize(
    ("changes", "trouble"),
    [
        ({"y_test": None}, "no array `y_test`"),
        ({"x_train": np.zeros((20, 28, 28))}, "`x_train` is float64"),
        ({"x_train": np.zeros((20, 32, 32), "uint8")}, r"`x_train` is uint8 of shape \(20, 32"),
        ({"x_train": np.zeros((20, 28, 28, 3), "uint8")}, "`x_train` is uint8 of shape"),
        ({"x_train": np.zeros((), "uint8")}, r"`x_train` is uint8 of shape \(\)"),
        ({"x_test": np.zeros((0, 28, 28), "uint8"), "y_test": np.zeros(0, int)}, "`x_test` is"),
        ({"y_train": np.zeros(20)}, "`y_train` is float64"),
        ({"y_train": np.zeros(19, int)}, r"`y_train` is int64 of shape \(19,\)"),
        ({"y_train": np.zeros((20, 10), int)}, r"`y_train` is int64 of shape \(20, 10\)"),
        ({"y_train": np.array([None] * 20)}, "`y_train` is object"),
    ],
)
def test_a_file_of_the_wrong_form_is_refused(places, changes, trouble):
    np.savez(places / "mnist.npz", **grey_arrays(**changes))
    for function in (sources.find, sources.read_file):
        with pytest.raises(ValueError, match=rf"mnist\.npz cannot be used.*{trouble}.*Expected"):
            function("mnist")


@pytest.mark.parametrize(("label", "found"), [(10, "from 0 to 10"), (-1, "from -1 to")])
def test_labels_without_a_class_are_refused(places, label, found):
    np.savez(places / "mnist.npz", **grey_arrays(y_test=np.array([0, 1, label])))
    with pytest.raises(ValueError, match=f"`y_test` goes {found}.*integers from 0 to 9"):
        sources.read_file("mnist")


@pytest.mark.parametrize("length", [0, 10, 1000, -1])
def test_a_truncated_file_is_refused(places, length):
    np.savez(places / "whole.npz", **grey_arrays())
    (places / "mnist.npz").write_bytes((places / "whole.npz").read_bytes()[:length])
    for function in (sources.find, sources.read_file):
        with pytest.raises(ValueError, match=r"mnist\.npz cannot be used"):
            function("mnist")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_file_with_a_changed_byte_is_refused(places, save):
    save(places / "mnist.npz", **grey_arrays())
    content = bytearray((places / "mnist.npz").read_bytes())
    content[400] ^= 255  # behind the header of the first array
    (places / "mnist.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"mnist\.npz cannot be used"):
        sources.read_file("mnist")


def test_a_folder_or_a_dangling_link_in_place_of_the_file_is_refused(places):
    (places / "mnist.npz").mkdir()
    os.symlink(places / "nowhere", places / "cifar10.npz")
    for name in ("mnist", "cifar10"):
        with pytest.raises(ValueError, match=rf"{name}\.npz cannot be used"):
            sources.find(name)


def test_a_data_folder_that_is_none_is_refused(places, monkeypatch):
    monkeypatch.setenv("VAE_KERAS_DATA", str(places / "nowhere"))
    for name in ("mnist", "digits"):
        with pytest.raises(ValueError, match="VAE_KERAS_DATA must be an existing folder.*nowhere"):
            sources.find(name)


def test_reading_without_a_file_is_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"mnist\.npz cannot be used.*No such file"):
        sources.read_file("mnist")
    monkeypatch.delenv("VAE_KERAS_DATA")
    with pytest.raises(ValueError, match=r"VAE_KERAS_DATA must be the folder of mnist\.npz"):
        sources.read_file("mnist")


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10", "mnist", "svhn"])
def test_only_a_complete_cache_counts(places, monkeypatch, silent_url, name):
    set_urls(monkeypatch, name, silent_url)
    for file in sources.DATASETS[name]["cached"]:
        monkeypatch.setitem(sources.DATASETS[name]["cached"], file, 7)
        path = places / "keras" / "datasets" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"7 bytes")
    assert sources.find(name) == "cache"
    path.write_bytes(b"half")
    with pytest.raises(FileNotFoundError, match="is damaged, 4 bytes instead of 7: delete it"):
        sources.find(name, 0.1)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=f"{path.name} is missing"):
        sources.find(name, 0.1)


def test_a_silent_host_does_not_hang_and_the_message_helps(places, monkeypatch, silent_url):
    set_urls(monkeypatch, "svhn", silent_url, silent_url.replace("127.0.0.1", "localhost"))
    start = time.monotonic()
    with pytest.raises(FileNotFoundError) as caught:
        sources.find("svhn", 0.5)
    assert time.monotonic() - start < 1.5
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        *("no svhn.npz in", str(places), "train_32x32.mat is missing", "127.0.0.1", "localhost"),
        *("put svhn.npz into a folder", "(num_images, 32, 32, 3)", "digits, photos", "x_train"),
    ):
        assert part in message


def test_a_hanging_name_service_does_not_hang(monkeypatch):
    over = threading.Event()

    def hang(*_, **__):
        over.wait(20)
        raise socket.gaierror("interrupted")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    start = time.monotonic()
    with pytest.raises(FileNotFoundError, match=r"googleapis\.com: no answer within 0\.3 seconds"):
        sources.find("fashion_mnist", 0.3)
    assert time.monotonic() - start < 1.3
    over.set()


def test_a_missing_name_and_a_refused_connection_are_told_apart(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror("no such host")

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    set_urls(monkeypatch, "mnist", f"http://127.0.0.1:{port}/mnist.npz")
    with pytest.raises(FileNotFoundError, match="refused"):
        sources.find("mnist")
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.delenv("VAE_KERAS_DATA")
    with pytest.raises(FileNotFoundError, match=r"VAE_KERAS_DATA \(not set\).*no such host"):
        sources.find("cifar10")


@pytest.mark.parametrize("status", [200, 405, 501])
def test_hosts_that_answer_are_the_network(monkeypatch, status_url, status):
    set_urls(monkeypatch, "mnist", f"{status_url}{status}")
    assert sources.find("mnist") == "network"


def test_one_silent_host_of_two_is_too_many(monkeypatch, status_url, silent_url):
    set_urls(monkeypatch, "svhn", f"{status_url}200", silent_url)
    with pytest.raises(FileNotFoundError, match="no answer within 0.3|timed out"):
        sources.find("svhn", 0.3)


@pytest.mark.parametrize("status", [403, 404, 503])
def test_hosts_that_refuse_are_not(monkeypatch, status_url, status):
    set_urls(monkeypatch, "mnist", f"{status_url}{status}")
    with pytest.raises(FileNotFoundError, match=f"HTTP status {status}"):
        sources.find("mnist")
