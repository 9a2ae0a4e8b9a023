import dataclasses

import numpy as np
import pandas as pd
import pytest

from vae_keras import findings, runs, sweep
from vae_keras.claims import CLAIMS, Claim
from vae_keras.parameters import PARAMETERS

SIZES = Claim("sizes", "03_latent_dim", [[("elbo", {"latent_dim": size}) for size in (2, 8, 32)]])


def table(values):
    """A table of study runs from a dict of `(dataset, latent_dim, seed)` to the ELBO."""
    rows = []
    for (dataset, latent_dim, seed), elbo in values.items():
        parameters = {
            **sweep.FIXED, **sweep.BUDGETS["study"],
            "dataset": dataset, "latent_dim": latent_dim, "seed": seed,
        }  # fmt: skip
        rows.append({"run": runs.run_name(parameters), **parameters, "elbo": elbo})
    return pd.DataFrame(rows)


def three_seeds(*means, spread=1.0):
    return table(
        {
            ("cifar10", size, seed): mean + spread * (seed - 1)
            for size, mean in zip((2, 8, 32), means)
            for seed in (0, 1, 2)
        }
    )


@pytest.mark.parametrize(
    "means, verdict",
    [
        ((-30, -20, -10), findings.HOLDS),
        ((-30, -20, -19), findings.UNDECIDED),  # the last two overlap
        ((-10, -20, -5), findings.FAILS),
        ((-10, -20, -20), findings.FAILS),
    ],
)
def test_a_chain_holds_if_all_seeds_rise_along_it(means, verdict):
    finding = findings.check(SIZES, three_seeds(*means), "cifar10")
    assert (finding.verdict, finding.dataset) == (verdict, "cifar10")


def test_evidence_has_every_number_and_its_spread():
    finding = findings.check(SIZES, three_seeds(-30, -20, -10), "cifar10")
    assert finding.evidence == (
        "ELBO in nats/image -30.0 ± 1.0 at latent size 2, -20.0 ± 1.0 at latent size 8, "
        "-10.0 ± 1.0 at latent size 32; 3 seeds"
    )
    pair = Claim("pair", "03_latent_dim", [SIZES.rising[0][:2]])
    evidence = findings.check(pair, three_seeds(-30, -20, -10), "cifar10").evidence
    assert evidence.endswith("at latent size 8; difference 10.0; 3 seeds")


@pytest.mark.parametrize(
    "difference, verdict",
    [(1.9, findings.UNDECIDED), (2.1, findings.HOLDS), (-2.1, findings.FAILS)],
)
def test_single_seeds_must_differ_by_more_than_seeds_do_elsewhere(difference, verdict):
    values = {("cifar10", 128, seed): float(seed) for seed in (0, 1, 2)}  # a range of 2
    values |= {("cifar10", 2, 0): -50.0, ("cifar10", 8, 0): -50.0 + difference}
    pair = Claim("pair", "03_latent_dim", [SIZES.rising[0][:2]])
    assert findings.check(pair, table(values), "cifar10").verdict == verdict


def test_a_claim_about_other_runs_than_the_studys_names_how_they_differ():
    others = three_seeds(-30, -20, -10).assign(epochs=3)
    others["run"] = [runs.run_name(row) for row in others[[*PARAMETERS]].to_dict("records")]
    everything = pd.concat([three_seeds(-10, -20, -30), others], ignore_index=True)
    claim = dataclasses.replace(SIZES, base={"epochs": 3})
    assert findings.check(SIZES, everything, "cifar10").verdict == findings.FAILS
    finding = findings.check(claim, everything, "cifar10")
    assert finding.verdict == findings.HOLDS
    assert finding.evidence.startswith("ELBO in nats/image -30.0 ± 1.0 at latent size 2, ")


def test_nothing_is_decided_without_a_spread_or_without_runs():
    single = table({("cifar10", size, 0): float(size) for size in (2, 8, 32)})
    assert findings.check(SIZES, single, "cifar10").verdict == findings.UNDECIDED
    finding = findings.check(SIZES, single, "fashion_mnist")
    assert finding.verdict == findings.UNDECIDED
    assert finding.evidence == "not run"
    finding = findings.check(SIZES, single[single["latent_dim"] != 8], "cifar10")
    assert "not run at latent size 8" in finding.evidence
    assert finding.evidence.endswith("; 0 to 1 seeds")


def test_all_claims_are_checked_on_all_their_data_sets():
    found = findings.check_all(three_seeds(-30, -20, -10))
    assert len(found) == sum(len(claim.datasets) for claim in CLAIMS)
    assert all(
        np.isin(finding.verdict, [findings.HOLDS, findings.FAILS, findings.UNDECIDED])
        for finding in found
    )
