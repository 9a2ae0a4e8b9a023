import numpy as np
import pytest

from vae_keras.evaluation.tensorboard import tensorboard

IMAGES = np.zeros((4, 8, 8, 1), "uint8")


def test_nothing_is_logged_by_default(monkeypatch, tmp_path):
    monkeypatch.delenv("TENSORBOARD", raising=False)
    assert tensorboard(tmp_path, (IMAGES, None)) == []
    for value in ("0", ""):
        monkeypatch.setenv("TENSORBOARD", value)
        assert tensorboard(tmp_path, (IMAGES, None)) == []


def test_a_missing_package_is_reported_with_the_command_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setenv("TENSORBOARD", "1")
    monkeypatch.setattr("vae_keras.evaluation.tensorboard.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        tensorboard(tmp_path, (IMAGES, None))


def test_losses_and_reconstructions_are_logged(monkeypatch, tmp_path, small_vae):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setenv("TENSORBOARD", "1")
    callbacks = tensorboard(tmp_path, (IMAGES, None))
    small_vae.fit(IMAGES, validation_data=IMAGES, epochs=2, callbacks=callbacks, verbose=0)
    log = events.EventAccumulator(str(tmp_path / "validation"), {"tensors": 0}).Reload()
    assert [event.step for event in log.Tensors("reconstructions")] == [0, 1]
    assert len(log.Tensors("reconstructions")[0].tensor_proto.string_val) == 2 + len(IMAGES)
    assert len(log.Tensors("epoch_loss")) == 2
