import numpy as np
import pytest
import tensorflow as tf

from vae_keras.evaluation.codes import draw_codes
from vae_keras.evaluation.fitted import Mixture, SecondStage
from vae_keras.priors import StandardNormal

SHAPE = (8, 8, 1)
RNG = np.random.default_rng(0)
ANGLES = RNG.uniform(0, 2 * np.pi, 4000)
# The first two pixels give the position of the code on a ring of radius 2.
IMAGES = np.zeros((4000, *SHAPE), "uint8")
IMAGES[:, 0, 0, 0], IMAGES[:, 0, 1, 0] = 127 + 127 * np.cos(ANGLES), 127 + 127 * np.sin(ANGLES)


@pytest.fixture
def ring_vae(build_vae):
    """Returns a model whose codes lie on a ring, which no normal distribution fits."""
    vae = build_vae()

    def moments(images, labels=None):
        mean = (tf.cast(images[:, 0, :2, 0], "float32") - 127) / 127 * 2
        return mean, tf.fill(tf.shape(mean), -6.0)

    vae.moments = moments
    return vae


def radii(z):
    return np.linalg.norm(z, axis=1)


@pytest.mark.parametrize("fit", [Mixture, SecondStage])
def test_drawn_codes_follow_the_codes_of_the_images(ring_vae, fit):
    settings = {"num_steps": 1500} if fit is SecondStage else {}
    source = fit(ring_vae, IMAGES, **settings)
    z = draw_codes(source, 2000)
    assert z.shape == (2000, 2) and z.dtype == "float32"
    assert abs(radii(z).mean() - 2) < 0.2 and radii(z).std() < 0.5
    quadrants = np.bincount(2 * (z[:, 0] > 0) + (z[:, 1] > 0))
    assert quadrants.min() > 300  # all around
    images = ring_vae.sample(5, codes=source)
    assert images.shape == (5, *SHAPE)
    assert not np.array_equal(images, ring_vae.sample(5, codes=source))


def test_prior_draws_are_the_same_in_every_run():
    prior = StandardNormal()
    prior.latent_dim = 3
    expected = np.random.default_rng(0).standard_normal((7, 3), "float32")
    np.testing.assert_array_equal(draw_codes(prior, 7), expected)
