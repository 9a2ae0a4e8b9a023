import numpy as np
import pytest

from vae_keras.data.batches import image_batches


def numbers_of(batches):
    return [int(image[0, 0, 0]) for batch in batches for image in np.asarray(batch)]


def numbered(number):
    return np.arange(number, dtype="uint8")[:, None, None, None] + np.zeros((4, 6, 1), "uint8")


def test_batches_keep_order_type_and_the_short_last_one():
    batches = image_batches(numbered(10), batch_size=4)
    assert batches.cardinality() == 3
    assert batches.element_spec.shape.as_list() == [None, 4, 6, 1]
    assert [batch.shape[0] for batch in batches] == [4, 4, 2]
    assert all(batch.dtype == "uint8" for batch in batches)
    assert numbers_of(batches) == list(range(10))


def test_labels_travel_with_their_images():
    batches = image_batches(numbered(10), np.arange(10) * 3, batch_size=4, shuffle_seed=1)
    for images, labels in batches:
        np.testing.assert_array_equal(np.asarray(images)[:, 0, 0, 0] * 3, labels)
        assert labels.dtype == "int64"


def test_every_epoch_reshuffles_the_whole_set_by_the_seed():
    def epochs(seed):
        batches = image_batches(numbered(200), batch_size=32, shuffle_seed=seed)
        return [numbers_of(batches) for _ in range(3)]

    first = epochs(3)
    for order in first:
        assert sorted(order) == list(range(200))
        assert max(order[:20]) > 100  # the whole set, not a window of it
    assert first[0] != first[1] != first[2] != first[0]
    assert epochs(3) == first
    assert epochs(4) != first
    assert epochs(np.int64(3)) == first
    assert epochs(0)[0] != list(range(200))


@pytest.mark.parametrize(
    "images",
    [
        *(np.zeros((3, 4, 4, 1), "float32"), np.zeros((3, 4, 4, 1), bool)),
        *(np.zeros((3, 4, 4), "uint8"), np.zeros((0, 4, 4, 1), "uint8")),
    ],
)
def test_bad_images_are_refused(images):
    with pytest.raises(ValueError, match="`images` must be uint8.*at least one.*Received"):
        image_batches(images)


@pytest.mark.parametrize("labels", [np.zeros(9), np.zeros((10, 1)), 3])
def test_labels_of_another_length_are_refused(labels):
    with pytest.raises(ValueError, match=r"`labels` must have shape \(10,\)"):
        image_batches(numbered(10), labels)


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True, None])
def test_bad_batch_sizes_are_refused(batch_size):
    with pytest.raises(
        ValueError, match="`batch_size` must be a whole number, at least 1. Received"
    ):
        image_batches(numbered(10), batch_size=batch_size)


@pytest.mark.parametrize("seed", [1.5, True, "1"])
def test_bad_seeds_are_refused(seed):
    with pytest.raises(ValueError, match="`shuffle_seed` must be None or a whole number"):
        image_batches(numbered(10), shuffle_seed=seed)
