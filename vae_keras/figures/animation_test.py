import base64
import re

import numpy as np
import pytest
from PIL import Image

from vae_keras.figures import animation

RNG = np.random.default_rng(0)


def test_reconstruction_frames_show_originals_above_each_epoch():
    originals = np.full((3, 8, 8, 1), 200, np.uint8)
    pictures = np.stack([np.full((3, 8, 8, 1), level, np.uint8) for level in (0, 50)])
    frames = animation.reconstruction_frames(originals, pictures, scale=2)
    for frame, level in zip(frames, (0, 50), strict=True):
        assert frame.size == (2 * (3 * 8 + 2 * 2), 16 + 2 * (2 * 8 + 2))
        assert frame.getpixel((8, 16 + 8)) == (200, 200, 200)
        assert frame.getpixel((8, 16 + 2 * (8 + 2) + 8)) == (level, level, level)


def test_invalid_animations_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one frame"):
        animation.write_animation([], tmp_path / "training.gif")
    with pytest.raises(ValueError, match="`pictures` must have the shape"):
        animation.reconstruction_frames(np.zeros((3, 8, 8, 1)), np.zeros((5, 2, 8, 8, 1)))


@pytest.mark.parametrize("classes", [["a", "b", "c"], None])
def test_latent_frames_keep_their_limits(classes):
    labels = np.arange(30) % 3 if classes else None
    codes = np.stack([np.zeros((30, 2)), RNG.normal(size=(30, 2))])
    first, second = map(np.asarray, animation.latent_frames(codes, labels, classes))
    np.testing.assert_array_equal(first[-20:], second[-20:])  # the tick labels of the x axis
    assert not np.array_equal(first[40:-40], second[40:-40])


def test_a_gif_has_all_frames_and_holds_the_last(tmp_path):
    frames = [Image.new("RGB", (40, 20), (60 * number, 0, 0)) for number in range(4)]
    animation.write_animation(frames, tmp_path / "training.gif", frames_per_second=5)
    durations = []
    with Image.open(tmp_path / "training.gif") as gif:
        assert gif.info["loop"] == 0
        for number in range(gif.n_frames):
            gif.seek(number)
            durations.append(gif.info["duration"])
    assert durations == [200, 200, 200, 2000]


def test_a_long_animation_stays_small(tmp_path):
    codes = np.linspace(0, 1, 40)[:, None, None] * RNG.normal(size=(1000, 2))
    frames = animation.latent_frames(codes, np.arange(1000) % 10, list("abcdefghij"))
    animation.write_animation(frames, tmp_path / "map.gif")
    assert (tmp_path / "map.gif").stat().st_size < 500_000


def test_a_table_embeds_the_animations(tmp_path):
    path = tmp_path / "training.gif"
    animation.write_animation([Image.new("RGB", (4, 2)), Image.new("RGB", (4, 2))], path)
    table = animation.html_table({"size <2": [path, path], "size 4": [path]})
    assert re.findall("<th>(.*?)</th>", table) == ["size &lt;2", "size 4"]
    held = re.findall('src="data:image/gif;base64,(.*?)"', table)
    assert [base64.b64decode(text) for text in held] == [path.read_bytes()] * 3
