import pandas as pd
import pytest

from vae_keras import runs, sweep
from vae_keras.parameters import PARAMETERS


@pytest.mark.parametrize("name", sweep.SWEEPS)
@pytest.mark.parametrize("budget", sweep.BUDGETS)
@pytest.mark.parametrize("substitute", [False, True])
def test_every_declaration_is_valid_and_complete(name, budget, substitute):
    declared = sweep.declared_runs(name, budget, substitute)
    assert all(set(parameters) == set(PARAMETERS) for parameters in declared)
    assert len({runs.run_name(parameters) for parameters in declared}) == len(declared)
    if substitute:
        assert {parameters["dataset"] for parameters in declared} <= {"digits", "photos"}


def test_quick_has_the_runs_it_promises():
    for substitute in (False, True):
        declared = sweep.declared_runs("quick", substitute=substitute)
        assert len(declared) >= 12
        for name in ("latent_dim", "beta", "dataset"):
            assert len({parameters[name] for parameters in declared}) > 1


def test_finished_runs_are_those_of_the_declaration_or_an_error_with_a_cure():
    declared = sweep.declared_runs("latent_dim", "study")
    names = [runs.run_name(declared[number]) for number in (3, 1)]
    table = pd.DataFrame({"run": [*names, "another"]})
    assert list(sweep.finished_runs(table, "latent_dim", "study")["run"]) == names[::-1]
    with pytest.raises(FileNotFoundError, match="`make sweep SWEEP=beta BUDGET=full` trains them"):
        sweep.finished_runs(table, "beta", "full")


def test_study_is_all_its_sweeps_the_first_seed_first():
    study = sweep.declared_runs("study", "study")
    names = [runs.run_name(parameters) for parameters in study]
    for part in sweep.STUDY:
        declared = sweep.declared_runs(part, "study")
        assert {runs.run_name(parameters) for parameters in declared} <= set(names)
    seeds = [parameters["seed"] for parameters in study]
    assert seeds == sorted(seeds) and set(seeds) == set(sweep.SEEDS)
    # 2 data sets: 7 latent sizes, 6 more betas and 3 more likelihoods with 3 seeds each; with one
    # seed 4 more betas of mse, plain, 1 warm-up of each network, 2 cycles, conditional.
    assert len(study) == 2 * (3 * (7 + 6 + 3) + 4 + 1 + 2 + 1 + 1)


def test_grids_override_the_budget_and_what_is_fixed():
    run, *_ = sweep.declared_runs("pytorch_example", "full")
    assert (run["epochs"], run["architecture"], run["latent_dim"]) == (10, "mlp", 20)
    assert run["learning_rate"] == sweep.FIXED["learning_rate"]


def test_bad_values_in_a_declaration_are_found(monkeypatch):
    monkeypatch.setattr(sweep, "SWEEPS", {"bad": [{"dataset": ["mnist"], "beta": [-1.0]}]})
    with pytest.raises(ValueError, match="`beta` must be a finite number, at least 0"):
        sweep.declared_runs("bad")
    monkeypatch.setattr(sweep, "SWEEPS", {"bad": [{"dataset": ["mnist"], "depth": [3]}]})
    with pytest.raises(ValueError, match="unknown parameter 'depth'"):
        sweep.declared_runs("bad")
