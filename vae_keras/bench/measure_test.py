import numpy as np
import pandas as pd
import pytest

from vae_keras.bench import measure
from vae_keras.study import runs

TINY = {"kind": "ours", "image_shape": (8, 8, 1), "batch_size": 4, "num_images": 12}


def test_contestants_work_in_processes_of_their_own(capsys):
    broken = {"kind": "pytorch", "compiled": None}  # other options are missing
    rates, facts = measure.take_turns({"ours": TINY, "PyTorch": broken}, rounds=2)
    assert list(rates) == list(facts) == ["ours"]
    assert rates["ours"].shape == (2,) and (rates["ours"] > 0).all()
    assert 1e8 < facts["ours"]["memory"] < 1e11
    assert "PyTorch is left out: " in capsys.readouterr().out


def test_a_contestant_of_ours_that_fails_says_why():
    with pytest.raises(KeyError, match="chess"):
        measure.take_turns({"chess": {"kind": "chess"}}, rounds=1)


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Pretended measurements: ours is twice as fast as stock Keras, PyTorch does not start."""
    monkeypatch.setenv("VAE_KERAS_MODELS", str(tmp_path / "models"))
    runs.models_folder().mkdir()
    runs.images_folder().mkdir(exist_ok=True)
    rates = {"ours": [200.0, 220.0, 180.0], "stock_keras": [100.0, 100.0, 100.0]}
    rates["matrix_product"] = [20e9, 20e9, 20e9]
    described = {"precision": "mixed_bfloat16", "operations": 5e7, "device": "Test", "threads": 2}

    def take_turns(declared, rounds):
        started = {name: kind for name, kind in declared.items() if kind["kind"] in rates}
        values = {name: np.array(rates[kind["kind"]]) for name, kind in started.items()}
        return values, {name: described for name in started}

    monkeypatch.setattr(measure, "take_turns", take_turns)


def test_what_is_measured_is_written(measured, capsys):
    assert measure.main([]) == 0
    table = pd.read_csv(runs.models_folder() / "bench.csv")
    ours = table[(table["part"] == "training") & (table["name"] == measure.OURS)]
    assert len(ours) == len(measure.COMPARED)
    assert ours.iloc[0][["ratio", "ratio_low", "ratio_high"]].tolist() == [2.0, 1.8, 2.2]
    assert ours.iloc[0]["share"] == 200 * 5e7 / 20e9
    assert list(table[table["part"] == "cost"]["name"]) == list(measure.COSTS)
    text = (runs.models_folder() / "bench.md").read_text()
    assert "200 · 2.00 (1.80 to 2.20) · 50%" in text
    assert "| matrix product" not in text and "batch size 64" not in text
    assert text in capsys.readouterr().out
    assert (runs.images_folder() / "bench.png").exists()


def test_a_part_can_be_measured_anew(measured):
    for parts in (["cost"], ["training"], ["cost"]):
        measure.main(parts)
    table = pd.read_csv(runs.models_folder() / "bench.csv")
    assert (table["part"] == "cost").sum() == len(measure.COSTS)
    assert "training" in set(table["part"])


def test_unknown_parts_are_refused(capsys):
    with pytest.raises(SystemExit):
        measure.main(["chess"])
    assert "Valid parts: training, cost" in capsys.readouterr().err
