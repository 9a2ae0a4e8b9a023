import numpy as np
import pytest

from vae_keras.evaluation import paths


def test_quantiles_divide_the_prior_evenly():
    # The 5 %, 50 % and 95 % points of the standard normal distribution.
    np.testing.assert_allclose(paths.prior_quantiles(3), [-1.644854, 0, 1.644854], atol=1e-6)


def test_manifold_rises_to_the_right_and_upwards():
    grid = paths.manifold(3).reshape(3, 3, 2)
    np.testing.assert_allclose(grid[0, :, 0], paths.prior_quantiles(3))
    np.testing.assert_allclose(grid[:, 0, 1], paths.prior_quantiles(3)[::-1])


def test_traversals_move_one_dimension_at_a_time():
    z = np.array([5.0, 6.0, 7.0], "float32")
    codes = paths.traversals(z, [2, 0], num_steps=4)
    assert codes.shape == (2, 4, 3)
    np.testing.assert_allclose(codes[0, :, 2], paths.prior_quantiles(4), rtol=1e-6)
    np.testing.assert_allclose(codes[1, :, 0], paths.prior_quantiles(4), rtol=1e-6)
    assert np.all(codes[0, :, :2] == [5, 6]) and np.all(codes[1, :, 1:] == [6, 7])
    assert np.all(z == [5, 6, 7])


def test_straight_interpolation_is_halfway_in_the_middle():
    path = paths.interpolate([2.0, 0.0], [0.0, 4.0], 3)
    np.testing.assert_allclose(path, [[2, 0], [1, 2], [0, 4]])


def test_spherical_interpolation_stays_on_the_sphere():
    path = paths.interpolate([3.0, 0.0], [0.0, 3.0], 5, spherical=True)
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), 3)
    np.testing.assert_allclose(path[2], [3 / 2**0.5, 3 / 2**0.5])
    np.testing.assert_allclose(path[[0, -1]], [[3, 0], [0, 3]], atol=1e-12)


@pytest.mark.parametrize("end", [[2.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])
def test_without_a_unique_arc_the_path_is_straight(end):
    path = paths.interpolate([1.0, 0.0], end, 3, spherical=True)
    np.testing.assert_allclose(path, paths.interpolate([1.0, 0.0], end, 3))
