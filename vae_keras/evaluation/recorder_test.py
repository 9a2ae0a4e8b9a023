import keras
import numpy as np
import pandas as pd
import pytest

from vae_keras.evaluation.recorder import EpochRecorder

IMAGES = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 1), dtype=np.uint8)
LABELS = np.arange(32) % 3


@pytest.mark.parametrize("num_classes", [0, 3])
def test_quality_reaches_the_history(build_vae, num_classes, tmp_path):
    vae = build_vae(num_classes=num_classes)
    recorder = EpochRecorder(
        train=(IMAGES[:10], LABELS[:10]),
        validation=(IMAGES[10:20], LABELS[10:20]),
        pictures=(IMAGES[20:24], LABELS[20:24]),
        codes=(IMAGES, LABELS),
    )
    logger = keras.callbacks.CSVLogger(tmp_path / "history.csv")
    settings = dict(epochs=2, verbose=0, callbacks=[recorder, logger])
    vae.fit(IMAGES, LABELS, validation_data=(IMAGES, LABELS), **settings)
    history = pd.read_csv(tmp_path / "history.csv")
    reconstructions = np.asarray(vae.reconstruct(IMAGES[10:20], LABELS[10:20]))
    expected = np.square(IMAGES[10:20] / 255 - reconstructions).mean()
    np.testing.assert_allclose(history["val_mse"].iloc[-1], expected, rtol=1e-5)
    assert {"mse", "psnr", "ssim", "val_psnr", "val_ssim", "val_loss"} <= set(history.columns)
    assert history["mse"].iloc[-1] != history["val_mse"].iloc[-1]
    means, log_vars = map(np.asarray, vae.encode(IMAGES[10:20], LABELS[10:20]))
    kl = 0.5 * (means**2 + np.exp(log_vars) - log_vars - 1).mean(axis=0)
    assert history["val_used_units"].iloc[-1] == (kl > 0.5).sum()
    assert history["val_active_units"].iloc[-1] == (means.var(axis=0) > 0.01).sum()


def test_pictures_and_codes_are_kept_from_before_training(small_vae):
    before = np.asarray(small_vae.encode(IMAGES)[0])
    few, images = (IMAGES[:3], None), (IMAGES, None)
    recorder = EpochRecorder(few, few, pictures=few, codes=images)
    small_vae.fit(IMAGES, epochs=2, verbose=0, callbacks=[recorder])
    assert [frame.shape for frame in recorder.reconstructions] == [(3, 8, 8, 1)] * 3
    assert recorder.reconstructions[0].dtype == np.uint8
    np.testing.assert_allclose(recorder.z_means[0], before, atol=1e-6)
    np.testing.assert_allclose(recorder.z_means[-1], small_vae.encode(IMAGES)[0], atol=1e-6)
    assert not np.array_equal(recorder.z_means[0], recorder.z_means[-1])


def test_clock_stops_when_validation_begins(small_vae):
    few = (IMAGES[:3], None)
    recorder = EpochRecorder(few, few, few, few)
    recorder.set_model(small_vae)
    recorder.on_epoch_begin(0)
    recorder.on_test_begin()
    once = recorder.train_seconds
    recorder.on_epoch_end(0, {})
    assert recorder.train_seconds == once > 0
