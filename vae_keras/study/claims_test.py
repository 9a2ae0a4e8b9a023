import numpy as np
import pandas as pd
import pytest

from vae_keras.figures import names
from vae_keras.study import claims, report, runs, sweeps, verdicts
from vae_keras.study.parameters import BEYOND
from vae_keras.study.verdicts import Claim, Term, rise

SIZES = Claim("The ELBO rises", rise("elbo", "latent_dim", 2, 8, 32), "03_x", ("cifar10",))


def study(**measures):
    """Returns the study's table: each measure is a function of a run's parameters."""
    declared = sweeps.declared_runs("study", sweeps.SHOWN_BUDGET)
    table = pd.DataFrame({"run": [runs.run_name(run) for run in declared]}).join(
        pd.DataFrame([BEYOND | run for run in declared])
    )
    values = {name: [measure(run) for run in declared] for name, measure in measures.items()}
    return table.assign(**values)


def rises(step, spread=0.1):
    """Returns a measure that rises by `step` from latent size 2 to 8 and from 8 to 32."""
    jitter = (0.0, spread, -spread, spread / 2, -spread / 2)
    return lambda run: (
        step * np.log(run["latent_dim"] / 2) / np.log(4)
        + jitter[run["seed"]] * (1 + (run["latent_dim"] == 32))
    )


@pytest.mark.parametrize(
    "step, spread, verdict",
    [
        (10, 0.1, "supported"),
        (-10, 0.1, "contradicted"),
        (0.1, 0.1, "no difference"),
        (10, 50, "inconclusive"),
    ],
)
def test_verdicts(step, spread, verdict):
    (row,) = claims.check_all(study(elbo=rises(step, spread)), [SIZES]).to_dict("records")
    assert (row["verdict"], row["dataset"]) == (verdict, "cifar10")
    assert (row["measure"], row["unit"], row["margin"]) == ("elbo", "nats/image", 2.0)
    np.testing.assert_allclose(row["difference"], 2 * step, atol=1e-9)
    assert row["low"] < row["difference"] < row["high"]
    assert (row["seeds"], row["notebook"], row["figure"]) == (5, "03", "03_x")


def test_more_claims_make_each_test_stricter():
    table = study(elbo=rises(10, 12))
    others = [SIZES._replace(statement=f"{number}") for number in range(40)]
    assert claims.check_all(table, [SIZES])["verdict"].tolist() == ["supported"]
    assert set(claims.check_all(table, [SIZES, *others])["verdict"]) == {"inconclusive"}
    unmeasured = [claim._replace(datasets=("mnist",)) for claim in others]
    assert claims.check_all(table, [SIZES, *unmeasured])["verdict"][0] == "inconclusive"
    elsewhere = [claim._replace(sweep="levels") for claim in unmeasured]
    assert claims.check_all(table, [SIZES, *elsewhere])["verdict"][0] == "supported"


def test_one_seed_or_a_missing_measure_decides_nothing():
    table = study(elbo=rises(10))
    one = table[(table["seed"] == 0) | (table["latent_dim"] != 8)]
    assert claims.check_all(one, [SIZES])["verdict"].tolist() == ["supported"]  # 8 has weight 0
    one = table[(table["seed"] == 0) | (table["latent_dim"] != 2)]
    (row,) = claims.check_all(one, [SIZES]).to_dict("records")
    assert row["verdict"] == "not decided: too few seeds" and np.isnan(row["difference"])
    assert claims.describe(row) == "**not decided: too few seeds**"
    for missing in (table.drop(columns="elbo"), table.iloc[:0]):
        (row,) = claims.check_all(missing, [SIZES]).to_dict("records")
        assert (row["verdict"], row["seeds"]) == ("not measured", 0)
        assert "not measured (latent size 2)" in row["evidence"]


def test_a_claim_may_combine_measures_of_the_same_runs():
    table = study(fd_samples=lambda run: 30.0 + run["seed"], fd_mixture=lambda run: 10.0)
    terms = (Term(1.0, "fd_samples", {}), Term(-1.0, "fd_mixture", {}))
    checked = claims.check_all(table, [Claim("Mixtures are better", terms, "03_samples")])
    assert checked["difference"].tolist() == [22.0, 22.0]
    assert checked["verdict"].tolist() == ["supported", "supported"]
    assert checked["evidence"][0] == "FD of samples: 32.0 ± 1.6; FD of samples, mixture: 10.0 ± 0.0"


def test_evidence_names_the_parameters_that_differ():
    table = study(
        fd_samples=lambda run: 10.0 + (run["likelihood"] == "mse") + run["beta"],
        elbo=lambda run: -float(run["conditional"]),
    )
    terms = verdicts.exceeds("fd_samples", {"likelihood": "mse", "beta": 0.01}, {})
    asked = [
        Claim("Samples", terms, "05_x", ("cifar10",)),
        Claim("Labels", rise("elbo", "conditional", False, True), "05_x", ("cifar10",)),
    ]
    assert claims.check_all(table, asked)["evidence"].tolist() == [
        "FD of samples: 11.0 ± 0.0 (beta 0.01, unit variance), 11.0 ± 0.0 (beta 1, cross-entropy)",
        "ELBO (nats/image): 0.0 ± 0.0 (without class labels), -1.0 ± 0.0 (with class labels)",
    ]


