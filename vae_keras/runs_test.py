import json

import numpy as np
import pandas as pd
import pytest

from vae_keras import runs
from vae_keras.parameters import LATER
from vae_keras.parameters_test import VALID


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_KERAS_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def test_name_depends_on_every_parameter_and_not_on_its_spelling():
    others = dict(
        dataset="cifar10", latent_dim=3, beta=1.5, likelihood="mse", architecture="plain",
        conditional=True, warmup_epochs=0.5, kl_cycles=2, free_bits=0.1, epochs=2, batch_size=64,
        learning_rate=2e-3, train_fraction=0.5, seed=1, evaluation_fraction=0.5, hidden_units=7, cosine_decay=True, encoder_shift=1, refine_steps=3,
    )  # fmt: skip
    changed = [{**VALID, name: value} for name, value in others.items() if name != "kl_cycles"]
    changed.append({**VALID, "epochs": 4, "warmup_epochs": 1, "kl_cycles": 2})
    assert len({runs.run_name(parameters) for parameters in [VALID, *changed]}) == 20
    assert runs.run_name(VALID) == runs.run_name(
        {**dict(reversed(VALID.items())), "beta": 1, "latent_dim": np.int64(2), "train_fraction": 1}
    )


def test_runs_recorded_before_a_parameter_came_keep_their_name_and_get_its_value(models):
    # The name of a committed run, made when there were 14 parameters.
    early = dict(
        dataset="fashion_mnist", latent_dim=32, beta=1.0, likelihood="bce", architecture="residual",
        conditional=False, warmup_epochs=0.0, kl_cycles=1, free_bits=0.0, epochs=4, batch_size=128,
        learning_rate=1e-3, train_fraction=0.85, seed=0,
    )  # fmt: skip
    name = runs.run_name({**early, **LATER})
    assert name == "fashion_mnist_residual_bce_z32_beta1_seed0_3a5cae2f"
    folder = models / name
    folder.mkdir(parents=True)
    (folder / "params.json").write_text(json.dumps(early))
    (folder / "metrics.json").write_text("{}")
    runs.write_results()
    row = runs.load_results().iloc[0]
    assert all(row[parameter] == value for parameter, value in LATER.items())


def test_life_of_a_run(models):
    assert not runs.is_finished(VALID)
    folder = runs.start_run(**VALID)
    assert folder == models / runs.run_name(VALID)
    assert json.loads((folder / "params.json").read_text()) == VALID
    assert not runs.is_finished(VALID)
    runs.finish_run(folder, {"elbo": -240.5, "device": "CPU"})
    assert runs.is_finished(VALID)
    assert sorted(path.name for path in folder.iterdir()) == ["metrics.json", "params.json"]
    runs.start_run(**VALID)
    assert not runs.is_finished(VALID)


def test_results_have_a_row_for_each_finished_run(models):
    for seed in (0, 1, 2):
        folder = runs.start_run(**{**VALID, "seed": seed})
        if seed != 1:
            runs.finish_run(folder, {"elbo": -240.123456789 - seed, "device": "CPU"})
    written = runs.write_results()
    loaded = runs.load_results()
    assert sorted(loaded["seed"]) == [0, 2]
    assert set(loaded.columns) == {"run", *VALID, "elbo", "device"}
    np.testing.assert_allclose(loaded["elbo"], written["elbo"], rtol=1e-5)
    runs.write_results()
    pd.testing.assert_frame_equal(runs.load_results(), loaded)


def test_a_table_of_before_a_parameter_was_added_gets_its_column(models):
    runs.finish_run(runs.start_run(**VALID), {"elbo": -1.0})
    written = runs.write_results()
    written.drop(columns=list(LATER)).to_csv(models / runs.RESULTS, index=False)
    loaded = runs.load_results()
    assert {name: loaded[name].item() for name in LATER} == LATER


def test_results_of_nothing_are_an_empty_table():
    assert len(runs.write_results()) == 0


def test_select_takes_finished_runs_in_the_declared_order():
    declared = [{**VALID, "seed": seed} for seed in (3, 1, 2)]
    for parameters in declared[:2]:
        runs.finish_run(runs.start_run(**parameters), {"elbo": -1.0})
    runs.finish_run(runs.start_run(**{**VALID, "seed": 9}), {"elbo": -1.0})
    runs.write_results()
    assert list(runs.select(runs.load_results(), declared)["seed"]) == [3, 1]


def test_missing_table_says_how_to_make_it():
    with pytest.raises(FileNotFoundError, match="make sweep"):
        runs.load_results()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_diverged_run_stays_unfinished(value):
    folder = runs.start_run(**VALID)
    with pytest.raises(ValueError, match="`elbo` must be a finite number.*learning_rate"):
        runs.finish_run(folder, {"elbo": value})
    assert not runs.is_finished(VALID)


def test_bad_parameters_leave_nothing_behind(models):
    with pytest.raises(ValueError, match="Missing: seed"):
        runs.start_run(**{name: VALID[name] for name in VALID if name != "seed"})
    with pytest.raises(ValueError, match="unknown parameter"):
        runs.start_run(**VALID, depth=3)
    with pytest.raises(ValueError, match="`latent_dim`"):
        runs.start_run(**{**VALID, "latent_dim": 0})
    assert not models.exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VAE_KERAS_MODELS", str(tmp_path / "file"))
    with pytest.raises(OSError, match="cannot write to .*file.*VAE_KERAS_MODELS"):
        runs.start_run(**VALID)


def test_models_folder_is_the_checkouts_by_default(monkeypatch):
    monkeypatch.delenv("VAE_KERAS_MODELS")
    assert (runs.models_folder().parent / "pyproject.toml").exists()


def test_images_lie_beside_a_link_to_the_runs(tmp_path, monkeypatch):
    (tmp_path / "checkout").mkdir()
    (tmp_path / "disk" / "runs").mkdir(parents=True)
    link = tmp_path / "checkout" / "models"
    link.symlink_to(tmp_path / "disk" / "runs", target_is_directory=True)
    monkeypatch.setenv("VAE_KERAS_MODELS", str(link))
    assert runs.models_folder() == link
    assert runs.images_folder() == tmp_path / "checkout" / "images"
