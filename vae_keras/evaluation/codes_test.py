import numpy as np
import pytest

from vae_keras.evaluation import codes

RNG = np.random.default_rng(0)


def test_spectrum_falls_and_sums_to_the_divergence():
    z_mean = np.tile(np.float32([1, 3, 0]), (5, 1))
    spectrum, order = codes.kl_spectrum(z_mean, np.zeros_like(z_mean))
    np.testing.assert_allclose(spectrum, [4.5, 0.5, 0])
    np.testing.assert_array_equal(order, [1, 0, 2])


def test_units_in_use():
    assert codes.used_units(np.array([3.0, 0.51, 0.5, 0.1])) == 2
    z_mean = RNG.normal(size=(10_000, 4)) * [1.0, 0.11, 0.09, 0.0] + [0, 0, 5, 3]
    assert codes.active_units(z_mean) == 2


@pytest.mark.parametrize(
    "spectrum, expected", [([2, 2, 2, 2], 4), ([5, 0, 0], 1), ([3, 1], 1.6), ([0, 0], 0)]
)
def test_participation_ratio_by_hand(spectrum, expected):
    np.testing.assert_allclose(codes.participation_ratio(np.array(spectrum, float)), expected)


def test_probe_finds_only_linearly_separable_classes():
    labels = np.arange(400) % 2
    separable = RNG.normal(size=(400, 3)) + 10 * labels[:, None]
    noise = RNG.normal(size=(400, 3))
    halves = slice(0, 200), slice(200, 400)
    accuracy = [
        codes.probe_accuracy(*((z[half], labels[half]) for half in halves))
        for z in (separable, noise)
    ]
    assert accuracy[0] == 1.0
    assert 0.35 < accuracy[1] < 0.65


def test_probe_converges_on_float32_codes_of_unequal_scales_and_collapsed_dimensions():
    # Solver warnings are errors in these tests.
    z = (RNG.normal(size=(3000, 32)) * np.logspace(-6, 3, 32)).astype("float32")
    z[:, 5] = 0.25
    labels = (z[:, -1] > 0).astype(int) + 2 * (z[:, 0] > 0)
    assert codes.probe_accuracy((z[:2000], labels[:2000]), (z[2000:], labels[2000:])) > 0.95


def test_a_fitted_probe_classifies_any_codes():
    z = np.float32([[0, 5], [1, 5], [10, 5], [11, 5]])
    probe = codes.fit_probe(z, [0, 0, 7, 7])
    assert probe.predict([[-3, 5], [20, 5]]).tolist() == [0, 7]


def test_planar_codes():
    z_mean = RNG.normal(size=(100, 5)) * [0.1, 3.0, 0.1, 1.0, 0.1]
    plane = codes.planar(z_mean, z_mean)
    assert plane.shape == (100, 2)
    assert abs(np.corrcoef(plane[:, 0], z_mean[:, 1])[0, 1]) > 0.99
    np.testing.assert_allclose(codes.planar(z_mean[:7], z_mean), plane[:7])
    np.testing.assert_array_equal(codes.planar(z_mean[:, :2], z_mean[:, :2]), z_mean[:, :2])
    np.testing.assert_array_equal(codes.planar(z_mean[:, :1], z_mean[:, :1])[:, 1], 0)


def test_mixture_has_the_moments_of_the_codes():
    z = RNG.normal(size=(5000, 2)) * [2.0, 0.5] + 6 * (RNG.random((5000, 1)) < 0.3)
    drawn, labels = codes.sample_mixture(codes.fit_mixture(z.astype("float32")), 20_000)
    assert labels is None and drawn.dtype == np.float32 and drawn.shape == (20_000, 2)
    np.testing.assert_allclose(drawn.mean(axis=0), z.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(z.T), rtol=0.05)
    halves = drawn[:10_000].mean(axis=0), drawn[10_000:].mean(axis=0)
    np.testing.assert_allclose(*halves, atol=0.15)  # in random order, not by component


def test_codes_of_a_conditional_mixture_belong_to_their_labels():
    labels = np.repeat([0, 1, 7, 9], [600, 300, 99, 1])  # one image is not enough for a Gaussian
    z = RNG.normal(size=(1000, 3)) + 20.0 * labels[:, None]
    mixtures = codes.fit_mixture(z, labels, num_components=8)
    assert [mixture.n_components for *_, mixture in mixtures] == [2, 2, 2]
    drawn, given = codes.sample_mixture(mixtures, 4000, seed=1)
    np.testing.assert_array_equal(np.rint(drawn.mean(axis=1) / 20), given)
    shares = [np.mean(given == label) for label in (0, 1, 7)]
    np.testing.assert_allclose(shares, [600 / 999, 300 / 999, 99 / 999], atol=0.03)
    again = codes.sample_mixture(mixtures, 4000, seed=1)
    np.testing.assert_array_equal(again[0], drawn)
