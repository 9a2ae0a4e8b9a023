import inspect

import pandas as pd
import pytest

from vae_keras.recipe import build_optimizer
from vae_keras.study import runs, sweeps
from vae_keras.study.parameters import BEYOND, PARAMETERS


@pytest.mark.parametrize("name", sweeps.SWEEPS)
@pytest.mark.parametrize("budget", sweeps.BUDGETS)
def test_every_declaration_is_valid_and_complete(name, budget):
    for substitute in (False, True):
        declared = sweeps.declared_runs(name, budget, substitute)
        assert declared and all(tuple(run)[: len(PARAMETERS)] == PARAMETERS for run in declared)
        assert all(set(run) <= {*PARAMETERS, *BEYOND} for run in declared)
        assert len({runs.run_name(run) for run in declared}) == len(declared)
        if substitute:
            assert {run["dataset"] for run in declared} <= {"digits", "photos", "sprites"}


def test_the_study_is_the_union_of_its_sweeps_lower_seeds_first():
    study = sweeps.declared_runs("study", "study")
    for part in sweeps.STUDY:
        assert all(run in study for run in sweeps.declared_runs(part, "study"))
    seeds = [run["seed"] for run in study]
    assert seeds == sorted(seeds)
    # For each of 2 data sets: 4 latent sizes, 2 more betas and 3 more likelihoods with 5 seeds
    # each; with 3 seeds 3 latent sizes, 4 betas, 4 betas of mse, plain with and without a warm-up,
    # residual with it, 2 cycles, conditional.
    assert len(study) == 2 * (5 * (4 + 2 + 3) + 3 * (3 + 4 + 4 + 2 + 1 + 1 + 1))


def test_runs_of_the_study_use_notebook_02_and_those_beyond_08():
    for run in sweeps.declared_runs("study", "study"):
        assert sweeps.notebook(run) == sweeps.NOTEBOOK
    for sweep, shared in (("priors", 6), ("objectives", 6), ("levels", 6), ("disentanglement", 0)):
        declared = sweeps.declared_runs(sweep, "study")
        usual = [run for run in declared if sweeps.notebook(run) == sweeps.NOTEBOOK]
        assert len(usual) == shared  # the plain VAE on two data sets, three seeds
        assert all(tuple(run) == PARAMETERS for run in usual)
    study = sweeps.declared_runs("study", "study")
    assert [run for run in sweeps.declared_runs("priors", "study") if run in study]


def test_every_setting_has_three_seeds_and_findings_have_five():
    table = pd.DataFrame(sweeps.declared_runs("study", "study"))
    settings = [name for name in PARAMETERS if name != "seed"]
    assert table.groupby(settings)["seed"].nunique().min() == 3
    for name, values in (("latent_dim", [2, 8, 32, 128]), ("beta", [0.1, 1.0, 4.0])):
        assert (table[table[name].isin(values)].groupby(name)["seed"].nunique() == 5).all()
    assert (table.groupby("likelihood")["seed"].nunique() == 5).all()


def test_a_grid_overrides_the_budget_and_the_budget_the_recipe():
    recipe = sweeps.declared_runs("latent_dim", "study")[0]
    assert (recipe["learning_rate"], recipe["batch_size"]) == (4e-3, 64)
    defaults = inspect.signature(build_optimizer).parameters
    for name in ("learning_rate", "learning_rate_schedule"):
        assert recipe[name] == defaults[name].default
    full = sweeps.declared_runs("latent_dim", "full")[0]
    assert (full["learning_rate"], full["epochs"]) == (4e-3, sweeps.BUDGETS["full"]["epochs"])
    wide = sweeps.declared_runs("wide_vae_vs_beta3", "quick")
    assert {run["epochs"] for run in wide if run["architecture"] == "wide"} == {3}


def test_the_number_of_epochs_depends_on_the_data_set(monkeypatch):
    monkeypatch.setitem(sweeps.EPOCHS, "cifar10", 20)
    epochs = {run["dataset"]: run["epochs"] for run in sweeps.declared_runs("beta", "study")}
    assert epochs == {"fashion_mnist": sweeps.EPOCHS["fashion_mnist"], "cifar10": 20}


def test_a_sweep_runs_on_own_images():
    declared = sweeps.declared_runs("quick", "study", dataset="folder:/path/to/birds")
    assert {run["dataset"] for run in declared} == {"folder:/path/to/birds"}
    assert len(declared) == len(sweeps.declared_runs("quick", "study")) / 2
    for budget, fraction in (("study", 1.0), ("quick", 0.5)):
        run = sweeps.declared_runs("quick", budget, dataset="folder:/path/to/birds")[0]
        assert (run["epochs"], run["train_fraction"]) == (12, 1.0)  # there may be few images
        assert run["evaluation_fraction"] == fraction
    run = sweeps.declared_runs("quick", dataset="digits")[0]
    assert (run["epochs"], run["train_fraction"]) == (60, 1.0)
    run = sweeps.declared_runs("quick", dataset="mnist")[0]
    assert (run["epochs"], run["train_fraction"]) == (4, 0.05)


def test_an_unknown_name_is_rejected():
    with pytest.raises(ValueError, match="`sweep` must be one of quick, .*Received: 'fast'"):
        sweeps.declared_runs("fast")
    with pytest.raises(ValueError, match="`budget` must be one of quick, study.*Received: 'huge'"):
        sweeps.declared_runs("quick", "huge")
    with pytest.raises(ValueError, match="`dataset` must be one of"):
        sweeps.declared_runs("quick", dataset="nonsense")


def test_finished_runs_are_in_declared_order_and_an_error_names_the_cure():
    declared = sweeps.declared_runs("latent_dim", "study")
    names = [runs.run_name(declared[number]) for number in (3, 1)]
    table = pd.DataFrame({"run": [*names, "another"]})
    assert list(sweeps.finished_runs(table, "latent_dim", "study")["run"]) == names[::-1]
    with pytest.raises(FileNotFoundError, match="with `make sweep SWEEP=beta BUDGET=full`"):
        sweeps.finished_runs(table, "beta", "full")
    with pytest.raises(FileNotFoundError, match="set VAE_KERAS_MODELS to its folder, models/quick"):
        sweeps.finished_runs(table, "beta", "quick")


def test_a_description_separates_varied_from_common_parameters():
    rows = pd.DataFrame(sweeps.declared_runs("conditional", "study")).assign(**BEYOND)
    text = sweeps.describe(rows)
    varied, common = text.split("Common to all:")
    assert varied.startswith("**Runs: 12** over data set CIFAR-10, Fashion-MNIST; ")
    assert "class labels no, yes" in varied and "seed 0, 1, 2" in varied
    assert "latent size 32" in common and "epochs 18" in common and "free bits" not in text
    assert sweeps.describe(rows[:0]) == "No run is finished."


def test_the_title_of_a_run_is_short(valid):
    valid = valid | sweeps.RECIPE
    assert sweeps.title(valid) == "Fashion-MNIST, z 2, beta 1, seed 0"
    title = sweeps.title(valid | {"free_bits": 0.05, "learning_rate": 0.002})
    assert title == "Fashion-MNIST, z 2, beta 1, free bits 0.05, learning rate 0.002, seed 0"
    title = sweeps.title(valid | {"prior": "vamp"})
    assert title == "Fashion-MNIST, z 2, beta 1, VampPrior, seed 0"
    changes = {"likelihood": "sigma", "conditional": True, "dataset": "folder:/path/to/birds"}
    title = sweeps.title(valid | changes)
    assert title == "birds, z 2, beta 1, learned variance, with class labels, seed 0"
