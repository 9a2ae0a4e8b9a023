"""Executes the code of the README and the site as it stands, on images written here."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae_keras.data.embedded import write_stand_ins

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", "docs/index.md", "docs/own_images.md", "docs/pretrained.md"]


@pytest.fixture
def images(tmp_path, monkeypatch):
    """A user's images, and stand-ins for the public data sets; the working directory is new."""
    colours = np.random.default_rng(0).integers(0, 256, (200, 40, 48, 3), dtype=np.uint8)
    for number, pixels in enumerate(colours):
        folder = tmp_path / "images" / f"class {number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    np.savez(tmp_path / "file.npz", images=colours[:, :32, :32])
    write_stand_ins(tmp_path / "data")
    monkeypatch.setenv("VAE_KERAS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page, images):
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.+?)```", text, flags=re.DOTALL)
    assert blocks
    names = {}
    for block in blocks:
        block = block.replace("/path/to/", f"{images}/")
        exec(re.sub(r"epochs=\d+", "epochs=1, verbose=0", block), names)
