import hashlib

import pytest

from vae_keras.published import registry

pytestmark = pytest.mark.faults

CONTENT = b"the weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def remote(web, tmp_path, monkeypatch):
    """The folder of a server that publishes `judges/a.keras`, outside a checkout."""
    (web.folder / "judges").mkdir()
    (web.folder / "judges" / "a.keras").write_bytes(CONTENT)
    path = tmp_path / "registry.txt"
    path.write_text(f"judges/a.keras {SHA256}\njudges/missing.keras {SHA256}\n")
    monkeypatch.setattr(registry, "MODELS", tmp_path / "models")
    monkeypatch.setattr(registry, "REGISTRY", path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "BASE_URL", web.url)
    return web.folder


def cached(tmp_path):
    return [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_file_is_downloaded_once(remote, tmp_path, capfd):
    path = registry.fetch("judges/a.keras")
    assert path.read_bytes() == CONTENT and cached(tmp_path) == [path]
    (remote / "judges" / "a.keras").unlink()
    assert registry.fetch("judges/a.keras") == path
    path.write_bytes(b"damaged")
    (remote / "judges" / "a.keras").write_bytes(CONTENT)
    assert registry.fetch("judges/a.keras").read_bytes() == CONTENT
    assert capfd.readouterr() == ("", "")


def test_another_sha256_is_refused_and_nothing_stays(remote, tmp_path):
    (remote / "judges" / "a.keras").write_bytes(b"something else")
    with pytest.raises(OSError, match="could not download .*does not match"):
        registry.fetch("judges/a.keras")
    assert cached(tmp_path) == []


def test_what_is_not_there_is_named_with_the_cure(remote, tmp_path):
    with pytest.raises(OSError, match="404.* put the file at .*judges/missing.keras"):
        registry.fetch("judges/missing.keras")
    assert cached(tmp_path) == []


@pytest.mark.parametrize("name", ["../a.keras", "/etc/passwd", "judges/../judges/a.keras", "b"])
def test_only_published_names_are_looked_up(remote, name):
    with pytest.raises(ValueError, match="must be a published file: judges/a.keras"):
        registry.fetch(name)


def test_a_checkout_has_its_own_files_and_they_are_checked(remote):
    path = registry.MODELS / "judges" / "a.keras"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    (remote / "judges" / "a.keras").unlink()  # nothing is downloaded
    assert registry.fetch("judges/a.keras") == path
    path.write_bytes(b"retrained")
    with pytest.raises(OSError, match="not the published file"):
        registry.fetch("judges/a.keras")
    registry.register(path)
    assert registry.fetch("judges/a.keras") == path
    assert len(registry.REGISTRY.read_text().splitlines()) == 2


def test_every_published_file_of_this_checkout_is_the_registered_one():
    assert "judges/digits.keras" in registry.names()
    for name in registry.names():
        assert registry.fetch(name) == registry.MODELS / name
