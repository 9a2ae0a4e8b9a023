import keras
import numpy as np
import pytest

from vae_keras.layers import ResidualBlock, Sampler


def test_sampler_basics():
    z_mean = np.zeros((5, 3), "float32")
    z = Sampler()((z_mean, z_mean))
    assert z.shape == (5, 3)
    assert z.dtype == "float32"
    assert Sampler().compute_output_shape(((None, 3), (None, 3))) == (None, 3)


def test_sampler_variance_is_exp_z_log_var():
    z_mean = np.full((200_000, 1), 3.0, "float32")
    z_log_var = np.full((200_000, 1), 2.0, "float32")
    z = np.asarray(Sampler(seed=0)((z_mean, z_log_var)))
    # Standard errors: 0.006 of the mean, 0.023 of the variance 7.389.
    assert abs(z.mean() - 3.0) < 0.03
    assert abs(z.var() - np.exp(2.0)) < 0.12


def test_sampler_draws_new_noise_and_is_reproducible():
    zeros = np.zeros((4, 2), "float32")
    first, second = Sampler(seed=1), Sampler(seed=1)
    draws = [np.asarray(first((zeros, zeros))) for _ in range(2)]
    assert not np.array_equal(*draws)
    np.testing.assert_array_equal(second((zeros, zeros)), draws[0])


def test_residual_block_adds_its_input():
    block = ResidualBlock(4)
    inputs = np.random.default_rng(0).normal(size=(2, 6, 6, 4)).astype("float32")
    assert block(inputs).shape == inputs.shape
    for weight in block.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    np.testing.assert_array_equal(block(inputs), np.maximum(inputs, 0))


def test_residual_block_has_two_convolutions():
    block = ResidualBlock(4, kernel_size=5)
    block.build((None, 6, 6, 4))
    assert block.count_params() == 2 * (5 * 5 * 4 * 4 + 4)


def test_residual_block_refuses_other_channels():
    with pytest.raises(ValueError, match="`filters` must equal the channels of the input, 3"):
        ResidualBlock(4).build((None, 6, 6, 3))


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_round_trip(dtype, tmp_path):
    inputs = keras.Input((8, 8, 4))
    outputs = ResidualBlock(4, dtype=dtype)(inputs)
    flat = keras.layers.Flatten()(outputs)
    model = keras.Model(inputs, Sampler(seed=3)((flat, flat - 100.0)))
    model.save(tmp_path / "layers.keras")
    loaded = keras.models.load_model(tmp_path / "layers.keras")
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 4)).astype("float32")
    np.testing.assert_array_equal(loaded(images), model(images))
    block = next(layer for layer in loaded.layers if isinstance(layer, ResidualBlock))
    assert block.conv_1.compute_dtype == ("bfloat16" if "bfloat16" in dtype else "float32")
