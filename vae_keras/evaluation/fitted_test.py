import numpy as np
import pytest
import tensorflow as tf

from vae_keras.evaluation.codes import draw_codes
from vae_keras.evaluation.fitted import Mixture, SecondStage
from vae_keras.priors import StandardNormal

SHAPE = (8, 8, 1)
RNG = np.random.default_rng(0)
ANGLES = RNG.uniform(0, 2 * np.pi, 4000)
# The first two pixels say where on a ring of radius 2 the code lies.
IMAGES = np.zeros((4000, *SHAPE), "uint8")
IMAGES[:, 0, 0, 0], IMAGES[:, 0, 1, 0] = 127 + 127 * np.cos(ANGLES), 127 + 127 * np.sin(ANGLES)


@pytest.fixture
def ring_vae(build_vae):
    """A model whose codes lie on a ring: no normal distribution covers it."""
    vae = build_vae()

    def moments(images, labels=None, training=False):
        mean = (tf.cast(images[:, 0, :2, 0], "float32") - 127) / 127 * 2
        return mean, tf.fill(tf.shape(mean), -6.0)

    vae.moments = moments
    return vae


def radii(z):
    return np.linalg.norm(z, axis=1)


@pytest.mark.parametrize("fit", [Mixture, SecondStage])
def test_codes_are_drawn_where_the_images_have_theirs(ring_vae, fit):
    settings = {"num_steps": 1500} if fit is SecondStage else {}
    source = fit(ring_vae, IMAGES, **settings)
    z = draw_codes(source, 2000)
    assert z.shape == (2000, 2) and z.dtype == "float32"
    assert radii(draw_codes(ring_vae.prior, 2000)).mean() < 1.4  # of the prior: sqrt(pi / 2)
    assert abs(radii(z).mean() - 2) < 0.2 and radii(z).std() < 0.5
    quadrants = np.bincount(2 * (z[:, 0] > 0) + (z[:, 1] > 0))
    assert quadrants.min() > 300  # all around
    images = ring_vae.sample(5, codes=source)
    assert images.shape == (5, *SHAPE)
    assert not np.array_equal(images, ring_vae.sample(5, codes=source))


def test_draws_of_the_prior_are_those_of_earlier_runs():
    prior = StandardNormal()
    prior.latent_dim = 3
    expected = np.random.default_rng(0).standard_normal((7, 3), "float32")
    np.testing.assert_array_equal(draw_codes(prior, 7), expected)
