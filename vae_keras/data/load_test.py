import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from vae_keras.data import load
from vae_keras.data.__main__ import main
from vae_keras.data.catalogue import DATASETS
from vae_keras.data.load import class_names, load_images

SPLITS = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """Empty caches, no data folder, no proxy."""
    (tmp_path / "keras").mkdir()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("VAE_KERAS_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    load._read.cache_clear()
    yield tmp_path
    load._read.cache_clear()


def numbered(number, *shape):
    """Images, each filled with its own number."""
    return np.arange(number, dtype="uint8").reshape(-1, *(1,) * len(shape)) + np.zeros(
        shape, "uint8"
    )


def write_mnist(folder, num_train=100, num_test=7):
    folder.mkdir(exist_ok=True)
    arrays = {}
    for part, number in (("train", num_train), ("test", num_test)):
        arrays[f"x_{part}"] = numbered(number, 28, 28)
        arrays[f"y_{part}"] = np.arange(number)[:, None] % 10
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
    assert [len(load_images("digits", split)[0]) for split in SPLITS] == [55000, 5000, 1]


def test_embedded_sets_have_every_class_in_every_split():
    for name, counts in (("digits", (1294, 143, 360)), ("photos", (5200, 577, 900))):
        for split, count in zip(SPLITS, counts, strict=True):
            images, labels = load_images(name, split)
            assert images.shape == (count, *DATASETS[name]["image_shape"])
            assert set(labels) == set(range(len(class_names(name))))


def test_nothing_needs_tensorflow(places):
    write_mnist(places / "data")
    Image.new("L", (8, 8)).save(places / "data" / "a.png")
    code = (
        "import sys; from vae_keras.data.load import class_names, load_images, locate\n"
        "load_images('digits', 'test'); load_images('mnist', 'test'); locate('cifar10')\n"
        f"class_names('folder:{places / 'data'}'); class_names(r'{places / 'data'}/mnist.npz')\n"
        "sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    environment = os.environ | {"VAE_KERAS_DATA": str(places / "data")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


@pytest.mark.parametrize(("fraction", "number"), [(1, 90), (0.5, 45), (0.1, 9), (1e-9, 1)])
def test_fraction_takes_the_first_images(places, monkeypatch, fraction, number):
    monkeypatch.setenv("VAE_KERAS_DATA", write_mnist(places / "data"))
    images, labels = load_images("mnist", "train", np.float32(fraction))
    assert images[:, 0, 0, 0].tolist() == list(range(number))
    assert len(labels) == number


def test_images_are_shared_and_read_only_until_their_file_changes(places, monkeypatch):
    monkeypatch.setenv("VAE_KERAS_DATA", write_mnist(places / "data"))
    images, labels = load_images("mnist", "train")
    assert np.shares_memory(images, load_images("mnist", "train", 0.5)[0])
    for array in (images, labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    write_mnist(places / "data", num_train=20)
    assert len(load_images("mnist", "train")[0]) == 18


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *((("digits", "train", bad), "`fraction` must be above 0") for bad in (0, 1.1, True, None)),
        (("digits", "train", float("nan")), "`fraction` must be above 0"),
        (("digits", "valid"), "`split` must be one of train, validation, test. Received: 'valid'"),
        *(
            ((bad, "train"), "`name` must be one of fashion_mnist")
            for bad in ("", "../mnist", None)
        ),
        ((["mnist"], "train"), "`name` must be one of.*or images of your own"),
        (("folder:/no/such/folder", "train"), "must be followed by an existing folder"),
        (("/no/such/file.npz", "train"), r"file\.npz cannot be used.*No such file"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        load_images(*arguments)


def test_errors_name_the_problem_of_the_data_folder(places, monkeypatch):
    monkeypatch.setenv("VAE_KERAS_DATA", write_mnist(places / "data", num_train=9))
    with pytest.raises(ValueError, match="too few images for a validation split"):
        load_images("mnist", "validation")
    (places / "data" / "cifar10.npz").symlink_to(places / "nowhere")  # not passed over
    with pytest.raises(ValueError, match=r"cifar10\.npz cannot be used"):
        load_images("cifar10", "train")
    monkeypatch.setenv("VAE_KERAS_DATA", str(places / "nowhere"))
    with pytest.raises(ValueError, match="VAE_KERAS_DATA must be an existing folder"):
        load_images("digits", "train")


def write_folder(root, numbers, number_of_classes=3):
    for number in numbers:
        path = root / "abc"[number % number_of_classes] / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (12, 10), number).save(path)
    return f"folder:{root}"


def test_a_folder_is_split_by_name(places):
    name = write_folder(places / "Bilder ü", range(200))
    levels, images = {}, {}
    for split in SPLITS:
        images[split], labels = load_images(name, split, image_size=8)
        levels[split] = images[split][:, 0, 0, 0].tolist()
        assert labels.tolist() == [level % 3 for level in levels[split]]
        assert labels.dtype == np.int64
    assert images["train"].shape[1:] == (8, 8, 1)
    assert sorted(sum(levels.values(), [])) == list(range(200))
    assert 130 < len(levels["train"]) < 185 and min(map(len, levels.values())) > 5
    assert class_names(name) == ("a", "b", "c")
    _, few = load_images(name, "train", 0.1, image_size=8)
    assert set(few) == {0, 1, 2}  # a part of the images has all classes, too
    write_folder(places / "Bilder ü", range(200, 250))
    for split in SPLITS:
        again = load_images(name, split, image_size=8)[0][:, 0, 0, 0]
        assert [level for level in again if level < 200] == levels[split]


@pytest.mark.filterwarnings("ignore:.*cannot be read")
def test_labels_and_names_agree_if_a_class_has_no_image_left(places):
    name = write_folder(places / "images", range(200))
    (places / "images" / "0").mkdir()
    (places / "images" / "0" / "broken.png").write_bytes(b"no image")
    for split in SPLITS:
        images, labels = load_images(name, split, image_size=8)
        assert labels.tolist() == [1 + level % 3 for level in images[:, 0, 0, 0]]
    assert class_names(name) == ("0", "a", "b", "c")


def test_a_folder_without_sub_folders_has_no_labels(places):
    name = write_folder(places / "images", range(60), number_of_classes=1)
    images, labels = load_images(name, "test", 0.5)
    assert images.shape[1:] == (32, 32, 1) and labels is None
    assert class_names(name) == ()
    with pytest.raises(ValueError, match="needs images with classes, and folder:.* has none"):
        class_names(name, required=True)
    with pytest.raises(ValueError, match="too few images for a test split"):
        load_images(write_folder(places / "few", range(3), 1), "test")


def test_own_arrays_are_split_by_position(places):
    path = places / "own.npz"
    np.savez(path, images=numbered(200, 8, 8, 3), labels=np.arange(200) // 50)
    splits = {split: load_images(path, split) for split in SPLITS}
    np.testing.assert_array_equal(load_images(str(path), "test")[0], splits["test"][0])
    levels = {split: images[:, 0, 0, 0].tolist() for split, (images, _) in splits.items()}
    assert sorted(sum(levels.values(), [])) == list(range(200))
    for split, (_, labels) in splits.items():
        assert labels.tolist() == [level // 50 for level in levels[split]]
        assert set(labels) == {0, 1, 2, 3}  # although the file is sorted by class
    assert class_names(path) == ("0", "1", "2", "3")
    np.savez(path, x_train=numbered(100, 8, 8), x_test=numbered(9, 8, 8))
    splits = {split: load_images(path, split) for split in SPLITS}
    assert splits["test"][0][:, 0, 0, 0].tolist() == list(range(9))
    assert len(splits["train"][0]) + len(splits["validation"][0]) == 100
    assert 3 < len(splits["validation"][0]) < 20
    assert splits["train"][1] is None and class_names(path) == ()


def test_the_command_says_where_sets_come_from(places, monkeypatch, capsys):
    own = write_folder(places / "own", range(60))
    monkeypatch.setenv("VAE_KERAS_DATA", write_mnist(places / "data"))
    assert main(["digits", "mnist", own, "--image-size", "8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "digits: from scikit-learn; images: 1294 train, 143 validation, 360 test",
        f"mnist: from {places / 'data' / 'mnist.npz'}; images: 90 train, 10 validation, 7 test",
    ]
    assert lines[2].startswith(f"{own}: from {places / 'own'}; images: ")


def test_the_command_ends_with_one_line_on_errors(capsys):
    for name in ("nonsense", "/no/such/file.npz"):
        assert main([name, "digits"]) == 1
        captured = capsys.readouterr()
        assert captured.out == "" and captured.err.startswith("error: ")
        assert captured.err.count("\n") == 1
