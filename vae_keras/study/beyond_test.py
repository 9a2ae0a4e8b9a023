import numpy as np
import pytest

from vae_keras.beyond.ladder import LadderPosterior, LadderPrior
from vae_keras.beyond.objectives import BetaTC, Perceptual
from vae_keras.data import sprites
from vae_keras.networks import build_networks
from vae_keras.study import beyond
from vae_keras.study.parameters import BEYOND, CHOICES
from vae_keras.vae import VAE

SHAPE = (8, 8, 1)


def run(**changes):
    usual = {"dataset": "digits", "architecture": "residual", "latent_dim": 8}
    return {**usual, **BEYOND, **changes}


def build(parameters, shape=SHAPE):
    network = beyond.NETWORKS.get(parameters["architecture"], parameters["architecture"])
    networks = build_networks(network, shape, parameters["latent_dim"])
    return VAE(*networks, **beyond.build_parts(parameters, shape))


@pytest.mark.parametrize("name", ["prior", "posterior", "objective"])
def test_every_choice_builds_a_different_part(name):
    usual, *others = CHOICES[name]
    assert beyond.build_parts(run(), SHAPE) == {} and BEYOND[name] == usual
    kinds = [type(beyond.build_parts(run(**{name: other}), SHAPE).get(name)) for other in others]
    expected = len(others) - (name == "prior")  # a second stage is fitted after training
    assert len({kind for kind in kinds if kind is not type(None)}) == expected


def test_a_perceptual_weight_and_a_ladder_also_build_parts():
    perceptual = beyond.build_parts(run(perceptual=2.0), SHAPE)["objective"]
    assert isinstance(perceptual, Perceptual) and perceptual.weight == 2.0
    vae = build(run(architecture="ladder"))
    assert isinstance(vae.prior, LadderPrior) and isinstance(vae.posterior, LadderPosterior)
    assert isinstance(build(run(objective="tc")).objective, BetaTC)


def test_kl_upper_is_the_divergence_of_the_upper_level():
    vae = build(run(architecture="ladder"))
    images = np.random.default_rng(0).integers(0, 256, (30, *SHAPE), dtype=np.uint8)
    found = beyond.evaluate(vae, run(architecture="ladder"), (images, None))
    mean, log_var = (np.asarray(part, "float64")[:, :2] for part in vae.moments(images))
    expected = 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum(axis=1).mean()
    assert set(found) == {"kl_upper"} and expected > 0
    np.testing.assert_allclose(found["kl_upper"], expected, rtol=1e-4)
    assert beyond.evaluate(build(run()), run(), (images, None)) == {}


def test_sprites_are_scored_on_their_known_factors(monkeypatch):
    for name in ("NUM_TRAIN", "NUM_TEST", "NUM_VALIDATION"):
        monkeypatch.setattr(sprites, name, getattr(sprites, name) // 10)
    values = sprites.split_factors("test")
    images = sprites.draw(values, 32)
    vae = build(run(dataset="sprites", latent_dim=5), (32, 32, 1))
    standard = (values - values.mean(0)) / values.std(0)
    codes = standard.astype("float32")
    order = {image.tobytes(): code for image, code in zip(images, codes, strict=True)}
    monkeypatch.setattr(
        beyond,
        "encode",
        lambda vae, images, labels: (np.array([order[i.tobytes()] for i in images]), 0),
    )
    found = beyond.evaluate(vae, run(dataset="sprites"), (images, values[:, 0]))
    assert found["mig"] > 0.8 and found["factor_vae_score"] > 0.99 and found["sap"] > 0.6
    assert found["dci_disentanglement"] > 0.9 and found["modularity"] > 0.95
