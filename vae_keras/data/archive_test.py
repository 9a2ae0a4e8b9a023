import os
import zipfile

import numpy as np
import pytest

from vae_keras.data.archive import read_archive
from vae_keras.data.catalogue import DATASETS

pytestmark = pytest.mark.faults

MNIST = DATASETS["mnist"]


def mnist_arrays(**changes):
    arrays = {
        "x_train": np.arange(20 * 784, dtype="uint32").astype("uint8").reshape(20, 28, 28),
        "y_train": np.arange(20, dtype="uint8") % 10,
        "x_test": np.ones((3, 28, 28, 1), "uint8"),
        "y_test": np.array([[0], [9], [5]]),
        **changes,
    }
    return {name: array for name, array in arrays.items() if array is not None}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mnist.npz"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_in_one_form(path, save):
    save(path, **mnist_arrays(x_train=np.asfortranarray(mnist_arrays()["x_train"])))
    arrays = read_archive(path, MNIST)
    np.testing.assert_array_equal(arrays["x_train"][..., 0], mnist_arrays()["x_train"])
    assert arrays["x_test"].shape == (3, 28, 28, 1)
    assert arrays["y_train"].dtype == arrays["y_test"].dtype == np.int64
    assert arrays["y_test"].tolist() == [0, 9, 5]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"y_test": None}, "no array `y_test`"),
        ({"x_train": np.zeros((20, 28, 28))}, "`x_train` is float64"),
        ({"x_train": np.zeros((20, 32, 32), "uint8")}, r"`x_train` is uint8 of shape \(20, 32"),
        ({"x_train": np.zeros((20, 28, 28, 3), "uint8")}, r"`x_train` is uint8 of shape"),
        ({"x_train": np.zeros((), "uint8")}, r"`x_train` is uint8 of shape \(\)"),
        ({"x_test": np.zeros((0, 28, 28), "uint8"), "y_test": np.zeros(0, int)}, "`x_test` is"),
        ({"y_train": np.zeros(20)}, "`y_train` is float64"),
        ({"y_train": np.zeros(19, int)}, r"`y_train` is int64 of shape \(19,\)"),
        ({"y_train": np.array([None] * 20)}, "`y_train` holds Python objects"),
        ({"y_test": np.array([0, 1, 10])}, "`y_test` ranges from 0 to 10"),
        ({"y_test": np.array([0, 1, -1])}, "`y_test` ranges from -1 to 1"),
    ],
)
def test_arrays_of_another_form_are_refused(path, changes, reason):
    np.savez(path, **mnist_arrays(**changes))
    with pytest.raises(
        ValueError, match=rf"mnist\.npz cannot be used.*{reason}.*must hold.*0 to 9"
    ):
        read_archive(path, MNIST)


