import keras
import numpy as np
import pandas as pd
import pytest

from vae_keras.callbacks import EpochRecorder, KLSchedule
from vae_keras.vae import VAE

IMAGES = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 1), dtype=np.uint8)
LABELS = np.arange(32) % 3


class Weights(keras.callbacks.Callback):
    """Notes the KL weight of every training step."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(float(self.model.kl_weight))


def small_vae(**arguments):
    vae = VAE((8, 8, 1), 2, architecture="mlp", **arguments)
    vae.compile(optimizer="adam")
    return vae


def kl_weights(vae, schedule, **arguments):
    weights = Weights()
    vae.fit(IMAGES, batch_size=8, verbose=0, callbacks=[schedule, weights], **arguments)
    return weights.seen


def test_constant_weight_is_beta():
    assert kl_weights(small_vae(beta=3.0), KLSchedule(2), epochs=2) == [3.0] * 8


def test_warmup_rises_linearly_with_training_steps_only():
    weights = kl_weights(
        small_vae(beta=2.0), KLSchedule(3, warmup_epochs=2), epochs=3, validation_data=(IMAGES,)
    )
    np.testing.assert_allclose(weights, [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2, 2, 2])


def test_cycles_start_again_from_zero():
    weights = kl_weights(small_vae(), KLSchedule(4, warmup_epochs=1, kl_cycles=2), epochs=4)
    np.testing.assert_allclose(weights, [0, 0.25, 0.5, 0.75, 1, 1, 1, 1] * 2)


def test_clock_goes_on_in_a_loaded_model(tmp_path):
    vae = small_vae()
    first = kl_weights(vae, KLSchedule(4, warmup_epochs=4), epochs=1)
    vae.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    second = kl_weights(loaded, KLSchedule(4, warmup_epochs=4), epochs=2, initial_epoch=1)
    np.testing.assert_allclose(first + second, np.arange(8) / 16)


def test_fraction_at_the_end_stays_in_the_last_cycle():
    schedule = KLSchedule(10, warmup_epochs=2, kl_cycles=4)
    np.testing.assert_allclose([schedule.fraction(t) for t in (0, 1, 2.5, 3.5)], [0, 0.5, 0, 0.5])
    assert schedule.fraction(10) == 1.0


@pytest.mark.parametrize("num_classes", [0, 3])
def test_recorder_adds_quality_to_the_history(num_classes, tmp_path):
    vae = small_vae(num_classes=num_classes)
    recorder = EpochRecorder(
        train=(IMAGES[:10], LABELS[:10]),
        validation=(IMAGES[10:20], LABELS[10:20]),
        pictures=(IMAGES[20:24], LABELS[20:24]),
        codes=(IMAGES, LABELS),
    )
    logger = keras.callbacks.CSVLogger(tmp_path / "history.csv")
    vae.fit(
        *(IMAGES, LABELS),
        validation_data=(IMAGES, LABELS),
        epochs=2,
        verbose=0,
        callbacks=[recorder, logger],
    )
    history = pd.read_csv(tmp_path / "history.csv")
    assert len(history) == 2
    reconstruction = np.asarray(vae.reconstruct(IMAGES[10:20], LABELS[10:20]))
    expected = np.square(IMAGES[10:20] / 255 - reconstruction).mean()
    np.testing.assert_allclose(history["val_mse"].iloc[-1], expected, rtol=1e-5)
    assert {"mse", "psnr", "ssim", "val_psnr", "val_ssim", "val_loss"} <= set(history.columns)
    assert history["mse"].iloc[-1] != history["val_mse"].iloc[-1]


def test_recorder_keeps_pictures_from_before_training_on():
    vae = small_vae()
    before = np.asarray(vae.encode(IMAGES)[0])
    recorder = EpochRecorder(IMAGES[:4], IMAGES[:4], pictures=IMAGES[:3], codes=IMAGES)
    vae.fit(IMAGES, epochs=2, verbose=0, callbacks=[recorder])
    assert [frame.shape for frame in recorder.reconstructions] == [(3, 8, 8, 1)] * 3
    assert recorder.reconstructions[0].dtype == np.uint8
    np.testing.assert_allclose(recorder.z_means[0], before, atol=1e-6)
    np.testing.assert_allclose(recorder.z_means[-1], vae.encode(IMAGES)[0], atol=1e-6)
    assert not np.array_equal(recorder.z_means[0], recorder.z_means[-1])


def test_recorder_clock_leaves_out_validation():
    vae = small_vae()
    recorder = EpochRecorder(IMAGES[:4], IMAGES[:4], IMAGES[:3], IMAGES[:3])
    recorder.set_model(vae)
    recorder.on_epoch_begin(0)
    recorder.on_test_begin()
    once = recorder.train_seconds
    recorder.on_epoch_end(0, {})
    assert recorder.train_seconds == once > 0
