"""The statistics of the study: claims, and how several seeds decide them."""

from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.05
# The smallest difference that matters, in the unit of the measure.
NATS = ("elbo", "reconstruction_loss", "kl_divergence", "nll", "binary_nll")
MARGINS = {
    **dict.fromkeys(NATS, 1.0),
    # About what real images lose without one of ten classes, or blurred by half a pixel, on
    # MNIST, Fashion-MNIST and CIFAR-10: see models/judges.
    **dict.fromkeys(("fd_samples", "fd_mixture", "fd_reconstructions"), 1.0),
    **dict.fromkeys(("ssim", "sharpness", "explained_variance", "probe_accuracy"), 0.01),
    **dict.fromkeys(("active_units", "used_units"), 1.0),
    **dict.fromkeys(("mig", "sap", "modularity", "factor_vae_score"), 0.05),
    **dict.fromkeys(("dci_disentanglement", "dci_completeness"), 0.05),
    "kl_upper": 1.0,
    "bits_per_dim": 0.01,
    "psnr": 0.2,
}
COLOUR = ("cifar10", "svhn")  # images of four times as many values: twice the margin in nats


class Term(NamedTuple):
    """A measure in one setting, and its weight in a claim.

    Attributes:
        weight: a number; positive if the claim says that the measure is large.
        measure: name of a column.
        changes: dict of the parameters that differ from `sweeps.FIXED`.
    """

    weight: float
    measure: str
    changes: dict


class Claim(NamedTuple):
    """The claim that a weighted sum of measures is above zero.

    Attributes:
        statement: the claim in words.
        terms: tuple of `Term`; the first one's measure sets the margin and the unit.
        figure: stem of the figure that shows it, which starts with the notebook's number.
        datasets: tuple of the data sets that it is about.
        sweep: name of the sweep that tests it.
    """

    statement: str
    terms: tuple
    figure: str
    datasets: tuple = ("fashion_mnist", "cifar10")
    sweep: str = "study"


def list_claims(figure, statements, *where):
    """Returns the list of claims that one figure shows.

    Args:
        figure: as in `Claim`.
        statements: dict from statement to terms.
        *where: `datasets` and `sweep`, as in `Claim`.
    """
    return [Claim(statement, terms, figure, *where) for statement, terms in statements.items()]


def rise(measure, name, *values, **changes):
    """Returns the terms of the claim that a measure rises along the values of a parameter.

    A least-squares line is fitted to the measure against the ranks 0, 1, 2, ... of the values. The
    effect is the line's change from the first rank to the last, in the measure's unit. Any number
    of values thus makes one test. For two or three values the effect is the difference between the
    last and the first: the middle one has weight 0.

    Args:
        measure: name of a column.
        name: name of the parameter.
        *values: at least two of its values, in the order of the claim.
        **changes: other parameters that differ from `sweeps.FIXED`.
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
    """Returns the smallest difference that matters, in the measure's unit.

    Raises:
        KeyError: if the measure has no margin.
    """
    return MARGINS[measure] * (2 if measure in NATS and dataset in COLOUR else 1)


def estimate(values, weights):
    """Estimates a weighted sum of means over seeds, with a paired t-test against zero.

    Args:
        values: list of dicts from seed to value, one for each term.
        weights: list of numbers, one for each term. Terms of weight 0 are ignored.

    Returns:
        `Effect` of the sums within each seed that all terms share, or `None` if there are fewer
        than two such seeds.
    """
    terms = [(weight, term) for weight, term in zip(weights, values, strict=True) if weight]
    shared = set.intersection(*(set(term) for _, term in terms))
    if len(shared) < 2:
        return None
    sums = [sum(weight * term[seed] for weight, term in terms) for seed in sorted(shared)]
    mean = np.mean(sums)
    if np.ptp(sums) == 0:  # the t-test divides by their standard deviation
        return Effect(mean, mean, mean, float(mean == 0), len(sums))
    test = stats.ttest_1samp(sums, 0)
    return Effect(mean, *test.confidence_interval(1 - LEVEL), test.pvalue, len(sums))


def holm(p_values):
    """Returns p-values adjusted for their number (Holm, 1979), in the same order."""
    p_values = np.asarray(p_values, dtype="float64")
    order = np.argsort(p_values)
    stepped = np.arange(len(order), 0, -1) * p_values[order]
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return adjusted


def decide(effect, adjusted, smallest):
    """Returns the verdict on a claim, as text.

    Args:
        effect: `Effect`, positive in the direction of the claim.
        adjusted: its p-value, adjusted for the number of tests.
        smallest: the smallest difference that matters.
    """
    if -smallest <= effect.low and effect.high <= smallest:
        return "no difference"
    if adjusted < LEVEL:
        return "supported" if effect.difference > 0 else "contradicted"
    return "inconclusive"
