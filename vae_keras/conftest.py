"""Fixtures of all tests, and two logical CPU devices to test distribution without a GPU."""

from vae_keras.runtime import tf  # first: it hides TensorFlow's notices

import functools
import http.server
import socket
import threading
import types

import keras
import numpy as np
import pytest

from vae_keras.networks import build_networks
from vae_keras.vae import VAE

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Keeps tests from connecting to anything but this machine."""
    connect = socket.socket.connect

    def connect_here(self, address):
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"tests must not use the network. Received: {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_here)


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A server on the loopback address: its `folder`, `url` and list of `requests`."""
    folder, requests = tmp_path / "server", []
    folder.mkdir()
    monkeypatch.setenv("no_proxy", "*")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            requests.append(self.path)

    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        yield types.SimpleNamespace(folder=folder, url=url, requests=requests)
        server.shutdown()


@pytest.fixture(scope="session")
def mirrored():
    """A strategy over two devices. Two of them in one process would confuse their collectives."""
    devices = tf.config.list_logical_devices("CPU")[:2]
    if len(devices) < 2:
        pytest.skip("needs two logical devices")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


@pytest.fixture
def build_vae():
    """A function that builds a compiled VAE for 8x8 images, always with the same weights."""

    def build(architecture="mlp", image_shape=(8, 8, 1), latent_dim=2, num_classes=0, **arguments):
        keras.utils.set_random_seed(0)
        vae = VAE(*build_networks(architecture, image_shape, latent_dim, num_classes), **arguments)
        vae.compile(optimizer=keras.optimizers.Adam(1e-3))
        return vae

    return build


@pytest.fixture
def small_vae(build_vae):
    return build_vae()


@pytest.fixture
def damage():
    """A function that yields damaged copies of bytes: cut off, overwritten, shortened, extended."""

    def copies(content, number):
        random = np.random.default_rng(0)
        for _ in range(number):
            place, length = random.integers(len(content)), random.integers(1, 9)
            noise = random.bytes(length)
            yield (
                content[:place],
                content[:place] + noise + content[place + length :],
                content[:place] + content[place + length :],
                content[:place] + noise + content[place:],
            )[random.integers(4)]

    return copies
