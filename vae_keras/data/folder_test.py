import os
import pwd
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from vae_keras.data import folder
from vae_keras.data.folder import list_images, name_hash, read_folder, split_classes

pytestmark = pytest.mark.faults


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array)).save(path, **options)


def read(root, image_size=8):
    """Returns a dict from file names to images."""
    files = list_images(root)
    images, kept = read_folder(root, files, image_size)
    return {files[position][0]: image for position, image in zip(kept, images, strict=True)}


def test_png_jpeg_and_webp_of_any_name_are_found(tmp_path):
    root = tmp_path / "Bilder mit ü"
    names = ["a b.png", "ж/c.JPG", "d.jpeg", "ж/tiefer/e.webp"]
    for name in names:
        write(root / name, np.full((9, 12, 3), (200, 40, 90), "uint8"))
    for name in (".hidden.png", ".cache/f.png", "__MACOSX/g.png"):
        write(root / name, np.zeros((8, 8), "uint8"))
    (root / "notes.txt").write_text("no image")
    images = read(root)
    assert set(images) == set(names)
    for image in images.values():
        assert image.shape == (8, 8, 3)
        assert np.abs(image.astype(int) - (200, 40, 90)).max() <= 4  # lossy


def test_the_shorter_side_is_resized_and_the_centre_cropped(tmp_path):
    stripes = np.repeat(np.array([[10, 80, 160, 250]], "uint8"), 16, axis=1).repeat(32, axis=0)
    write(tmp_path / "wide.png", stripes)  # 32 x 64
    write(tmp_path / "tall.png", stripes.T)
    write(tmp_path / "turned.jpg", stripes, quality=100, exif=turned())
    images = read(tmp_path, 16)
    expected = np.repeat([[80, 160]], 8, axis=1).repeat(16, axis=0)
    away = np.abs(np.arange(16) - 7.5) > 2  # from the edge between the stripes
    for name, image in (("wide", images["wide.png"]), ("tall", images["tall.png"].swapaxes(0, 1))):
        assert image.shape == (16, 16, 1), name
        assert np.abs(image[:, away, 0].astype(int) - expected[:, away]).max() <= 12
    turn = images["turned.jpg"][..., 0].astype(int).T  # 90 degrees clockwise
    assert np.abs(turn[:, away] - expected[:, away]).max() <= 12


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6  # the orientation: to be turned by 90 degrees clockwise
    return exif


def test_modes_become_grey_levels(tmp_path):
    ramp = np.arange(64, dtype="uint8").reshape(8, 8) * 4
    write(tmp_path / "grey.png", ramp)
    write(tmp_path / "deep.png", ramp.astype("uint16") * 257)
    write(tmp_path / "rgb.png", np.stack([ramp] * 3, axis=-1))
    Image.fromarray(ramp).convert("P").save(tmp_path / "palette.png")
    write(tmp_path / "opaque.png", np.stack([ramp, np.full((8, 8), 255, "uint8")], axis=-1))
    write(tmp_path / "lossy.webp", ramp, quality=100)
    images = read(tmp_path)
    assert len(images) == 6
    for name, image in images.items():
        assert image.shape == (8, 8, 1)
        away = np.abs(image[..., 0].astype(int) - ramp).max()
        assert away <= (12 if name == "lossy.webp" else 1), name


def test_one_colour_image_makes_all_colour_and_transparency_is_white(tmp_path):
    half = np.zeros((8, 8, 4), "uint8")
    half[:, :4] = (255, 0, 0, 255)
    write(tmp_path / "half.png", half)
    write(tmp_path / "grey.png", np.full((8, 8), 77, "uint8"))
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "print.jpg", quality=100)
    Image.new("1", (8, 8), 1).save(tmp_path / "bits.png")
    transparent = Image.new("P", (8, 8), 0)
    transparent.putpalette([9, 9, 9] * 256)
    transparent.save(tmp_path / "palette.png", transparency=0)
    images = read(tmp_path)
    assert (images["half.png"][:, :3] == (255, 0, 0)).all()
    assert (images["half.png"][:, 5:] == 255).all()
    assert (images["grey.png"] == 77).all()
    assert np.abs(images["print.jpg"].astype(int) - (255, 0, 0)).max() <= 3
    assert (images["bits.png"] == 255).all() and (images["palette.png"] == 255).all()


def test_animations_yield_their_first_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    for name in ("a.png", "a.webp"):
        options = {"lossless": True} if name.endswith("webp") else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
    assert all((image == (255, 0, 0)).all() for image in read(tmp_path).values())


def test_two_sub_folders_are_classes():
    labels, classes = split_classes(["dog/1.png", "cat/x/2.png", "dog/3.png"])
    assert labels.tolist() == [1, 0, 1] and classes == ("cat", "dog")
    for names in (["1.png", "2.png"], ["all/1.png", "all/2.png"]):
        assert split_classes(names) == (None, ())
    with pytest.raises(ValueError, match=r"Received: 2\.png beside 2 sub-folders"):
        split_classes(["dog/1.png", "cat/1.png", "2.png"])


def test_the_hash_of_a_name_is_uniform_fixed_and_the_same_on_macos():
    hashes = np.array([name_hash(f"{number}.png") for number in range(10_000)])
    assert np.abs(np.histogram(hashes, 10, (0, 1))[0] - 1000).max() < 150
    assert name_hash("a.png") == pytest.approx(0.4962016, abs=1e-7)
    assert name_hash("u\u0308.png") == name_hash("ü.png")


