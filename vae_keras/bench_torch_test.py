import numpy as np
import pytest

from vae_keras.vae import VAE

pytest.importorskip("torch")
from vae_keras import bench_torch  # noqa: E402, after the check that there is PyTorch


@pytest.mark.parametrize("image_shape", [(28, 28, 1), (32, 32, 3)])
def test_the_network_has_the_same_weights(image_shape):
    vae = VAE(image_shape, 32)
    weights = sum(weight.numel() for weight in bench_torch.TorchVAE(image_shape, 32).parameters())
    assert weights == vae.encoder.count_params() + vae.decoder.count_params()


def test_a_measurement_passes_over_all_images():
    images = np.zeros((10, 8, 8, 3), np.uint8)
    assert bench_torch.training(images, 2, 1e-3, batch_size=4, compiled=False)() == 10
