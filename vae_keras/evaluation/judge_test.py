import json
import shutil

import keras
import numpy as np
import pytest

from vae_keras.data.catalogue import DATASETS
from vae_keras.evaluation import judge, judge_validation
from vae_keras.evaluation.distances import extract
from vae_keras.published import registry

NUM_FEATURES = 128


@pytest.mark.parametrize("image_shape", [(8, 8, 1), (28, 28, 1), (32, 32, 3)])
def test_classifier_averages_128_maps(image_shape):
    classifier = judge.build_classifier(image_shape, 10, dtype="mixed_bfloat16")
    features = classifier.get_layer("features").output
    assert features.shape == (None, NUM_FEATURES) and features.dtype == "float32"
    assert classifier.output.shape == (None, 10) and classifier.output.dtype == "float32"
    assert classifier.input.dtype == "uint8"


def test_training_is_reproducible_and_gives_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        first, again = (judge.train_judge("digits", epochs=1) for _ in range(2))
    finally:
        keras.config.set_dtype_policy("float32")
    assert {layer.compute_dtype for layer in first.layers[1:]} == {"float32"}
    for value, same in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(value, same)


@pytest.mark.parametrize(
    "dataset", [name for name in DATASETS if f"judges/{name}.keras" in registry.names()]
)
def test_published_judges_take_the_images_of_their_set(dataset):
    features = judge.load_judge(dataset)
    images = np.random.default_rng(0).integers(0, 256, (5, *DATASETS[dataset]["image_shape"]))
    values = extract(features, images.astype("uint8"))
    assert values.shape == (5, NUM_FEATURES) and values.dtype == np.float32
    assert registry.fetch(f"judges/{dataset}.keras").stat().st_size < 3e6


def test_own_images_have_no_judge():
    assert judge.load_judge("folder:/pictures") is None


def test_the_judge_of_digits_detects_distortions(tmp_path):
    shutil.copy(registry.fetch("judges/digits.keras"), tmp_path)
    assert judge.main(["digits", "--folder", str(tmp_path), "--validate"]) == 0
    distances = json.loads((tmp_path / "judges.json").read_text())["digits"]["distances"]
    for chain in (
        ["blurred, 0.5 px", "blurred, 1 px", "blurred, 2 px"],
        ["noise, standard deviation 0.1", "noise, standard deviation 0.2"],
        ["without 1 of the classes", "without 3 of the classes", "without 5 of the classes"],
        ["PCA 32, reconstructions", "PCA 8, reconstructions", "PCA 8, samples"],
    ):
        values = [distances[name] for name in ("unchanged", *chain)]
        assert values == sorted(values), chain
    assert distances["PCA 32, samples"] > 3 * distances["PCA 32, reconstructions"]
    shown = f"| blurred, 2 px | {distances['blurred, 2 px']:.2f} |"
    assert shown in " ".join((tmp_path / "README.md").read_text().split())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Returns a folder for judges, and shortens their training to one epoch."""
    monkeypatch.setattr(judge, "EPOCHS", {"digits": 1})
    monkeypatch.setattr(judge, "MIN_STEPS", 1)
    return tmp_path / "judges"


def test_command_trains_and_writes_the_readme(folder):
    assert judge.main(["digits", "--folder", str(folder)]) == 0
    record = json.loads((folder / "judges.json").read_text())["digits"]
    assert record["training_images"] == 1294 and record["epochs"] == 1
    text = " ".join((folder / "README.md").read_text().split())
    assert f"| digits | 1,294 | 1 | {record['test_accuracy']:.4f} |" in text
    assert registry.pooch.file_hash(folder / "digits.keras") in text


def test_agreement_is_the_rank_correlation_of_common_distances():
    distances = {"a": 0.1, "b": 5.0, "c": None, "d": 2.0, "e": 9.0}
    others = {"a": 1.0, "b": 60.0, "c": None, "d": 20.0, "e": 50.0}
    # Ranks 1 3 2 4 and 1 4 2 3: 1 - 6 * 2 / (4 * 15).
    assert judge_validation.agreement(distances, others) == 0.8


def test_command_reports_errors_in_one_line(folder, capsys):
    assert judge.main(["digits", "--folder", str(folder), "--validate"]) == 1
    assert capsys.readouterr().err.startswith("error: File not found")


@pytest.mark.faults
def test_code_in_a_model_file_is_refused(tmp_path, monkeypatch):
    place, executed = tmp_path / "judges" / "digits.keras", tmp_path / "executed"
    place.parent.mkdir()
    marker = str(executed)
    hostile = keras.layers.Lambda(lambda x: [open(marker, "w").close(), x][1], name="features")
    keras.Sequential([keras.Input((8, 8, 1)), hostile]).save(place)
    executed.unlink()
    monkeypatch.setattr(registry, "MODELS", tmp_path)
    monkeypatch.setattr(registry, "REGISTRY", tmp_path / "registry.txt")
    registry.REGISTRY.touch()
    registry.register(place)  # refused although the checksum matches
    with pytest.raises(ValueError, match="(?i)lambda.*unsafe"):
        judge.load_judge("digits")
    assert not executed.exists()
