import keras
import numpy as np
import pytest

from vae_keras import evaluation
from vae_keras.vae import VAE

SHAPE = (8, 8, 1)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (600, *SHAPE), dtype=np.uint8)  # two batches and a short one
LABELS = np.arange(600) % 3


@pytest.fixture(scope="module")
def vae():
    keras.utils.set_random_seed(0)
    vae = VAE(SHAPE, 3, architecture="mlp")
    vae.compile(optimizer="adam")
    vae.fit(IMAGES, verbose=0)
    posterior = vae.encoder.get_layer("z_log_var")
    posterior.kernel.assign(np.zeros((400, 3)))
    posterior.bias.assign(np.full(3, -60.0))  # so narrow that a draw is the mean
    return vae


def test_elbo_matches_numpy_and_does_not_depend_on_beta(vae):
    vae.kl_weight.assign(7.0)
    metrics = evaluation.evaluate(vae, (IMAGES, LABELS), (IMAGES[:100], LABELS[:100]))
    vae.kl_weight.assign(1.0)
    x, z = IMAGES / 255, np.asarray(vae.encode(IMAGES)[0], "float64")
    p = np.asarray(vae.decode(z), "float64")
    loss = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=(1, 2, 3))
    kl = 0.5 * (z**2 + 60.0 - 1).sum(axis=1)
    expected = {
        "elbo": -(loss + kl).mean(),
        "reconstruction_loss": loss.mean(),
        "kl_divergence": kl.mean(),
        "mse": ((x - p) ** 2).mean(),
        "psnr": (-10 * np.log10(((x - p) ** 2).mean(axis=(1, 2, 3)))).mean(),
        "train_elbo": -(loss + kl)[:100].mean(),
        "active_units": (z.var(axis=0) > 0.01).sum(),
        "num_test_images": 600,
        "num_parameters": (64 * 400 + 400) + 2 * (400 * 3 + 3) + (3 * 400 + 400) + (400 * 64 + 64),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-5, err_msg=name)
    explained = 1 - expected["mse"] / np.var(x, axis=0).mean()
    np.testing.assert_allclose(metrics["explained_variance"], explained, atol=1e-6)
    floor = -(np.where((x > 0) & (x < 1), x, 1) * np.log(np.where(x > 0, x, 1)))
    floor -= (1 - x) * np.log(np.where(x < 1, 1 - x, 1))
    excess = (loss - floor.sum(axis=(1, 2, 3))).mean()
    np.testing.assert_allclose(metrics["excess"], excess, rtol=1e-5)


@pytest.mark.parametrize("likelihood", ["mse", "sigma", "logistic"])
def test_measures_that_do_not_apply_are_left_out(likelihood, monkeypatch):
    monkeypatch.setattr(evaluation, "NUM_NLL_SAMPLES", 20)
    vae = VAE(SHAPE, 2, architecture="mlp", likelihood=likelihood)
    vae.compile(optimizer="adam")
    metrics = evaluation.evaluate(vae, (IMAGES, LABELS), (IMAGES, LABELS))
    assert "excess" not in metrics
    assert ("bits_per_dim" in metrics) == (likelihood == "logistic")
    assert (metrics["num_nll_images"], metrics["num_nll_samples"]) == (600, 20)
    assert metrics["nll"] < -metrics["elbo"] + 0.1
    if likelihood == "logistic":
        assert 7 < metrics["bits_per_dim"] < 9.5  # 8 is the uniform distribution


def test_bce_is_no_density(vae):
    metrics = evaluation.evaluate(vae, (IMAGES, LABELS), (IMAGES, LABELS))
    assert not {"nll", "bits_per_dim"} & set(metrics)
    assert 0 <= metrics["probe_accuracy"] <= 1


@pytest.mark.parametrize("num_classes", [0, 3])
def test_samples_are_measured_against_held_out_images(num_classes, monkeypatch):
    vae = VAE(SHAPE, 2, architecture="mlp", num_classes=num_classes)
    vae.compile(optimizer="adam")
    inputs = keras.Input(SHAPE, dtype="uint8")
    flat = keras.layers.Flatten(dtype="float32")(keras.layers.Rescaling(1 / 255)(inputs))
    extractor = keras.Model(inputs, keras.layers.Dense(4)(flat))
    distances = evaluation.evaluate_samples(
        vae, extractor, (IMAGES[:200], LABELS[:200]), (IMAGES, LABELS), 300
    )
    counts = {"num_fd_images": 200, "num_fd_samples": 300}
    assert distances.items() >= counts.items()
    assert set(distances) - set(counts) == {"fd_samples", "fd_reconstructions", "fd_gmm"}
    assert min(distances.values()) > 0
    monkeypatch.setattr(evaluation, "reconstruct", lambda vae, images, labels: images)
    perfect = evaluation.evaluate_samples(
        vae, extractor, (IMAGES[:200], LABELS[:200]), (IMAGES, LABELS), 300
    )
    assert perfect["fd_reconstructions"] < 1e-6


def test_conditional_models_are_evaluated_with_their_labels():
    vae = VAE(SHAPE, 2, architecture="mlp", num_classes=3)
    vae.compile(optimizer="adam")
    metrics = evaluation.evaluate(vae, (IMAGES, LABELS), (IMAGES, LABELS))
    assert np.isfinite(metrics["elbo"])
    assert not np.allclose(
        evaluation.encode(vae, IMAGES, LABELS)[0], evaluation.encode(vae, IMAGES, LABELS[::-1])[0]
    )


def test_batches_make_no_difference(vae):
    together = np.asarray(vae.reconstruct(IMAGES))
    np.testing.assert_allclose(evaluation.reconstruct(vae, IMAGES), together, atol=1e-6)
    for part, whole in zip(evaluation.encode(vae, IMAGES), vae.encode(IMAGES)):
        assert part.shape == (600, 3)
        np.testing.assert_allclose(part, whole, rtol=1e-4, atol=1e-5)


def test_correlated_codes_give_a_mixture_that_can_be_drawn_from():
    vae = VAE(SHAPE, 8, architecture="mlp")
    kernel = vae.encoder.get_layer("z_mean").kernel
    kernel.assign(10 * kernel)
    brightness = np.linspace(0.1, 1, len(IMAGES)).reshape(-1, 1, 1, 1)
    images = (IMAGES * brightness).astype("uint8")
    extractor = keras.Sequential(
        [keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(4)]
    )
    distances = evaluation.evaluate_samples(
        vae, extractor, (images[:200], LABELS[:200]), (images, LABELS), 300
    )
    assert np.isfinite(distances["fd_gmm"])
