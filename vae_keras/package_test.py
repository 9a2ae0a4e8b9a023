"""The package as users install it: its imports, and a wheel outside the checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TRAINS = """
import sys
import vae_keras
assert "tensorflow" not in sys.modules
import vae_keras.losses  # any module may come first
from vae_keras import VAE, build_networks, build_optimizer, load_images
images, _ = load_images("digits", "train")
vae = VAE(*build_networks("mlp", images.shape[1:], 2))
vae.adapt(images)
vae.compile(optimizer=build_optimizer(num_steps=3 * len(images) // 64))
losses = vae.fit(images, epochs=3, batch_size=64, verbose=0).history["loss"]
assert losses[-1] < losses[0]
print(vae_keras.__file__, vae.sample(3).shape)
"""


def test_unknown_names_are_refused():
    import vae_keras

    with pytest.raises(AttributeError, match="has no attribute 'VEA'"):
        vae_keras.VEA  # noqa: B018
    assert {"VAE", "build_networks", "build_optimizer", "load_images"} <= set(dir(vae_keras))


def test_a_wheel_trains_outside_the_checkout(tmp_path):
    wheels, site = tmp_path / "wheels", tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", wheels, ROOT], check=True
    )
    (wheel,) = wheels.iterdir()
    names = zipfile.ZipFile(wheel).namelist()
    assert "vae_keras/study/sweeps.py" in names and "vae_keras/published/registry.txt" in names
    assert not [name for name in names if name.endswith(("_test.py", "conftest.py"))]
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True)
    result = subprocess.run(
        # Isolated from the checkout: only the wheel's folder comes before the dependencies.
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r})\n{TRAINS}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[0].startswith(str(site))
    assert result.stderr == ""  # TensorFlow starts without notices
