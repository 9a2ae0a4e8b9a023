import numpy as np
import pytest

from vae_keras.data import embedded
from vae_keras.data.archive import read_archive
from vae_keras.data.catalogue import DATASETS


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    arrays = embedded.read_embedded("digits")
    assert arrays["x_train"].shape == (1437, 8, 8, 1)
    assert arrays["x_test"].shape == (360, 8, 8, 1)
    assert arrays["x_train"].dtype == arrays["x_test"].dtype == np.uint8
    assert set(np.unique(arrays["x_train"])) == {round(level * 255 / 16) for level in range(17)}
    images = np.concatenate([arrays["x_train"], arrays["x_test"]])[..., 0]
    assert np.abs(images / 255 * 16 - load_digits().images).max() < 0.05
    np.testing.assert_array_equal(arrays["y_test"], load_digits().target[-360:])


def test_photos_are_colour_patches_of_both_photographs():
    arrays, again = embedded.read_embedded("photos"), embedded.read_embedded("photos")
    assert len(arrays["x_train"]) == 5777
    assert len(arrays["x_test"]) == 900
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        assert x.dtype == np.uint8
        assert x.shape == (len(y), 32, 32, 3)
        assert 0.45 < y.mean() < 0.55
        assert 0 < y[:100].sum() < 100  # shuffled
        np.testing.assert_array_equal(x, again[f"x_{part}"])
    assert (arrays["x_train"][..., 0] != arrays["x_train"][..., 2]).any()


def _photos(monkeypatch, *images):
    monkeypatch.setattr(
        "sklearn.datasets.load_sample_images", lambda: type("Photos", (), {"images": images})
    )
    return embedded.read_embedded("photos")


def test_photos_of_different_splits_share_no_pixel(monkeypatch):
    grey = np.zeros((427, 640, 3), "uint8")
    for value, (_, regions) in zip((50, 100, 150), embedded.PHOTO_REGIONS.values(), strict=True):
        for left, right in regions:
            assert not grey[:, left:right].any()
            grey[:, left:right] = value
    arrays = _photos(monkeypatch, grey, grey + 1)
    x, y, held = arrays["x_train"], arrays["y_train"], len(arrays["x_train"]) // 10
    np.testing.assert_array_equal(x[:-held], np.tile(50 + y[:-held, None, None, None], (32, 32, 3)))
    assert set(np.unique(x[-held:])) == {100, 101}
    assert set(np.unique(arrays["x_test"])) == {150, 151}


def test_photos_are_mirrored_halved_and_recoloured_at_random(monkeypatch):
    rows, columns = np.mgrid[:427, :640].astype("uint8")
    x = _photos(monkeypatch, *[np.stack([rows, columns, 0 * rows + 7], -1)] * 2)["x_test"]
    constant = (x == 7).all(axis=(1, 2))
    assert constant.any(axis=1).all()
    np.testing.assert_allclose(constant.mean(axis=0), 1 / 3, atol=0.05)
    x = x.astype("int16")
    down = (x[:, 1] - x[:, 0])[:, 0].max(axis=1)  # 1 row of a photograph, or 2
    across = (x[:, 5, 9] - x[:, 5, 8]).sum(axis=1)
    assert {1, 2} <= set(down)
    assert {-2, -1, 1, 2} <= set(across)


def test_only_embedded_sets_are_embedded():
    with pytest.raises(ValueError, match="`name` must be digits or photos. Received: 'mnist'"):
        embedded.read_embedded("mnist")


def test_stand_ins_have_the_form_of_the_real_sets(tmp_path):
    embedded.write_stand_ins(tmp_path / "new" / "folder", num_train=50, num_test=20)
    for name in ("fashion_mnist", "mnist", "cifar10", "svhn"):
        arrays = read_archive(tmp_path / "new" / "folder" / f"{name}.npz", DATASETS[name])
        assert {key: len(values) for key, values in arrays.items()} == dict(
            x_train=50, y_train=50, x_test=20, y_test=20
        )
        assert set(arrays["y_train"]) == set(range(10))
        assert arrays["x_train"].std() > 30
    x, y = arrays["x_train"], arrays["y_train"]
    assert x[y == 0].mean() < x[y == 5].mean() < x[y == 9].mean()
    digits = embedded.read_embedded("digits")
    x = np.load(tmp_path / "new" / "folder" / "mnist.npz")["x_train"]
    np.testing.assert_array_equal(x[:, 3:26:3, 3:26:3], digits["x_train"][:50, ..., 0])
