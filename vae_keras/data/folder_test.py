import numpy as np
import pytest
from PIL import Image

from vae_keras.data.folder import read_folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write_images(folder, number=120, size=(20, 12), mode="RGB", suffix="png"):
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(number):
        color = index if mode == "L" else (index, 0, 255)
        Image.new(mode, size, color).save(folder / f"{index:03d}.{suffix}", lossless=True)
    return folder


def test_images_are_resized_and_split_by_name(tmp_path):
    folder = write_images(tmp_path / "Bilder mit ä")
    arrays, classes = read_folder(folder, 8)
    assert classes == () and arrays["y_train"] is None
    assert arrays["x_train"].shape[1:] == (8, 8, 3)
    levels = [arrays[f"x_{part}"][:, 4, 4, 0].tolist() for part in ("train", "test")]
    assert sorted(levels[0] + levels[1]) == list(range(120))
    assert 4 <= len(levels[1]) <= 25
    (folder / "000.png").unlink()  # the others stay where they were
    again = read_folder(folder, 8)[0]["x_test"][:, 4, 4, 0].tolist()
    assert again == [level for level in levels[1] if level != 0]


def test_sub_folders_are_classes_and_grey_stays_grey(tmp_path):
    for name, number in (("cats", 60), ("dogs", 60)):
        write_images(tmp_path / "images" / name, number, mode="L", suffix="webp")
    arrays, classes = read_folder(tmp_path / "images", 12)
    assert classes == ("cats", "dogs")
    assert arrays["x_train"].shape[1:] == (12, 12, 1)
    assert set(arrays["y_train"]) == set(arrays["y_test"]) == {0, 1}


def test_the_centre_is_cropped_and_transparency_is_white(tmp_path):
    write_images(tmp_path, 100)
    picture = np.zeros((8, 24, 4), "uint8")
    picture[:, 8:16] = (255, 0, 0, 255)
    for index in range(100):
        Image.fromarray(picture).save(tmp_path / f"{index:03d}.png")
    arrays, _ = read_folder(tmp_path, 8)
    np.testing.assert_array_equal(arrays["x_train"][0], np.full((8, 8, 3), (255, 0, 0)))
    picture[:, 8:16] = 0
    Image.fromarray(picture).save(tmp_path / "000.png")
    both = read_folder(tmp_path, 8)[0]
    assert (np.concatenate([both["x_train"], both["x_test"]]) == 255).all(axis=(1, 2, 3)).any()


def test_sixteen_bits_become_eight(tmp_path):
    for index in range(60):
        levels = np.full((8, 8), 257 * index, "uint16")
        Image.fromarray(levels).save(tmp_path / f"{index}.png")
    arrays, _ = read_folder(tmp_path, 8)
    found = np.concatenate([arrays["x_train"], arrays["x_test"]])[:, 0, 0, 0]
    assert sorted(found.tolist())[1:] == list(range(1, 60))


def test_few_broken_files_are_named_and_left_out_more_are_an_error(tmp_path):
    folder = write_images(tmp_path / "images", 150)
    (folder / "007.png").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match=r"1 unreadable images are left out.*007\.png"):
        arrays, _ = read_folder(folder, 8)
    assert len(arrays["x_train"]) + len(arrays["x_test"]) == 149
    for index in range(3):
        (folder / f"{index:03d}.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"more than 1 % of the 150 images.*000\.png"):
        read_folder(folder, 8)


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path, monkeypatch):
    folder = write_images(tmp_path / "images", 30)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match="cannot be read.*exceeds limit of .00 pixels"):
        read_folder(folder, 8)


def test_the_cache_is_used_until_a_file_changes(tmp_path, monkeypatch):
    folder = write_images(tmp_path / "images")
    first = read_folder(folder, 8)[0]["x_train"]
    monkeypatch.setattr("vae_keras.data.folder._read_file", None)
    np.testing.assert_array_equal(read_folder(folder, 8)[0]["x_train"], first)
    monkeypatch.undo()
    Image.new("RGB", (8, 8), (9, 9, 9)).save(folder / "000.png")
    arrays, _ = read_folder(folder, 8)
    changed = np.concatenate([arrays["x_train"], arrays["x_test"]])
    assert (changed == 9).all(axis=(1, 2, 3)).sum() == 1


@pytest.mark.parametrize("image_size", [0, 30, 8.0])
def test_bad_sizes_and_empty_folders(tmp_path, image_size):
    with pytest.raises(ValueError, match="`image_size` must be a multiple of 4"):
        read_folder(tmp_path, image_size)
    with pytest.raises(ValueError, match="must hold at least 20 images"):
        read_folder(tmp_path, 8)