def test_every_truncation_and_every_changed_byte_is_refused(path):
    np.savez_compressed(path, **mnist_arrays())
    content = path.read_bytes()
    for length in range(0, len(content), len(content) // 60):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="cannot be used"):
            read_archive(path, MNIST)
    path.write_bytes(content[:400] + bytes([content[400] ^ 255]) + content[401:])
    with pytest.raises(ValueError, match="cannot be used"):
        read_archive(path, MNIST)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_thousands_of_damaged_files_are_refused_or_whole(path, save, damage):
    save(path, **mnist_arrays())
    whole, refused = read_archive(path, MNIST), 0
    for damaged in damage(path.read_bytes(), 2000):
        path.write_bytes(damaged)
        try:
            arrays = read_archive(path, MNIST)
        except ValueError as error:
            assert "cannot be used" in str(error)
            refused += 1
        else:  # the damage is outside the data, such as in a date
            assert all(np.array_equal(arrays[name], whole[name]) for name in whole)
    assert refused > 1500


def test_pickled_code_is_not_executed(path, tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    np.savez(path, **mnist_arrays(y_train=np.array([Hostile()] * 20)))
    with pytest.raises(ValueError, match="`y_train` holds Python objects"):
        read_archive(path, MNIST)
    assert not (tmp_path / "executed").exists()


def header(shape, length=None):
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}".encode().ljust(118)
    return b"\x93NUMPY\x02\x00" + (length or len(text)).to_bytes(4, "little") + text


@pytest.mark.parametrize(
    ("content", "size", "reason"),
    [
        (header((10**8, 28, 28)), 130 + 10**8 * 784, "take 73.0 GiB, more than 8"),
        (header((10, 28, 28)), None, "`images` is not as long as its header says"),
        (header((10, 28, 28)) + bytes(9000), None, "`images` is not as long as its header says"),
        (header((-1, 28, 28)), None, "`images` is not as long as its header says"),
        (header((1, 4, 4), length=2**31) + bytes(2**26), None, "header of `images` is damaged"),
        (b"\x93NUMPY\x01\x00\x20\x00{'descr': '|u1', 'fortran_ord  ", None, "header.*is damaged"),
        (b"\x93NUMPY\x01\x00\xff\x0f" + b"(" * 4095, None, "header.*is damaged"),
        (b"", None, "header.*is damaged"),
    ],
)
def test_hostile_headers_are_refused_before_anything_is_decompressed(
    path, content, size, reason, monkeypatch
):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", content)
        archive.getinfo("images.npy").file_size = size or len(content)  # what the file claims
    read = zipfile.ZipExtFile.read
    amounts = []

    def counted(self, amount=-1):
        amounts.append(amount)
        return read(self, amount)

    monkeypatch.setattr(zipfile.ZipExtFile, "read", counted)
    with pytest.raises(ValueError, match=f"cannot be used.*{reason}"):
        read_archive(path)
    assert all(0 < amount < 20_000 for amount in amounts)


def test_only_regular_files_are_read(path, tmp_path):
    os.mkfifo(path)
    for place in (path, tmp_path):
        with pytest.raises(ValueError, match="it is not a regular file"):
            read_archive(place, MNIST)
    with pytest.raises(ValueError, match="No such file"):
        read_archive(tmp_path / "missing.npz", MNIST)


def test_own_arrays_may_lack_labels_and_a_channel_axis(path):
    images = np.full((6, 8, 12, 3), 9, "uint8")
    np.savez(path, images=images, labels=np.arange(6) % 3)
    assert read_archive(path)["labels"].tolist() == [0, 1, 2, 0, 1, 2]
    np.savez(path, x_train=images[..., 0], x_test=images[:2, ..., 0], other=np.array([None]))
    arrays = read_archive(path)
    assert [arrays[name].shape for name in ("x_train", "x_test")] == [(6, 8, 12, 1), (2, 8, 12, 1)]
    assert arrays["y_train"] is arrays["y_test"] is None
    np.savez(path, x_train=images, y_train=range(6), x_test=images[:1], y_test=[5])
    assert read_archive(path)["y_test"].tolist() == [5]  # more classes than test images


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"images": np.zeros((6, 8, 8, 2), "uint8")}, "`images` is uint8"),
        ({"images": np.zeros((6, 8, 8), "float32")}, "`images` is float32"),
        ({"x_train": np.zeros((6, 8, 8), "uint8")}, "no array `x_test`"),
        (
            {name: np.zeros((6, n, 8), "uint8") for n, name in ((8, "x_train"), (4, "x_test"))},
            "x_te",
        ),
        ({"images": np.ones((6, 8, 8), "uint8")}, "multiply the images by 255"),
        (
            {"images": np.full((6, 8, 8), 9, "uint8"), "labels": np.full(6, 6)},
            "ranges from 6 to 6, but must be from 0 to 5",
        ),
    ],
)
def test_own_arrays_of_another_form_are_refused(path, arrays, reason):
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=f"cannot be used.*{reason}.*must hold.*images: uint8"):
        read_archive(path)
