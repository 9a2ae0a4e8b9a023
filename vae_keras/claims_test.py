from vae_keras import runs, sweep
from vae_keras.claims import CLAIMS


def test_every_claim_is_about_declared_runs_and_a_notebook():
    notebooks = {path.stem for path in sweep.NOTEBOOK.parent.glob("*.ipynb")}
    declared = {
        runs.run_name(parameters)
        for name in ("study", "s0")
        for parameters in sweep.declared_runs(name, "study")
    }
    for claim in CLAIMS:
        assert claim.notebook in notebooks, claim.statement
        for chain in claim.rising:
            assert len(chain) > 1
            for _, changes in chain:
                for dataset in claim.datasets:
                    common = {**sweep.FIXED, **sweep.BUDGETS["study"], **claim.base}
                    run = {**common, "dataset": dataset, **changes}
                    assert runs.run_name(run) in declared, (claim.statement, changes)
