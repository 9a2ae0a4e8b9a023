import itertools

import numpy as np
import pytest

from vae_keras.data import sprites
from vae_keras.data.load import class_names, load_images


def one(shape, scale=5, orientation=0, x=0, y=0, size=64):
    return sprites.draw([[shape, scale, orientation, x, y]], size)[0, ..., 0]


def centre(image):
    rows, columns = np.nonzero(image)
    return columns.mean(), rows.mean()


def extent(image):
    rows, columns = np.nonzero(image)
    return np.ptp(columns) + 1, np.ptp(rows) + 1


def test_factors_are_addressed_as_in_dsprites():
    assert sprites.NUM_IMAGES == 737_280
    combinations = itertools.product(*map(range, (3, 6, 40, 32, 32)))
    expected = np.array([*itertools.islice(combinations, 0, None, 997)])
    numbers = np.arange(0, 737_280, 997)
    np.testing.assert_array_equal(sprites.factors(numbers), expected)
    np.testing.assert_array_equal(sprites.factors([1])[0], [0, 0, 0, 0, 1])  # y changes fastest


@pytest.mark.parametrize("scale, factor", [*enumerate([0.5, 0.6, 0.7, 0.8, 0.9, 1.0])])
def test_sizes_are_those_of_dsprites(scale, factor):
    for shape, lengths in ((0, (20, 20)), (1, (26, 14))):
        measured = extent(one(shape, scale))
        assert np.abs(np.subtract(measured, factor * np.array(lengths))).max() <= 1
        area = (one(shape, scale) > 0).sum()
        expected = factor**2 * (400 if shape == 0 else np.pi * 13 * 7)
        assert abs(area / expected - 1) < 0.1
    assert (one(2, scale) > 0).sum() == pytest.approx(factor**2 * 3.66 * 100, rel=0.1)


def test_centres_run_from_15_5_to_47_5_pixels():
    for x, y in ((0, 0), (31, 0), (0, 31), (31, 31), (10, 20)):
        expected = 15.5 + 32 / 31 * np.array([x, y])
        for shape in (0, 1):
            assert np.abs(np.subtract(centre(one(shape, x=x, y=y)), expected)).max() < 0.51


def test_orientation_turns_a_full_circle_in_forty_values():
    heart, half_turn = one(2, orientation=0), one(2, orientation=20)
    rows = [np.nonzero(image)[0] for image in (heart, half_turn)]
    # The point of the heart, its narrowest end, is at the bottom, then at the top.
    assert heart[rows[0].max()].astype(bool).sum() < heart[rows[0].min() + 2].astype(bool).sum()
    assert (
        half_turn[rows[1].min()].astype(bool).sum()
        < half_turn[rows[1].max() - 2].astype(bool).sum()
    )
    for shape in range(3):
        np.testing.assert_array_equal(one(shape, orientation=39), one(shape))
    wide, high = one(1, orientation=0, x=16, y=16), one(1, orientation=10, x=16, y=16)
    assert extent(wide)[0] > 24 and extent(high)[1] > 24


def test_no_sprite_is_cut_off_at_any_corner_or_orientation():
    corners = itertools.product(range(3), [5], range(40), (0, 31), (0, 31))
    images = sprites.draw([*corners]) > 0
    edges = [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]]
    assert not any(edge.any() for edge in edges)
    areas = images.sum(axis=(1, 2, 3)).reshape(3, -1)
    assert (areas.max(axis=1) / areas.min(axis=1) < 1.1).all()  # no sprite is cut off


def test_small_images_are_means_of_the_large_ones():
    large, small = one(1, orientation=3), one(1, orientation=3, size=32)
    assert set(np.unique(large)) == {0, 255}
    expected = large.reshape(32, 2, 32, 2).mean(axis=(1, 3))
    assert np.abs(small - expected).max() <= 0.5
    with pytest.raises(ValueError, match="32 or 64 pixels along a side. Received: 28"):
        one(0, size=28)


@pytest.fixture
def few(monkeypatch):
    """Makes the data set a hundred times smaller."""
    for name in ("NUM_TRAIN", "NUM_TEST", "NUM_VALIDATION"):
        monkeypatch.setattr(sprites, name, getattr(sprites, name) // 100)
    monkeypatch.setattr("vae_keras.data.load.MAX_VALIDATION", 50)


@pytest.mark.parametrize("size", [32, 64])
def test_the_data_set_is_what_its_factors_draw(few, size):
    numbers = set()
    for split, count in (("train", 550), ("validation", 50), ("test", 100)):
        images, labels = load_images("sprites", split, image_size=size)
        values = sprites.split_factors(split)
        assert images.shape == (count, size, size, 1) and images.dtype == np.uint8
        np.testing.assert_array_equal(images, sprites.draw(values, size))
        np.testing.assert_array_equal(labels, values[:, 0])
        numbers |= {*map(tuple, values)}
    assert len(numbers) == 700  # no image is in two splits
    assert class_names("sprites") == ("square", "ellipse", "heart")


def test_dsprites_are_read_from_its_file(few, monkeypatch, tmp_path):
    monkeypatch.setattr(sprites, "SIZES", (3, 6, 40, 2, 2))
    monkeypatch.setattr(sprites, "NUM_IMAGES", 2880)
    images = sprites.draw(sprites.factors(np.arange(2880)))[..., 0] // 255
    np.savez_compressed(tmp_path / "dsprites.npz", imgs=images, metadata=np.array({}, object))
    monkeypatch.setenv("VAE_KERAS_DATA", str(tmp_path))
    for split in ("train", "validation", "test"):
        loaded, labels = load_images("dsprites", split)
        values = sprites.split_factors(split)
        np.testing.assert_array_equal(loaded, sprites.draw(values))
        np.testing.assert_array_equal(labels, values[:, 0])


def test_another_file_is_no_dsprites(monkeypatch, tmp_path):
    monkeypatch.setenv("VAE_KERAS_DATA", str(tmp_path))
    np.savez(tmp_path / "dsprites.npz", imgs=np.zeros((5, 64, 64), "uint8"))
    with pytest.raises(ValueError, match=r"uint8 of shape \(5, 64, 64\).*the dSprites file"):
        load_images("dsprites", "train")
    (tmp_path / "dsprites.npz").unlink()
    with pytest.raises(OSError, match="dSprites is not downloaded.*as dsprites.npz"):
        load_images("dsprites", "train")
    (tmp_path / "dsprites.npz").write_bytes(b"no zip")
    with pytest.raises(ValueError, match="cannot be used: File is not a zip file"):
        load_images("dsprites", "train")
