import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from vae_keras.callbacks import KLSchedule
from vae_keras.data.batches import image_batches
from vae_keras.data.load import load_images
from vae_keras.evaluation.recorder import EpochRecorder
from vae_keras.recipe import build_optimizer
from vae_keras.study import runs
from vae_keras.study.backup import Backup

pytestmark = pytest.mark.faults

EPOCHS = 4
ONE_DEVICE = tf.distribute.get_strategy()


class Killed(Exception):
    pass


class Kill(keras.callbacks.Callback):
    """Raises an error in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch == self.epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.now and batch == 2:
            raise Killed


@pytest.fixture
def train(tmp_path, build_vae):
    """A function that trains as notebook 02 does, and returns the results to compare."""
    images, labels = load_images("digits", "train", 0.2)
    few = images[:20], labels[:20]

    def run(folder="run", kill_in=None, train=True, strategy=ONE_DEVICE):
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        batches = image_batches(images, labels, batch_size=64, shuffle_seed=3)
        with strategy.scope():
            vae = build_vae("mlp", num_classes=10, likelihood="sigma", latent_dim=3)
            vae.adapt(images)
            vae.compile(optimizer=build_optimizer(EPOCHS * len(batches)))
        recorder = EpochRecorder((images, labels), few, few, few)
        backup = Backup(path, vae, recorder)
        done = backup.restore(batches)
        if not train:
            return done
        logger = keras.callbacks.CSVLogger(path / "history.csv", append=done > 0)
        schedule = KLSchedule(EPOCHS, warmup_epochs=2)
        try:
            vae.fit(
                batches, validation_data=few, initial_epoch=done, epochs=EPOCHS, verbose=0,
                callbacks=[schedule, recorder, Kill(kill_in), logger, backup], shuffle=False,
            )  # fmt: skip
        finally:
            logger.on_train_end()  # closes its file
        history = pd.read_csv(path / "history.csv", dtype=str)
        assert (history.pop("images_per_second").astype(float) > 0).all()
        recorded = [*recorder.reconstructions, *recorder.z_means]
        samples = np.asarray(vae.sample(3, np.arange(3)))
        return done, history, [*recorded, *map(np.asarray, vae.weights), samples]

    return run


def test_a_killed_training_resumes_and_ends_like_an_uninterrupted_one(train):
    _, history, arrays = train("whole")
    for epoch in (0, 2, 3):
        with pytest.raises(Killed):
            train(kill_in=epoch)
    done, resumed, same = train()
    assert done == 3 and len(history) == EPOCHS
    pd.testing.assert_frame_equal(history, resumed)
    for array, other in zip(arrays, same, strict=True):
        np.testing.assert_array_equal(array, other)
    assert train()[0] == EPOCHS  # if killed during evaluation, nothing is left to train


def test_a_training_on_two_devices_resumes_too(train, mirrored):
    _, history, _ = train("whole", strategy=mirrored)
    with pytest.raises(Killed):
        train(kill_in=2, strategy=mirrored)
    done, resumed, _ = train(strategy=mirrored)
    assert done == 2
    np.testing.assert_allclose(resumed["loss"].astype(float), history["loss"].astype(float))


def test_a_backup_that_cannot_be_used_is_named(train, tmp_path, caplog):
    with pytest.raises(Killed):
        train(kill_in=1)
    path = tmp_path / "run" / runs.BACKUP
    content, arrays = path.read_bytes(), dict(np.load(path))
    assert train(train=False) == 1
    for damaged in (b"", content[: len(content) // 2], {"software": None}, {"software": "{}"}):
        caplog.clear()
        if isinstance(damaged, bytes):
            path.write_bytes(damaged)
        else:  # pickled, or from another version
            np.savez(path, **{**arrays, **damaged})
        assert train(train=False) == 0
        assert f"{path} cannot be used" in caplog.text
