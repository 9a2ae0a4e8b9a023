import base64
import re

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from vae_keras import animation

RNG = np.random.default_rng(0)


def test_reconstruction_frames_show_originals_above_each_epoch():
    originals = np.full((3, 8, 8, 1), 200, np.uint8)
    pictures = np.stack([np.full((3, 8, 8, 1), level, np.uint8) for level in (0, 50, 100)])
    frames = animation.reconstruction_frames(originals, pictures, scale=2)
    assert len(frames) == 3
    for frame, level in zip(frames, (0, 50, 100)):
        assert frame.size == (2 * (3 * 8 + 2 * 2), 16 + 2 * (2 * 8 + 2))
        assert frame.getpixel((8, 16 + 8)) == (200, 200, 200)
        assert frame.getpixel((8, 16 + 2 * (8 + 2) + 8)) == (level, level, level)
    label = [np.asarray(frame)[:16] for frame in frames]
    assert not np.array_equal(label[0], label[1])  # each says its epoch


def test_pictures_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="`pictures` must have the shape"):
        animation.reconstruction_frames(np.zeros((3, 8, 8, 1)), np.zeros((5, 2, 8, 8, 1)))


def test_latent_frames_keep_their_limits():
    labels = np.arange(30) % 3
    codes = np.stack([np.zeros((30, 2)), RNG.normal(size=(30, 2))])
    frames = animation.latent_frames(codes, labels, ["a", "b", "c"])
    assert len(frames) == 2
    assert frames[0].size == frames[1].size
    ticks = [np.asarray(frame)[-20:] for frame in frames]
    np.testing.assert_array_equal(*ticks)  # the same numbers under the axis
    assert not np.array_equal(*(np.asarray(frame)[40:-40] for frame in frames))
    assert plt.get_fignums() == []


def test_a_table_holds_the_animations_themselves(tmp_path):
    path = tmp_path / "training.gif"
    animation.write_animation([Image.new("RGB", (4, 2)), Image.new("RGB", (4, 2))], path)
    table = animation.html_table({"size <2": [path, path], "size 4": [path]})
    assert re.findall("<th>(.*?)</th>", table) == ["size &lt;2", "size 4"]
    held = re.findall('src="data:image/gif;base64,(.*?)"', table)
    assert [base64.b64decode(text) for text in held] == [path.read_bytes()] * 3


def test_gif_has_all_frames_and_holds_the_last(tmp_path):
    frames = [Image.new("RGB", (40, 20), (60 * number, 0, 0)) for number in range(4)]
    animation.write_animation(frames, tmp_path / "training.gif", frames_per_second=5)
    assert [path.name for path in tmp_path.iterdir()] == ["training.gif"]
    durations = []
    with Image.open(tmp_path / "training.gif") as gif:
        assert gif.n_frames == 4
        assert gif.info["loop"] == 0
        for number in range(4):
            gif.seek(number)
            durations.append(gif.info["duration"])
    assert durations == [200, 200, 200, 2000]


def test_a_long_animation_stays_small(tmp_path):
    pictures = RNG.integers(0, 256, (50, 10, 28, 28, 1), dtype=np.uint8)
    frames = animation.reconstruction_frames(pictures[0], pictures)
    animation.write_animation(frames, tmp_path / "training.gif")
    assert (tmp_path / "training.gif").stat().st_size < 3_000_000


def test_no_frames_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one frame"):
        animation.write_animation([], tmp_path / "training.gif")
    assert list(tmp_path.iterdir()) == []
