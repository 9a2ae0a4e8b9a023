import numpy as np
import pandas as pd
import pytest

from vae_keras import references, runs, sweep
from vae_keras.references import REFERENCES, REFINED, RUNNING, TEST, TRAINED


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_KERAS_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def finish(sweep_name, seeds=(0,)):
    """Finishes the runs of a sweep with values that can be told apart."""
    for parameters in sweep.declared_runs(sweep_name, "study"):
        for seed in seeds:
            folder = runs.start_run(**{**parameters, "seed": seed})
            history = {"loss": [200.0, 130.0 + seed], "reconstruction_loss": [190.0, 121.0]}
            pd.DataFrame(history | {"kl_divergence": [10.0, 9.0]}).to_csv(folder / "history.csv")
            measures = {"elbo": -140.0, "train_elbo": -129.0, "refined_elbo": -131.0}
            runs.finish_run(folder, measures | {"reconstruction_loss": 133.0, "kl_divergence": 7.0})
    return runs.write_results()


def row(table, name, measure, images, model="residual"):
    compared = references.compare(table)
    chosen = (compared["id"] == name) & (compared["measure"] == measure)
    if name in ("L1", "L2"):
        chosen &= compared["model"].str.startswith(model)
    (found,) = compared[chosen & (compared["images"] == images)].to_dict("records")
    return found


def test_each_split_has_its_own_value():
    table = finish("s3")
    assert row(table, "L1", "total", RUNNING)["obtained"] == 130.0
    assert row(table, "L1", "total", TRAINED)["obtained"] == 129.0
    assert row(table, "L1", "total", TEST)["obtained"] == 140.0
    assert row(table, "L1", "KL", TEST)["obtained"] == 7.0
    total = row(table, "L1", "total", TEST)
    np.testing.assert_allclose(total["difference"], 140.0 - 132.39)
    assert total["reference"] == 132.39 and np.isnan(total["spread"])
    assert total["runs"].startswith("mnist_residual_bce_z2_beta1_seed0_")


def test_refined_posteriors_stand_beside_amortised_ones():
    table = finish("s3_gap")
    assert row(table, "L2", "total", REFINED, "deep_mlp")["obtained"] == 131.0
    assert row(table, "L2", "total", TEST, "deep_mlp")["obtained"] == 140.0


def test_seeds_have_a_mean_and_a_spread():
    total = row(finish("s3", seeds=(0, 1)), "L1", "total", RUNNING)
    assert (total["obtained"], total["spread"]) == (130.5, 0.5)
    assert total["runs"].count("mnist_residual") == 2


def test_what_has_not_run_says_why():
    table = finish("s3")
    assert row(table, "L3", "total", TEST)["runs"] == "not run: data not available"
    none = finish("s3").drop(columns="refined_elbo")  # no run has searched for posteriors yet
    assert np.isnan(row(none, "L1", "total", REFINED, "deep_mlp")["obtained"])
    missing = row(table, "L4", "total", RUNNING)
    assert missing["runs"] == "not run: `make sweep SWEEP=keras_example BUDGET=study`"
    assert np.isnan(missing["obtained"]) and np.isnan(missing["difference"])


def test_the_table_has_two_decimals_and_leaves_out_what_is_missing():
    compared = references.compare(finish("s3"))
    header, _, first, *_ = references.markdown(compared).splitlines()
    assert header.startswith("| id | work | model | measure | images | reference (nats/image) | ")
    run = compared["runs"].iloc[0]
    assert first.endswith(f" | {RUNNING} | 132.39 | 130.00 |  | -2.39 | {run} |")
    assert "| residual, latent size 2, 15 epochs | total |" in first


def test_every_reference_is_repeated_by_a_declared_run():
    for reference in REFERENCES:
        settings = {**sweep.FIXED, **sweep.BUDGETS["study"], **reference.settings}
        declared = sweep.declared_runs(reference.sweep, "study")
        assert runs.run_name(settings) in [runs.run_name(run) for run in declared], reference.id


def test_published_parts_add_up():
    for reference in REFERENCES:
        if len(reference.values) == 3:
            parts = reference.values["reconstruction"] + reference.values["KL"]
            np.testing.assert_allclose(parts, reference.values["total"], atol=0.005)
