"""Statements about the study, each with the statistic that says whether it holds."""

import dataclasses

import numpy as np

from vae_keras import runs
from vae_keras.claims import CLAIMS
from vae_keras.sweep import BUDGETS, FIXED, SEEDS, declared_runs
from vae_keras.tables import COLUMNS, format_spread, format_value

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"


@dataclasses.dataclass(frozen=True)
class Finding:
    """A statement that was checked.

    Attributes:
        statement: what is claimed.
        dataset: the data set it was checked on.
        verdict: "holds", "does not hold" or "undecided".
        evidence: the numbers, with their spread over seeds.
        notebook: stem of the notebook that shows it.
    """

    statement: str
    dataset: str
    verdict: str
    evidence: str
    notebook: str


def check_all(table):
    """Checks every claim on the finished runs of the study.

    Args:
        table: `pandas.DataFrame` of `runs.load_results`.

    Returns:
        List of `Finding`, one for each claim and data set.
    """
    study = study_of(table)
    return [check(claim, table, dataset, study) for claim in CLAIMS for dataset in claim.datasets]


def study_of(table):
    """Returns the rows of the study's runs."""
    return runs.select(table, declared_runs("study", "study"))


def check(claim, table, dataset, study=None):
    """Checks a claim on one data set.

    It holds if along each chain every seed of a term lies below every seed of the next, and does
    not hold if somewhere every seed lies above. Where one of the two has a single seed, they must
    differ by more than the widest range that the study has over seeds of one setting.

    Args:
        claim: `Claim`.
        table: `pandas.DataFrame` of `runs.load_results`.
        dataset: name of the data set.
        study: what `study_of` returns, where it is at hand.

    Returns:
        `Finding`.
    """
    study = study_of(table) if study is None else study
    verdicts = []
    for chain in claim.rising:
        values = [
            seeds_of(table, measure, dataset, claim.base | changes) for measure, changes in chain
        ]
        chances = [widest_range(study, measure, dataset) for measure, _ in chain]
        verdicts += [
            compare(low, high, max(pair_chances))
            for low, high, pair_chances in zip(values, values[1:], zip(chances, chances[1:]))
        ]
    if FAILS in verdicts:
        verdict = FAILS
    else:
        verdict = HOLDS if set(verdicts) == {HOLDS} else UNDECIDED
    evidence = _evidence(claim, table, dataset)
    return Finding(claim.statement, dataset, verdict, evidence, claim.notebook)


def compare(low, high, chance):
    """Decides whether the values of one setting lie below those of another.

    Args:
        low: values of the seeds that are claimed to be lower, `(num_seeds,)`.
        high: values of the others, `(num_seeds,)`.
        chance: by how much two single values may differ by chance.

    Returns:
        "holds", "does not hold" or "undecided".
    """
    if not len(low) or not len(high):
        return UNDECIDED
    margin = chance if min(len(low), len(high)) == 1 else 0.0
    if np.min(high) - np.max(low) > margin:
        return HOLDS
    return FAILS if np.min(low) - np.max(high) > margin else UNDECIDED


def seeds_of(table, measure, dataset, changes):
    """Returns a measure of each finished seed of one setting of the study.

    Args:
        table: `pandas.DataFrame` of `runs.load_results`.
        measure: name of a column.
        dataset: name of the data set, unless the changes have another.
        changes: dict of the parameters that differ from `sweep.FIXED`.

    Returns:
        Array, at most as long as `sweep.SEEDS`.
    """
    settings = {**FIXED, **BUDGETS["study"], "dataset": dataset, **changes}
    rows = runs.select(table, [{**settings, "seed": seed} for seed in SEEDS])
    return rows[measure].dropna().to_numpy() if measure in rows else np.array([])


def widest_range(study, measure, dataset):
    """Returns how far the seeds of one setting of the study lie apart at the most, in a data set.

    Args:
        study: what `study_of` returns.
        measure: name of a column.
        dataset: name of the data set.

    Returns:
        The widest range of a measure over seeds; infinite where no setting has several.
    """
    study = study[study["dataset"] == dataset]
    if measure not in study:
        return np.inf
    settings = [name for name in FIXED if name != "seed"]
    measured = study.dropna(subset=measure).groupby(settings)[measure]
    ranges = (measured.max() - measured.min())[measured.count() > 1]
    return float(ranges.max()) if len(ranges) else np.inf


def _evidence(claim, table, dataset):
    """The numbers of every term, in the order of the claim."""
    terms = []
    for chain in claim.rising:
        terms += [term for term in chain if term not in terms]
    parts, values = {}, []
    for measure, changes in terms:
        values.append(seeds_of(table, measure, dataset, claim.base | changes))
        number = format_spread(measure, values[-1]) if len(values[-1]) else "not run"
        setting = " ".join(_phrase(name, value) for name, value in changes.items())
        parts.setdefault(measure, []).append(f"{number} {setting}")
    if not any(map(len, values)):
        return "not run"
    text = "; ".join(f"{_with_unit(measure)} {', '.join(part)}" for measure, part in parts.items())
    if len(terms) == 2 and all(map(len, values)):
        difference = abs(values[1].mean() - values[0].mean())
        text += f"; difference {format_value(terms[0][0], difference)}"
    counts = sorted({len(seeds) for seeds in values})
    return f"{text}; {' to '.join(map(str, counts))} seed{'s' * (counts != [1])}"


def _with_unit(measure):
    return COLUMNS[measure].replace(" (", " in ").replace(")", "")


def _phrase(name, value):
    """The setting of one parameter, in words."""
    if name in ("conditional", "warmup_epochs"):
        return f"{'with' if value else 'without'} {'label' if name == 'conditional' else 'warm-up'}"
    if name == "dataset":
        return f"on {value}"
    return f"with {value}" if isinstance(value, str) else f"at {COLUMNS[name]} {value:g}"