def test_few_broken_files_are_left_out_and_many_are_an_error(tmp_path):
    for number in range(150):
        write(tmp_path / f"{number}.png", np.full((8, 8), number, "uint8"))
    (tmp_path / "7.png").write_bytes(b"no image")
    for _ in ("from the files", "from the cache"):
        with pytest.warns(UserWarning, match=r"1 of 150 files.*7\.png \(cannot identify.*left out"):
            images = read(tmp_path)
    assert {int(image[0, 0, 0]) for image in images.values()} == set(range(150)) - {7}
    (tmp_path / "8.png").unlink()
    os.mkfifo(tmp_path / "8.png")
    (tmp_path / "9.png").write_bytes((tmp_path / "10.png").read_bytes()[:45])
    with pytest.raises(ValueError, match=r"3 of 150 files.*8\.png \(not a regular.*At most 1 %"):
        read(tmp_path)


def test_an_image_of_too_many_pixels_is_refused_by_its_header(tmp_path, monkeypatch):
    write(tmp_path / "bomb.png", np.zeros((11, 11), "uint8"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)
    with pytest.raises(ValueError, match=r"bomb\.png \(Image size \(121 pixels\) exceeds limit"):
        read(tmp_path)


PEAK = """
import resource, sys
from vae_keras.data import load
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    load.load_images(sys.argv[1], "train")
except ValueError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory in kB")
def test_an_image_of_50_000_x_50_000_pixels_takes_no_memory(tmp_path):
    def chunk(kind, content):
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    size = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    rows = zlib.compressobj()
    pixels = b"".join(rows.compress(bytes(50_001)) for _ in range(2000)) + rows.flush()
    content = chunk(b"IHDR", size) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    command = [sys.executable, "-c", PEAK, f"folder:{tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    message, megabytes = done.stdout.splitlines()
    assert "bomb.png (Image size (2500000000 pixels) exceeds limit" in message
    assert float(megabytes) < 50


def test_a_thousand_damaged_images_are_named_or_read(tmp_path, damage, monkeypatch):
    monkeypatch.setattr(folder, "MAX_BROKEN", 1)
    files = tmp_path / "images"
    files.mkdir()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 3), "uint8"))
    for suffix in (".png", ".jpg", ".webp"):
        image.save(tmp_path / f"whole{suffix}")
        content = (tmp_path / f"whole{suffix}").read_bytes()
        for number, damaged in enumerate(damage(content, 400)):
            (files / f"{number}{suffix}").write_bytes(damaged)
    with pytest.warns(UserWarning, match="of 1200 files .* cannot be read"):
        images, kept = folder.read_folder(files, folder.list_images(files), 8)
    assert len(images) == len(kept) < 1200 and images.shape[1:] == (8, 8, 3)


def test_the_cache_is_used_until_a_file_changes(tmp_path, cache, monkeypatch):
    root = tmp_path / "images"
    for number in range(5):
        write(root / f"{number}.png", np.full((8, 8), number, "uint8"))
    first = read(root)
    with monkeypatch.context() as patched:
        patched.setattr(Image, "open", None)  # nothing is read again
        np.testing.assert_equal(read(root), first)
    (cached,) = cache.rglob("*.npz")
    cached.write_bytes(b"damaged")
    np.testing.assert_equal(read(root), first)
    write(root / "0.png", np.full((8, 8), 99, "uint8"))
    assert (read(root)["0.png"] == 99).all()
    assert list(cache.rglob("*.npz")) == [cached]  # and nothing else is left behind


def test_without_a_place_for_a_cache_there_is_none(tmp_path, monkeypatch):
    write(tmp_path / "0.png", np.full((8, 8), 5, "uint8"))
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(read(tmp_path)) == 1
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", lambda _: (_ for _ in ()).throw(KeyError()))
    monkeypatch.chdir(tmp_path)
    assert len(read(tmp_path)) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"0.png", "file"}


def test_a_folder_with_two_names_is_read_once(tmp_path):
    write(tmp_path / "elsewhere" / "1.png", np.zeros((8, 8), "uint8"))
    for name in ("b", "a"):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / name).symlink_to(tmp_path / "elsewhere")
    assert [name for name, *_ in list_images(tmp_path / "images")] == ["a/1.png"]


def test_circular_links_are_followed_once(tmp_path):
    write(tmp_path / "elsewhere" / "1.png", np.zeros((8, 8), "uint8"))
    write(tmp_path / "images" / "b" / "2.png", np.zeros((8, 8), "uint8"))
    (tmp_path / "images" / "a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "images" / "b" / "c").symlink_to(tmp_path / "images")
    assert {name for name, *_ in list_images(tmp_path / "images")} == {"a/1.png", "b/2.png"}


def test_folders_that_cannot_be_used_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="holds no images. Expected: files .png, .jpg"):
        list_images(tmp_path)
    with pytest.raises(ValueError, match="must be followed by an existing folder"):
        list_images(tmp_path / "missing")
    for split in ("train", "test"):
        write(tmp_path / split / "1.png", np.zeros((8, 8), "uint8"))
    with pytest.raises(ValueError, match="must be classes, not splits. Received: test, train"):
        list_images(tmp_path)
    files = list_images(tmp_path / "train")
    for image_size in (0, 30, 8.0, "8"):
        with pytest.raises(ValueError, match="`image_size` must be a whole number divisible by 4"):
            read_folder(tmp_path / "train", files, image_size)
    monkeypatch.setattr(folder, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="1 images of `image_size` 8 take.*smaller `image_size`"):
        read_folder(tmp_path / "train", files, 8)
