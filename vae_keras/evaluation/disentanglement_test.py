"""Scores of codes with known values: perfect, rotated and useless codes, a factor split in two."""

import numpy as np
import pytest

from vae_keras.evaluation.disentanglement import (
    attribute_predictability,
    dci,
    disentanglement,
    factor_vae_score,
    modularity,
    mutual_information,
    mutual_information_gap,
)

RNG = np.random.default_rng(0)
SIZES = (4, 4, 16)
# Every combination equally often, in random order.
FACTORS = np.stack(np.unravel_index(RNG.permutation(4 * 4 * 16 * 20) % 256, SIZES), axis=-1)
PERFECT = (FACTORS - FACTORS.mean(axis=0)) / FACTORS.std(axis=0)
USELESS = RNG.standard_normal((len(FACTORS), 3))


def rotated():
    """Rotates two factors by 45 degrees: each of their dimensions informs equally about both."""
    turned = PERFECT.copy()
    turned[:, 0], turned[:, 1] = PERFECT[:, 0] + PERFECT[:, 1], PERFECT[:, 0] - PERFECT[:, 1]
    return turned


def split():
    """Encodes the factor with 16 values as two dimensions with 4 values each."""
    return np.concatenate([PERFECT[:, :2], np.stack(np.divmod(FACTORS[:, 2], 4), axis=1)], axis=1)


def test_perfect_codes_have_the_best_scores():
    silent = 0.01 * RNG.standard_normal((len(FACTORS), 2))
    for codes in (PERFECT, -3 * PERFECT[:, ::-1], np.concatenate([PERFECT, silent], axis=1)):
        scores = disentanglement(codes, FACTORS)
        sap = scores.pop("sap")
        np.testing.assert_allclose([*scores.values()], 1, atol=1e-3, err_msg=str(scores))
        np.testing.assert_allclose(sap, 1, atol=1e-2)


def test_useless_codes_have_the_worst_scores():
    scores = disentanglement(USELESS, FACTORS)
    assert scores["mig"] < 0.01 and scores["sap"] < 0.01
    assert scores["dci_disentanglement"] < 0.1 and scores["dci_completeness"] < 0.1
    assert scores["dci_informativeness"] < (0.25 + 0.25 + 0.0625) / 3 + 0.03
    assert scores["factor_vae_score"] < 0.45  # by chance 1/3
    nothing = np.zeros((len(FACTORS), 3))
    assert factor_vae_score(nothing, FACTORS) == modularity(nothing, FACTORS) == 0
    assert (
        mutual_information_gap(nothing, FACTORS) == attribute_predictability(nothing, FACTORS) == 0
    )


def test_information_is_the_entropy_of_the_factor():
    information = mutual_information(PERFECT, FACTORS)
    np.testing.assert_allclose(information, np.diag(np.log(SIZES)), atol=1e-9)


def test_rotated_codes_lose_the_gap_of_the_rotated_factors():
    # Sum and difference inform equally about two factors: no gap. The third factor keeps its gap.
    codes = rotated()
    np.testing.assert_allclose(mutual_information_gap(codes, FACTORS), 1 / 3, atol=0.01)
    np.testing.assert_allclose(attribute_predictability(codes, FACTORS), 1 / 3, atol=0.03)
    # Two of three dimensions inform equally about two factors: deviation 1/2 each.
    np.testing.assert_allclose(modularity(codes, FACTORS), (0.5 + 0.5 + 1) / 3, atol=0.01)
    scores = dci(codes, FACTORS)
    assert 0.4 < scores["dci_disentanglement"] < 0.8 and 0.4 < scores["dci_completeness"] < 0.8
    assert scores["dci_informativeness"] > 0.99  # nothing is lost
    # Holding either of the two fixed halves the variances of both dimensions.
    np.testing.assert_allclose(factor_vae_score(codes, FACTORS), 2 / 3, atol=0.05)


def test_a_factor_split_in_two_is_modular_but_not_complete():
    codes = split()
    # Each half carries log 4 of log 16 nats: the gap is 0.
    information = mutual_information(codes, FACTORS)
    np.testing.assert_allclose(information[2:, 2], np.log(4), atol=1e-9)
    np.testing.assert_allclose(mutual_information_gap(codes, FACTORS), 2 / 3, atol=1e-9)
    np.testing.assert_allclose(modularity(codes, FACTORS), 1, atol=1e-9)
    np.testing.assert_allclose(factor_vae_score(codes, FACTORS), 1, atol=1e-9)
    scores = dci(codes, FACTORS)
    assert scores["dci_disentanglement"] > 0.99
    # Two of four dimensions matter equally to the third factor: 1 - log 2 / log 4 = 1/2.
    np.testing.assert_allclose(scores["dci_completeness"], (1 + 1 + 0.5) / 3, atol=0.02)
    # The high half explains 240/255 of the variance, the low half 15/255.
    expected = (1 + 1 + (240 - 15) / 255) / 3
    np.testing.assert_allclose(attribute_predictability(codes, FACTORS), expected, atol=0.02)


def test_two_copies_of_a_code_have_no_gap():
    codes = np.concatenate([PERFECT, PERFECT], axis=1)
    assert mutual_information_gap(codes, FACTORS) == pytest.approx(0)
    assert attribute_predictability(codes, FACTORS) == pytest.approx(0)
    assert modularity(codes, FACTORS) == pytest.approx(1)


def test_one_code_for_two_factors_is_complete_but_not_disentangled():
    codes = np.stack([4 * FACTORS[:, 0] + FACTORS[:, 1], FACTORS[:, 2]], axis=1).astype("float64")
    scores = dci(codes, FACTORS)
    # The first dimension matters equally to two of three factors: 1 - log 2 / log 3, weight 2/3.
    expected = (2 * (1 - np.log(2) / np.log(3)) + 1) / 3
    np.testing.assert_allclose(scores["dci_disentanglement"], expected, atol=0.02)
    assert scores["dci_completeness"] > 0.99
    np.testing.assert_allclose(modularity(codes, FACTORS), (0.5 + 1) / 2, atol=0.01)


def test_a_nominal_factor_is_classified():
    labels = (FACTORS[:, :1] + 2) % 4  # no linear order, so correlation fails
    codes = np.concatenate([PERFECT[:, :1], USELESS[:, :1]], axis=1)
    gap = attribute_predictability(codes, labels, nominal=(0,))
    assert 0.7 < gap <= 0.76  # all recognised, against one in four by chance
    assert attribute_predictability(codes, labels) == pytest.approx(0.36, abs=0.01)
