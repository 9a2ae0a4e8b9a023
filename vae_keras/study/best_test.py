import json

import numpy as np
import pandas as pd
import pytest

from vae_keras.runtime import keras
from vae_keras.study import best, best_runs, runs


@pytest.fixture
def data(small_data, monkeypatch):
    monkeypatch.setattr(best_runs, "NUM_SAMPLES", 3)
    for settings in best.SETTINGS.values():
        monkeypatch.setitem(settings, "epochs", 2)


def test_binary_draws_are_black_or_white_with_the_grey_levels_as_probabilities():
    keras.utils.set_random_seed(0)
    levels = np.uint8([0, 51, 204, 255])
    images = np.tile(levels, (1, 100, 100, 1))
    drawn = np.asarray(best_runs.draw_binary(images))
    assert drawn.dtype == np.uint8 and set(np.unique(drawn)) == {0, 255}
    np.testing.assert_allclose(drawn.mean(axis=(0, 1, 2)), levels, atol=255 * 0.02)
    assert (drawn[..., 0] == 0).all() and (drawn[..., 3] == 255).all()


def test_a_run_is_recorded_and_stands_beside_published_values(data, models):
    assert "Not run yet" in best.markdown()
    path = best_runs.run("mnist")
    record = json.loads(path.read_text())
    assert record["num_images"] == 20 and record["num_samples"] == 3
    assert record["nll"] < -record["elbo"]  # the bound with several draws is tighter
    history = pd.read_csv(path.parent / "history.csv")
    assert len(history) == 2 and history["val_loss"][1] < history["val_loss"][0]
    assert not (path.parent / runs.BACKUP).exists()
    text = best.markdown()
    assert f"**{record['nll']:.2f}**" in text and "84.45" in text and "CIFAR-10" not in text


def test_images_in_colour_are_measured_in_bits(data, models):
    record = json.loads(best_runs.run("cifar10").read_text())
    np.testing.assert_allclose(record["bits_per_dim"], record["nll"] / (3072 * np.log(2)))
    assert f"**{record['bits_per_dim']:.2f}**" in best.markdown()


def test_an_interrupted_training_continues(data, models, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(best_runs, "elbo_terms", stop)
        best_runs.run("mnist")
    folder = best.record_path("mnist").parent
    before = (folder / "history.csv").read_text()
    monkeypatch.setattr(best_runs.VAE, "train_step", stop)
    best_runs.run("mnist")  # nothing is left to train
    assert (folder / "history.csv").read_text() == before


def test_an_unknown_data_set_is_refused(capsys):
    with pytest.raises(SystemExit):
        best_runs.main(["svhn"])
    assert "invalid choice: 'svhn' (choose from" in capsys.readouterr().err
