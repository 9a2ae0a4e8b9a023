import numpy as np
import pytest
from scipy import stats

from vae_keras.study import verdicts
from vae_keras.study.verdicts import Effect, Term, exceeds, rise

ONE, OTHER = {0: 3.0, 1: 5.0, 2: 4.0}, {0: 1.0, 1: 2.0, 2: 3.0}


def test_shared_seeds_are_paired():
    effect = verdicts.estimate([ONE, OTHER], [1, -1])
    # Differences 2, 3, 1: mean 2, standard deviation 1, t quantile 4.3027 at 2 degrees of freedom.
    half = 4.302653 / np.sqrt(3)
    np.testing.assert_allclose(effect[:3], (2, 2 - half, 2 + half), rtol=1e-6)
    expected = stats.ttest_rel([*ONE.values()], [*OTHER.values()])
    np.testing.assert_allclose(effect.p_value, expected.pvalue)
    assert effect.seeds == 3
    # A seed that only one of them has is ignored.
    np.testing.assert_allclose(verdicts.estimate([ONE | {3: 99.0}, OTHER], [1, -1]), effect)


def test_one_seed_decides_nothing():
    assert verdicts.estimate([ONE, {0: 1.0}], [1, -1]) is None
    assert verdicts.estimate([{0: 1.0}, {0: 2.0}], [1, -1]) is None
    assert verdicts.estimate([ONE, {0: 1.0, 3: 2.0}], [1, -1]) is None  # only one is shared


def test_a_chain_is_one_test_of_its_slope_within_seeds():
    terms = rise("psnr", "latent_dim", 2, 4, 8, 16, likelihood="mse")
    np.testing.assert_allclose([term.weight for term in terms], (-0.9, -0.3, 0.3, 0.9))
    assert terms[1][1:] == ("psnr", {"likelihood": "mse", "latent_dim": 4})
    # The effect is the change of the fitted line; a dip in the middle lowers it but is no veto.
    values = [{0: 0.0, 1: 1.0, 2: 0.0}, {0: 1.0, 1: 2.0}, {0: 2.0, 1: 1.5}, {0: 3.0, 1: 5.0}]
    effect = verdicts.estimate(values, [term.weight for term in terms])
    contrasts = [3.0, 0.9 * 4 - 0.3 * 0.5]
    expected = stats.ttest_1samp(contrasts, 0)
    np.testing.assert_allclose(effect.difference, np.mean(contrasts))
    np.testing.assert_allclose(effect[1:3], expected.confidence_interval(), rtol=1e-6)
    np.testing.assert_allclose(effect.p_value, expected.pvalue)


def test_two_values_give_their_difference():
    expected = (Term(-1.0, "elbo", {"beta": 2.0}), Term(1.0, "elbo", {"beta": 1.0}))
    assert rise("elbo", "beta", 2.0, 1.0) == expected
    assert exceeds("elbo", {"beta": 1.0}, {"beta": 2.0}) == expected[::-1]


def test_identical_seeds_give_an_interval_of_zero_width():
    same = {0: 128.0, 1: 128.0, 2: 128.0}
    lower = {seed: 32.0 for seed in same}
    assert verdicts.estimate([same, lower], [1, -1]) == Effect(96.0, 96.0, 96.0, 0.0, 3)
    assert verdicts.estimate([same, same], [1, -1]) == Effect(0.0, 0.0, 0.0, 1.0, 3)


def test_holm_multiplies_the_smallest_by_the_number_of_tests():
    # 4 * 0.005, 3 * 0.01, 2 * 0.03, and 0.04 not below its predecessor.
    np.testing.assert_allclose(verdicts.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(verdicts.holm([0.6, 0.9]), [1.0, 1.0])
    assert len(verdicts.holm([])) == 0


@pytest.mark.parametrize(
    "low, high, adjusted, verdict",
    [
        (-0.9, 0.9, 0.9, "no difference"),
        (0.1, 0.9, 0.001, "no difference"),  # significant, but too small to matter
        (0.5, 1.5, 0.049, "supported"),
        (-1.5, -0.5, 0.049, "contradicted"),
        (0.5, 1.5, 0.051, "inconclusive"),
        (-1.5, 0.5, 0.5, "inconclusive"),
    ],
)
def test_the_margin_is_checked_before_significance(low, high, adjusted, verdict):
    assert verdicts.decide(Effect((low + high) / 2, low, high, 0.0, 3), adjusted, 1.0) == verdict


def test_margins_in_nats_are_twice_as_wide_in_colour():
    assert verdicts.margin("elbo", "fashion_mnist") == 1.0
    assert verdicts.margin("elbo", "cifar10") == 2.0
    assert verdicts.margin("psnr", "cifar10") == verdicts.margin("psnr", "mnist") == 0.2
