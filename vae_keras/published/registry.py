"""Fetches published files and checks their SHA-256."""

from pathlib import Path

import pooch

from vae_keras import __version__

MODELS = Path(__file__).parents[2] / "models"  # in a checkout
REGISTRY = Path(__file__).with_name("registry.txt")  # a name and a SHA-256 per line
BASE_URL = f"https://raw.githubusercontent.com/vae-keras/vae-keras/v{__version__}/models/"


def names():
    """Returns the names of all published files: their paths relative to `models/`."""
    return list(_registry())


def fetch(name):
    """Returns the path of a published file, downloaded if necessary.

    In a checkout this is the file in `models/`; elsewhere it is downloaded into the user's cache.
    Its SHA-256 is always checked.

    Args:
        name: path relative to `models/`, such as `"judges/mnist.keras"`.

    Returns:
        `pathlib.Path`.

    Raises:
        ValueError: if no file of that name is published.
        OSError: if the download fails, or the file is not the published one.
    """
    hashes = _registry()
    if name not in hashes:
        raise ValueError(
            f"`name` must be a published file: {', '.join(hashes)}. Received: {name!r}"
        )
    sha256 = hashes[name]
    path = MODELS / name
    if path.exists():
        if pooch.file_hash(path) != sha256:
            raise OSError(
                f"{path} is not the published file: its SHA-256 differs from that in {REGISTRY}. "
                "Restore it with git, or delete it to download it."
            )
        return path
    pooch.get_logger().setLevel("WARNING")
    try:
        folder = pooch.os_cache("vae_keras")
    except RuntimeError as error:  # a user without a home
        raise OSError(
            f"no cache folder for {name}: {error}. Set XDG_CACHE_HOME to a writable folder."
        ) from error
    try:
        store = pooch.create(folder, BASE_URL, registry={name: sha256}, retry_if_failed=1)
        return Path(store.fetch(name))
    except (OSError, ValueError) as error:  # no network, or another SHA-256
        raise OSError(
            f"could not download {BASE_URL}{name}: {error}. Connect to the network once, or put "
            f"the file at {folder / name}."
        ) from error


def register(path):
    """Records a file's current SHA-256 in the registry, for the next release.

    Args:
        path: file in `models/` of a checkout.

    Raises:
        ValueError: if the file is elsewhere.
    """
    name = Path(path).resolve().relative_to(MODELS).as_posix()
    hashes = _registry() | {name: pooch.file_hash(path)}
    REGISTRY.write_text("".join(f"{key} {value}\n" for key, value in sorted(hashes.items())))


def _registry():
    """Returns a dict from the name of each published file to its SHA-256."""
    return dict(line.split() for line in REGISTRY.read_text().splitlines())
