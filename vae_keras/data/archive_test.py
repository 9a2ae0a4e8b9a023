import io
import os
import zipfile

import numpy as np
import pytest

from vae_keras.data.archive import read_known, read_own


def grey_arrays(**changes):
    arrays = {
        "x_train": np.arange(20 * 784, dtype="uint32").astype("uint8").reshape(20, 28, 28),
        "y_train": np.arange(20, dtype="uint8") % 10,
        "x_test": np.ones((3, 28, 28), "uint8"),
        "y_test": np.array([[0], [9], [5]]),
        **changes,
    }
    return {name: array for name, array in arrays.items() if array is not None}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_file_is_read_as_it_is(tmp_path, save):
    save(tmp_path / "mnist.npz", **grey_arrays())
    for name, values in read_known(tmp_path / "mnist.npz", "mnist").items():
        np.testing.assert_array_equal(values, grey_arrays()[name])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"y_test": None}, "no array `y_test`"),
        ({"x_train": np.zeros((20, 28, 28))}, "`x_train` is float64"),
        ({"x_train": np.zeros((20, 32, 32), "uint8")}, r"`x_train` is uint8 of shape \(20, 32"),
        ({"x_train": np.zeros((), "uint8")}, r"`x_train` is uint8 of shape \(\)"),
        ({"x_test": np.zeros((0, 28, 28), "uint8"), "y_test": np.zeros(0, int)}, "`x_test` is"),
        ({"y_train": np.zeros(20)}, "`y_train` is float64"),
        ({"y_train": np.zeros(19, int)}, r"`y_train` is int64 of shape \(19,\)"),
        ({"y_train": np.array([None] * 20)}, "`y_train` holds objects"),
        ({"y_train": np.full(20, 10)}, "labels outside 0 to 9"),
    ],
)
def test_arrays_of_another_form_are_refused(tmp_path, changes, reason):
    np.savez(tmp_path / "mnist.npz", **grey_arrays(**changes))
    with pytest.raises(ValueError, match=rf"mnist\.npz cannot be used.*{reason}.*It must hold"):
        read_known(tmp_path / "mnist.npz", "mnist")


def test_every_truncation_is_refused(tmp_path):
    whole = io.BytesIO()
    np.savez_compressed(whole, **grey_arrays())
    content = whole.getvalue()
    for length in range(0, len(content), len(content) // 60):
        (tmp_path / "mnist.npz").write_bytes(content[:length])
        with pytest.raises(ValueError, match="cannot be used"):
            read_known(tmp_path / "mnist.npz", "mnist")


def test_a_truncated_header_and_a_bomb_are_refused(tmp_path):
    def write(header):
        with zipfile.ZipFile(tmp_path / "mnist.npz", "w", zipfile.ZIP_DEFLATED) as file:
            for name in ("x_train", "y_train", "x_test", "y_test"):
                with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                    header(member)

    def cut(member):
        member.write(b"\x93NUMPY\x01\x00\x20\x00{'descr': '|u1', 'fortran_ord  ")

    def bomb(member):
        shape = (300_000, 28, 28)
        form = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(member, form)
        for _ in range(0, 300_000, 1000):
            member.write(bytes(1000 * 28 * 28))

    for header, reason in ((cut, "cannot be used"), (bomb, "would take 0.2 GB, which no images")):
        write(header)
        with pytest.raises(ValueError, match=reason):
            read_known(tmp_path / "mnist.npz", "mnist")


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "mnist.npz")
    with pytest.raises(ValueError, match="not a regular file"):
        read_known(tmp_path / "mnist.npz", "mnist")


def test_own_arrays_with_and_without_a_split(tmp_path):
    images = np.arange(40, dtype="uint8")[:, None, None, None] + np.zeros((8, 12, 3), "uint8")
    np.savez(tmp_path / "own.npz", images=images, labels=np.arange(40) % 3)
    arrays, classes = read_own(tmp_path / "own.npz")
    assert arrays["x_test"][:, 0, 0, 0].tolist() == [0, 10, 20, 30]
    assert len(arrays["x_train"]) == 36 and classes == ("0", "1", "2")
    assert arrays["y_test"].tolist() == [0, 1, 2, 0]
    np.savez(tmp_path / "own.npz", x_train=images[:30, ..., 0], x_test=images[30:, ..., 0])
    arrays, classes = read_own(tmp_path / "own.npz")
    assert arrays["x_train"].shape == (30, 8, 12, 1)
    assert arrays["y_train"] is None and classes == ()


@pytest.mark.parametrize(
    "arrays",
    [
        {"images": np.zeros((20, 9, 8, 1), "uint8")},
        {"images": np.zeros((20, 8, 8, 2), "uint8")},
        {"images": np.zeros((20, 8, 8, 1), "float32")},
        {"x_train": np.zeros((20, 8, 8), "uint8")},
        {"images": np.zeros((20, 8, 8), "uint8"), "labels": np.zeros(19, int)},
    ],
)
def test_own_arrays_of_another_form_are_refused(tmp_path, arrays):
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(ValueError, match="cannot be used"):
        read_own(tmp_path / "own.npz")
