import numpy as np
import pytest

from vae_keras.figures import names

LABELS = {
    "fashion_mnist": "Fashion-MNIST",
    "mse": "unit variance",
    "latent_dim": "latent size",
    "psnr": "PSNR (dB)",
    "elbo": "beta-VAE",
    "folder:/home/me/birds/": "birds",
    "/home/me/birds.npz": "birds",
    "z_1": "z_1",
}


def test_labels_are_display_names():
    assert {name: names.label(name) for name in LABELS} == LABELS


def test_headings_name_measures_with_their_units():
    assert names.heading("mse") == "MSE (1/pixel)"
    assert names.heading("linear_psnr") == "PSNR, linear twin (dB)"
    assert names.heading("num_fd_images") == "images, FD"
    assert names.heading("python_version") == "python version"


@pytest.mark.parametrize(
    "column, value, shown",
    [
        ("psnr", 18.456, "18.46"),
        ("num_parameters", 2519395, "2,519,395"),
        ("beta", 0.5, "0.5"),
        ("latent_dim", np.int64(32), "32"),
        ("likelihood", "mse", "unit variance"),
        ("conditional", np.bool_(True), "yes"),
        ("nll", np.nan, ""),
        ("nll", None, ""),
    ],
)
def test_format_value(column, value, shown):
    assert names.format_value(column, value) == shown
