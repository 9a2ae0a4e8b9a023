"""Fixtures for the tests of figures."""

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def flat_images():
    """Returns a function that makes images of 4x3 pixels, each with a single grey level."""

    def make(levels, channels=1):
        levels = np.array(levels, "uint8").reshape(-1, 1, 1, 1)
        return np.broadcast_to(levels, (len(levels), 4, 3, channels)).copy()

    return make


@pytest.fixture
def legend_texts():
    """Returns a function that reads the legend of a figure."""
    return lambda figure: [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.fixture
def runs():
    """Returns runs of two data sets, five latent sizes and three seeds, as in results.csv."""
    return pd.DataFrame(
        {
            "dataset": dataset,
            "likelihood": "bce",
            "latent_dim": size,
            "beta": 4 / size,
            "seed": seed,
            "reconstruction_loss": scale / size + seed,
            "kl_divergence": 2.0 * size + seed,
            "psnr": float(size + seed),
        }
        for dataset, scale in (("fashion_mnist", 240), ("cifar10", 1800))
        for size in (2, 4, 8, 16, 32)
        for seed in (0, 1, 2)
    )