def test_a_notebook_shows_its_own_claims_with_a_column_for_each_data_set(monkeypatch):
    asked = [
        SIZES._replace(datasets=("fashion_mnist", "cifar10")),
        SIZES._replace(statement="Another", figure="04_x"),
    ]
    monkeypatch.setattr(claims, "CLAIMS", asked)
    budget = sweeps.SHOWN_BUDGET
    text = claims.markdown("03_latent_dim", study(elbo=rises(10)), budget)
    method, _, header, _, row, *evidence = text.splitlines()
    assert method == claims.SUMMARY and "1 nat/image (2 for colour images)" in claims.METHOD
    assert [cell.strip() for cell in header.strip("|").split("|")] == [
        *("claim", "Fashion-MNIST", "CIFAR-10", "seeds")
    ]
    assert "**supported**, +20.0 nats/image (+19.9 to +20.1)" in row and "Another" not in text
    assert evidence[1].startswith("- The ELBO rises. Fashion-MNIST: ELBO (nats/image): 0.0 ± 0.1 (")
    assert "). CIFAR-10: ELBO (nats/image): 0.0 ± 0.1 (" in evidence[1]


@pytest.mark.parametrize("claim", claims.CLAIMS, ids=lambda claim: claim.statement[:40])
def test_every_claim_can_be_decided_by_the_declared_runs(claim):
    declared = sweeps.declared_runs(claim.sweep, "study")
    declared = pd.DataFrame([BEYOND | run for run in declared])
    for term in claim.terms:
        declared[term.measure] = 1.0
    for dataset in claim.datasets:
        seeds = [set(claims.values_of(declared, dataset, *term[1:])) for term in claim.terms]
        assert len(set.intersection(*seeds)) >= 3
        assert verdicts.margin(claim.terms[0].measure, dataset) > 0
    assert {term.measure for term in claim.terms} <= set(names.COLUMNS)
    np.testing.assert_allclose(sum(term.weight for term in claim.terms), 0, atol=1e-12)


def test_the_figure_of_each_measured_claim_exists(monkeypatch):
    monkeypatch.setenv("VAE_KERAS_MODELS", str(report.ROOT / "models"))
    table = runs.load_results()
    checked = claims.check_all(table)
    for claim in checked[checked["verdict"] != "not measured"].itertuples():
        assert (report.ROOT / "images" / f"{claim.figure}.png").exists(), claim.figure


def test_claims_are_decided_on_the_runs_of_the_budget():
    table = study(elbo=rises(10))
    verdict = {b: claims.check_all(table, [SIZES], b)["verdict"].item() for b in sweeps.BUDGETS}
    assert verdict.pop(sweeps.SHOWN_BUDGET) == "supported"
    assert set(verdict.values()) == {"not measured"}


def test_claims_about_other_data_sets_have_their_own_table():
    asked = [
        SIZES._replace(datasets=("fashion_mnist", "cifar10")),
        SIZES._replace(statement="On one of them"),
        SIZES._replace(statement="Elsewhere", datasets=("mnist",)),
    ]
    checked = claims.check_all(study(elbo=rises(10)), asked)
    text = claims.render(checked)
    assert "| On one of them" in text
    assert text.endswith("Not measured yet:\n\n- Elsewhere")
    checked.loc[checked["dataset"] == "mnist", "verdict"] = "not decided: too few seeds"
    text = claims.render(checked)
    headers = [line for line in text.splitlines() if line.startswith("| claim")]
    assert [header.replace(" ", "") for header in headers] == [
        "|claim|Fashion-MNIST|CIFAR-10|seeds|",
        "|claim|MNIST|seeds|",
    ]
    first, second = text.split(headers[1])
    assert "| On one of them" in first and "| Elsewhere" in second


def test_headlines_are_the_first_decided_claim_of_each_figure():
    rows = [
        ("03_a", "open", "mnist", "inconclusive"),
        ("03_a", "mixed", "mnist", "no difference"),
        ("03_a", "mixed", "svhn", "contradicted"),
        ("03_a", "later", "mnist", "supported"),
        ("04_b", "open too", "mnist", "not measured"),
        ("05_c", "other", "mnist", "supported"),
    ]
    checked = pd.DataFrame(rows, columns=["figure", "statement", "dataset", "verdict"])
    found = [(figure, list(shown["dataset"])) for figure, shown in claims.headlines(checked)]
    assert found == [("03_a", ["mnist", "svhn"]), ("05_c", ["mnist"])]
