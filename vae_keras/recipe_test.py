import keras
import numpy as np
import pytest

from vae_keras.recipe import LinearSchedule, build_optimizer


def test_the_linear_schedule_peaks_after_a_tenth_and_ends_at_zero():
    schedule = LinearSchedule(0.5, num_steps=20)
    rates = [float(schedule(step)) for step in (0, 1, 10, 19, 25)]
    # (step + 1) / 2 of the rise, then (20 - step - 1) / 18 of the fall.
    np.testing.assert_allclose(rates, [0.25, 0.5, 0.25, 0.0, 0.0], atol=1e-7)


def test_the_optimizer_follows_the_schedule_also_when_loaded(small_vae, tmp_path):
    small_vae.compile(optimizer=build_optimizer(4, learning_rate=1e-2))
    small_vae.fit(np.zeros((24, 8, 8, 1), "uint8"), batch_size=8, verbose=0)
    small_vae.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for vae in (small_vae, loaded):
        np.testing.assert_allclose(float(vae.optimizer.learning_rate), 0.0, atol=1e-9)
        assert int(vae.optimizer.iterations) == 3


def test_one_step_is_too_few_for_a_schedule():
    with pytest.raises(ValueError, match="`num_steps` must be at least 2.*Received: 1"):
        build_optimizer(1)


def test_a_constant_rate():
    np.testing.assert_allclose(float(build_optimizer(10, 3e-3, "constant").learning_rate), 3e-3)


def test_an_unknown_schedule():
    with pytest.raises(ValueError, match='must be "linear" or "constant". Received: \'cosine\''):
        build_optimizer(10, learning_rate_schedule="cosine")
