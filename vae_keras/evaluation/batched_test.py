import numpy as np
import pytest

from vae_keras.evaluation import batched

IMAGES = np.random.default_rng(0).integers(0, 256, (600, 8, 8, 1), dtype=np.uint8)
LABELS = np.arange(600) % 3


@pytest.mark.parametrize("num_classes", [0, 3])
def test_batches_make_no_difference(build_vae, num_classes):
    vae = build_vae(num_classes=num_classes)
    z_mean, z_log_var = batched.encode(vae, IMAGES, LABELS)  # two batches and a short one
    for part, whole in zip((z_mean, z_log_var), vae.encode(IMAGES, LABELS), strict=True):
        np.testing.assert_allclose(part, whole, rtol=1e-4, atol=1e-5)
    expected = np.asarray(vae.decode(z_mean, LABELS))
    np.testing.assert_allclose(batched.decode(vae, z_mean, LABELS), expected, atol=1e-6)
    np.testing.assert_allclose(batched.reconstruct(vae, IMAGES, LABELS), expected, atol=1e-5)


def test_no_rows_are_refused(build_vae):
    with pytest.raises(ValueError, match="at least one row"):
        batched.encode(build_vae(), IMAGES[:0])


def test_a_function_sees_the_static_shape_of_its_rows():
    def corner(images):
        return images[:, min(images.shape[1:3]) - 1, 0, 0]

    for size in (8, 12, 8):
        images = np.arange(600 * size * size).reshape(600, size, size, 1)
        corners = batched.over_batches(corner, images)
        np.testing.assert_array_equal(corners, images[:, size - 1, 0, 0])


def test_arrays_that_are_none_stay_none():
    sums = batched.over_batches(
        lambda left, right, missing: left + right if missing is None else None,
        *(np.arange(5), np.arange(5), None),
        batch_size=2,
    )
    assert sums.tolist() == [0, 2, 4, 6, 8]


def test_a_model_is_traced_once_however_often_it_is_measured(build_vae):
    vae, before = build_vae(), batched._traced.cache_info().misses
    first = batched.encode(vae, IMAGES)
    for weight in vae.trainable_weights:
        weight.assign(weight + 0.1)
    moved = batched.encode(vae, IMAGES)
    assert batched._traced.cache_info().misses == before + 1
    assert not np.allclose(first[0], moved[0])  # the traced function reads the current weights
    np.testing.assert_allclose(moved[0], vae.encode(IMAGES)[0], rtol=1e-4, atol=1e-5)
