import keras
import numpy as np
import pytest

from vae_keras.evaluation.evaluate import evaluate, evaluate_samples

SHAPE = (8, 8, 1)
IMAGES = np.random.default_rng(0).integers(0, 256, (300, *SHAPE), dtype=np.uint8)
LABELS = np.arange(300) % 3
TRAIN, TEST = (IMAGES, LABELS), (IMAGES[:90], LABELS[:90])
GAP = {
    *("exact_nll", "refined_elbo", "gap_approximation", "gap_amortisation", "gap_decoder"),
    *("gap_amortisation_generalisation", "num_gap_images"),
}
BINARY = {"excess", "train_excess", "binary_nll", "num_binary_nll_images", "num_binary_nll_samples"}
DENSITY = {"nll", "num_nll_images", "num_nll_samples"}
BITS = {"bits_per_dim", "elbo_bits_per_dim"}


@pytest.fixture
def judge():
    inputs = keras.Input(SHAPE, dtype="uint8")
    flat = keras.layers.Flatten(dtype="float32")(keras.layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, keras.layers.Dense(4)(flat))


@pytest.mark.parametrize(
    "likelihood, latent_dim, num_classes, expected",
    [
        ("bce", 2, 0, BINARY | GAP),
        ("bce", 2, 3, BINARY),
        ("bce", 3, 0, BINARY),
        ("sigma", 2, 0, DENSITY),
        ("logistic", 2, 3, DENSITY | BITS),
    ],
)
def test_each_likelihood_has_its_measures(build_vae, likelihood, latent_dim, num_classes, expected):
    vae = build_vae(latent_dim=latent_dim, num_classes=num_classes, likelihood=likelihood)
    metrics = evaluate(vae, TEST, TRAIN)
    assert set(metrics) & (GAP | BINARY | DENSITY | BITS) == expected
    assert np.isfinite(list(metrics.values())).all()
    if likelihood == "logistic":
        assert 7 < metrics["bits_per_dim"] < 9.5  # 8 is the uniform distribution
        assert metrics["bits_per_dim"] < metrics["elbo_bits_per_dim"] + 0.01


def test_images_without_labels_have_no_probe(build_vae):
    vae = build_vae(likelihood="mse")
    with_labels = evaluate(vae, TEST, TRAIN)
    without = evaluate(vae, (TEST[0], None), (TRAIN[0], None))
    assert set(with_labels) - set(without) == {"probe_accuracy"}


def test_measures_relative_to_the_images_need_images_that_differ(build_vae):
    one = np.full((1, *SHAPE), 128, "uint8"), None
    metrics = evaluate(build_vae(latent_dim=3), one, (TRAIN[0], None), num_nll_images=0)
    assert not {"explained_variance", "sharpness"} & set(metrics)
    assert np.isfinite(list(metrics.values())).all()


def test_a_partial_evaluation_skips_the_bounds(small_vae):
    metrics = evaluate(small_vae, TEST, TRAIN, num_nll_images=0)
    assert "excess" in metrics and not {"binary_nll", "exact_nll"} & set(metrics)


@pytest.mark.parametrize("num_classes", [0, 3])
def test_samples_are_measured_against_held_out_images(build_vae, judge, num_classes):
    vae = build_vae(num_classes=num_classes)
    distances = evaluate_samples(vae, judge, TEST, TRAIN, num_samples=400)
    assert (distances.pop("num_fd_images"), distances.pop("num_fd_samples")) == (90, 400)
    assert set(distances) == {"fd_samples", "fd_reconstructions", "fd_mixture"}
    assert min(distances.values()) > 0
    assert evaluate_samples(vae, None, TEST, TRAIN) == {}


def test_a_mixture_of_codes_samples_better_than_the_prior(build_vae, judge):
    # The codes are far from the prior, and decoded images get brighter with the code.
    vae = build_vae(latent_dim=1)
    vae.encoder.get_layer("z_mean").bias.assign([5.0])
    for layer in vae.decoder.layers:
        if layer.weights:
            layer.kernel.assign(np.abs(layer.kernel))
    distances = evaluate_samples(vae, judge, TEST, TRAIN, num_samples=400)
    codes_match = abs(distances["fd_mixture"] - distances["fd_reconstructions"])
    assert codes_match < 0.1 * abs(distances["fd_samples"] - distances["fd_reconstructions"])
