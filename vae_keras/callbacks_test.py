import keras
import numpy as np
import pytest
import tensorflow as tf

from vae_keras.callbacks import KLSchedule, StopAtNaN

IMAGES = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 1), dtype=np.uint8)


class Weights(keras.callbacks.Callback):
    """Records the KL weight of every training step."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(float(self.model.kl_weight))


def kl_weights(vae, schedule, **arguments):
    weights = Weights()
    vae.fit(IMAGES, batch_size=8, verbose=0, callbacks=[schedule, weights], **arguments)
    return weights.seen


def test_constant_weight_is_beta(build_vae):
    assert kl_weights(build_vae(beta=3.0), KLSchedule(2), epochs=2) == [3.0] * 8


def test_warmup_rises_linearly_with_training_steps_only(build_vae):
    weights = kl_weights(
        build_vae(beta=2.0), KLSchedule(3, warmup_epochs=2), epochs=3, validation_data=(IMAGES,)
    )
    np.testing.assert_allclose(weights, [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2, 2, 2])


def test_cycles_start_again_from_zero(small_vae):
    weights = kl_weights(small_vae, KLSchedule(4, warmup_epochs=1, kl_cycles=2), epochs=4)
    np.testing.assert_allclose(weights, [0, 0.25, 0.5, 0.75, 1, 1, 1, 1] * 2)


def test_a_loaded_model_continues_the_schedule(small_vae, tmp_path):
    vae = small_vae
    first = kl_weights(vae, KLSchedule(4, warmup_epochs=4), epochs=1)
    vae.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    second = kl_weights(loaded, KLSchedule(4, warmup_epochs=4), epochs=2, initial_epoch=1)
    np.testing.assert_allclose(first + second, np.arange(8) / 16)


def test_an_unknown_number_of_steps_is_an_error(small_vae):
    batches = tf.data.Dataset.from_tensor_slices(IMAGES).batch(8).filter(lambda _: True)
    with pytest.raises(ValueError, match="pass `steps_per_epoch`"):
        small_vae.fit(batches, callbacks=[KLSchedule(1, warmup_epochs=1)], shuffle=False, verbose=0)


def test_fraction_at_the_end_stays_in_the_last_cycle():
    schedule = KLSchedule(10, warmup_epochs=2, kl_cycles=4)
    np.testing.assert_allclose([schedule.fraction(t) for t in (0, 1, 2.5, 3.5)], [0, 0.5, 0, 0.5])
    assert schedule.fraction(10) == 1.0


@pytest.mark.parametrize("arguments", [(4, 3, 2), (4, -1), (4, 1, 0)])
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match="`warmup_epochs` must be at least 0"):
        KLSchedule(*arguments)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_ends_the_training_at_once(small_vae, value):
    class Diverge(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if int(self.model.optimizer.iterations) == 6:
                self.model.kl_weight.assign(value)

    with pytest.raises(FloatingPointError, match=f"{value} in step 3 of epoch 2.*`learning_rate`"):
        small_vae.fit(IMAGES, batch_size=8, epochs=3, verbose=0, callbacks=[StopAtNaN(), Diverge()])
    assert int(small_vae.optimizer.iterations) == 7
