"""The statistics of the study: what a claim is, and how several seeds decide it."""

from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.05
# Differences below these do not matter, in the unit of the measure.
NATS = ("elbo", "reconstruction_loss", "kl_divergence", "nll", "binary_nll")
MARGINS = {
    **dict.fromkeys(NATS, 1.0),
    **dict.fromkeys(("fd_samples", "fd_mixture", "fd_reconstructions"), 2.0),
    **dict.fromkeys(("ssim", "sharpness", "explained_variance", "probe_accuracy"), 0.01),
    **dict.fromkeys(("active_units", "used_units"), 1.0),
    **dict.fromkeys(("mig", "sap", "modularity", "factor_vae_score"), 0.05),
    **dict.fromkeys(("dci_disentanglement", "dci_completeness"), 0.05),
    "kl_upper": 1.0,
    "bits_per_dim": 0.01,
    "psnr": 0.2,
}
COLOUR = ("cifar10", "svhn")  # four times the numbers in an image: twice the margin in nats


class Term(NamedTuple):
    """A measure of one setting, with its weight in the number that a claim is about.

    Attributes:
        weight: a number; positive where the claim says that the measure is large.
        measure: name of a column.
        changes: dict of the parameters in which the setting differs from `sweeps.FIXED`.
    """

    weight: float
    measure: str
    changes: dict


class Claim(NamedTuple):
    """A statement that a weighted sum of measures is above zero.

    Attributes:
        statement: what is claimed, in words.
        terms: tuple of `Term`; the measure of the first one decides margin and unit.
        figure: stem of the figure that shows it; it starts with the notebook's number.
        datasets: the data sets it is claimed for.
        sweep: the sweep whose runs decide it.
    """

    statement: str
    terms: tuple
    figure: str
    datasets: tuple = ("fashion_mnist", "cifar10")
    sweep: str = "study"


def list_claims(figure, statements, *where):
    """Returns the claims that one figure shows.

    Args:
        figure: as in `Claim`.
        statements: dict from statement to terms.
        *where: data sets and sweep, as in `Claim`.
    """
    return [Claim(statement, terms, figure, *where) for statement, terms in statements.items()]


def rise(measure, name, *values, **changes):
    """Returns the terms of the claim that a measure rises along the values of a parameter.

    The number is the change of the least-squares line through the measures at the ranks 0, 1, 2,
    ..., from the first value to the last: one test however long the chain, in the measure's unit,
    and of two values their difference.

    Args:
        measure: name of a column.
        name: the parameter.
        *values: at least two of its values, in the order of the claim.
        **changes: what else these settings change.
    """
    ranks = np.arange(len(values)) - (len(values) - 1) / 2
    weights = ranks * (len(values) - 1) / np.sum(ranks**2)
    return tuple(
        Term(float(weight), measure, changes | {name: value})
        for weight, value in zip(weights, values, strict=True)
    )


def exceeds(measure, larger, smaller):
    """Returns the terms of the claim that a measure is larger in one setting than in another."""
    return (Term(1.0, measure, larger), Term(-1.0, measure, smaller))


class Effect(NamedTuple):
    """An estimate, its 95 % t interval, the p-value against zero and the number of seeds."""

    difference: float
    low: float
    high: float
    p_value: float
    seeds: int


def margin(measure, dataset):
    """Returns the difference in a measure below which two settings count as the same."""
    return MARGINS[measure] * (2 if measure in NATS and dataset in COLOUR else 1)


def estimate(values, weights):
    """Estimates a weighted sum of means over seeds.

    Where the terms have at least two seeds in common, the sum is taken in each of these and tested
    against zero: a paired t-test. Otherwise the terms count as independent (Welch, 1947).

    Args:
        values: list of dicts from seed to value, one for each term.
        weights: a number for each term.

    Returns:
        `Effect`, or `None` where a term has fewer than two seeds. The number of seeds is that of
        the term with the fewest where they are not paired.
    """
    counted = [pair for pair in zip(weights, values, strict=True) if pair[0]]
    shared = sorted(set.intersection(*(set(term) for _, term in counted)))
    fewest = min(len(term) for _, term in counted)
    if len(shared) >= 2:
        counted = [(1.0, [sum(weight * term[seed] for weight, term in counted) for seed in shared])]
        fewest = len(shared)
    elif fewest < 2:
        return None
    else:
        counted = [(weight, [*term.values()]) for weight, term in counted]
    estimated = sum(weight * np.mean(term) for weight, term in counted)
    parts = [weight**2 * np.var(term, ddof=1) / len(term) for weight, term in counted]
    error = np.sqrt(sum(parts))
    if error == 0:  # every seed gives the same value
        return Effect(estimated, estimated, estimated, float(estimated == 0), fewest)
    shares = [part**2 / (len(term) - 1) for part, (_, term) in zip(parts, counted, strict=True)]
    student = stats.t(sum(parts) ** 2 / sum(shares))
    half = student.ppf(1 - LEVEL / 2) * error
    p_value = 2 * student.sf(abs(estimated) / error)
    return Effect(estimated, estimated - half, estimated + half, p_value, fewest)


def holm(p_values):
    """Adjusts p-values for their number (Holm, 1979); returns them in the same order."""
    p_values = np.asarray(p_values, dtype="float64")
    order = np.argsort(p_values)
    stepped = np.arange(len(order), 0, -1) * p_values[order]
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return adjusted


def decide(effect, adjusted, smallest):
    """Turns an effect, positive in the direction that is claimed, into a verdict.

    Args:
        effect: `Effect`.
        adjusted: its p-value, adjusted for the number of claims.
        smallest: the margin.
    """
    if -smallest <= effect.low and effect.high <= smallest:
        return "no difference"
    if adjusted < LEVEL:
        return "supported" if effect.difference > 0 else "contradicted"
    return "inconclusive"
