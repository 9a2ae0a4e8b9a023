import json

import numpy as np
import pytest

from vae_keras.data.load import SPLITS, load_images
from vae_keras.evaluation.batched import decode, encode
from vae_keras.evaluation.likelihood import elbo_terms, exact_nll
from vae_keras.study import reproduction_runs, reproductions, runs
from vae_keras.vae import VAE


@pytest.fixture
def sharp_vae(build_vae):
    """A model with narrow posteriors: its decoder tells codes apart."""
    vae = build_vae(image_shape=(28, 28, 1))
    for layer, factor in zip(vae.decoder.layers[1:3], (3, 6), strict=True):
        layer.kernel.assign(factor * layer.kernel)
    return vae


@pytest.fixture
def data(small_data, monkeypatch):
    monkeypatch.setattr(reproduction_runs, "EXAMPLE_EPOCHS", 2)
    monkeypatch.setattr(reproduction_runs, "ENCODER_EPOCHS", 2)
    monkeypatch.setattr(reproduction_runs, "NUM_NLL_IMAGES", 0)


def test_grid_encoder_finds_the_codes_and_the_best_posteriors(sharp_vae):
    codes = np.random.default_rng(0).standard_normal((50, 2)).astype("float32")
    images = decode(sharp_vae, codes)
    vae = VAE(reproduction_runs.grid_encoder(sharp_vae), sharp_vae.decoder)
    z_mean, z_log_var = encode(vae, images)
    assert np.exp(0.5 * z_log_var).mean() < 0.1
    np.testing.assert_allclose(z_mean, codes, atol=0.1)
    elbo = elbo_terms(vae, images)["elbo"]
    np.testing.assert_allclose(elbo, -exact_nll(vae, images), atol=0.5)
    assert elbo > elbo_terms(sharp_vae, images)["elbo"] + 5


def test_moved_encoder_learns_and_leaves_the_decoder_unchanged(sharp_vae, data):
    images = np.round(255 * decode(sharp_vae, np.zeros((40, 2), "float32"))).astype("uint8")
    before = sharp_vae.decoder.get_weights()
    encoder = reproduction_runs.moved_encoder(sharp_vae, images, seed=0)
    for old, new in zip(before, sharp_vae.decoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    learned = elbo_terms(VAE(encoder, sharp_vae.decoder), images)["elbo"]
    assert learned > elbo_terms(sharp_vae, images)["elbo"]


def test_keras_example_trains_on_all_images_and_is_recorded(data, models):
    reproduction_runs.main(["keras_example", "float32", "3"])
    record = json.loads((models / "keras_example" / "float32_seed3.json").read_text())
    assert record["num_images"] == sum(len(load_images("mnist", split)[0]) for split in SPLITS)
    loss, *parts = (record["history"][name] for name in reproductions.LOSSES)
    assert len(loss) == 2 and loss[1] < loss[0]
    np.testing.assert_allclose(loss, np.sum(parts, axis=0), rtol=1e-5)
    assert record["precision"] == "float32"


@pytest.mark.parametrize("name", reproduction_runs.ENCODERS)
def test_another_encoder_is_recorded_in_the_folder_of_the_run(name, sharp_vae, valid, data, models):
    folder = runs.start_run(**valid | {"dataset": "mnist"})
    sharp_vae.save(folder / "model.keras")
    runs.finish_run(folder, {"elbo": -1.0})
    reproduction_runs.main([name, folder.name])
    record = json.loads((folder / f"encoder_{name}.json").read_text())
    assert record["num_test_images"] == 20
    np.testing.assert_allclose(
        record["elbo"], -record["reconstruction_loss"] - record["kl_divergence"]
    )


def test_wrong_arguments_are_refused_with_the_cure(data, models, capsys):
    for arguments, message in (
        ([], "required: EXPERIMENT"),
        (["keras_example", "float16", "0"], "invalid choice: 'float16' (choose from"),
        (["grid", "mnist_run"], "mnist_run has no model.keras"),
    ):
        with pytest.raises(SystemExit):
            reproduction_runs.main(arguments)
        assert message in capsys.readouterr().err
