import numpy as np
import pandas as pd
import pytest

from vae_keras.bench import measure
from vae_keras.study import runs

TINY = {"kind": "ours", "image_shape": (8, 8, 1), "batch_size": 4, "num_images": 12}


def test_contestants_work_in_their_own_processes(capsys):
    broken = {"kind": "pytorch", "compiled": None}  # other options are missing
    rates, facts = measure.take_turns({"ours": TINY, "PyTorch": broken}, rounds=2)
    assert list(rates) == list(facts) == ["ours"]
    assert rates["ours"].shape == (2,) and (rates["ours"] > 0).all()
    assert "PyTorch is left out: " in capsys.readouterr().out


def test_a_contestant_of_ours_that_fails_says_why():
    with pytest.raises(KeyError, match="chess"):
        measure.take_turns({"chess": {"kind": "chess"}}, rounds=1)


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Fakes measurements: ours is twice as fast as stock Keras, PyTorch does not start."""
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
    monkeypatch.setattr(measure, "TARGETS", {})


def test_what_is_measured_is_written(measured, capsys):
    assert measure.main([]) == 0
    table = pd.read_csv(runs.models_folder() / "bench.csv")
    ours = table[(table["part"] == "training") & (table["name"] == measure.OURS)]
    assert len(ours) == len(measure.COMPARED)
    assert ours.iloc[0][["ratio", "ratio_low", "ratio_high"]].tolist() == [2.0, 1.8, 2.2]
    assert ours.iloc[0]["share"] == 200 * 5e7 / 20e9
    text = (runs.models_folder() / "bench.md").read_text()
    assert text.count("200 · 2.0x") == len(measure.SHAPES)
    assert "| matrix product" not in text and "on Test with 2 threads" in text
    assert "50 % (Fashion-MNIST) and 50 % (CIFAR-10) of the machine's rate" in text
    assert text in capsys.readouterr().out
    assert (runs.images_folder() / "bench.png").exists()


def test_a_part_can_be_measured_again(measured):
    measure.main(["training"])
    once = pd.read_csv(runs.models_folder() / "bench.csv")
    measure.main(["quality", "training"])
    pd.testing.assert_frame_equal(pd.read_csv(runs.models_folder() / "bench.csv"), once)


def test_an_interrupted_part_leaves_what_was_measured_before(measured, monkeypatch):
    measure.main(["training"])
    before = pd.read_csv(runs.models_folder() / "bench.csv")
    turns, take_turns = iter([1]), measure.take_turns

    def stop_at_the_second(*arguments):
        if next(turns, None) is None:
            raise KeyboardInterrupt
        return take_turns(*arguments)

    monkeypatch.setattr(measure, "take_turns", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        measure.main(["training"])
    pd.testing.assert_frame_equal(pd.read_csv(runs.models_folder() / "bench.csv"), before)


def test_unknown_parts_are_refused(capsys):
    with pytest.raises(SystemExit):
        measure.main(["chess"])
    assert "Valid parts: training, quality" in capsys.readouterr().err


@pytest.fixture
def learned(monkeypatch, measured):
    """Measures the part `quality` with a fake of training; returns the rows and the table."""

    def run(learn, targets=(-245.5, -242.0)):
        monkeypatch.setattr(measure, "_learn", learn)
        monkeypatch.setattr(measure, "TARGETS", {"fashion_mnist": targets})
        measure.main(["quality"])
        table = pd.read_csv(runs.models_folder() / "bench.csv")
        text = measure.markdown(table)
        lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
        return table, {line[0]: line[1:] for line in lines if len(line) == 2 + len(targets)}

    return run


def test_the_time_to_an_elbo_is_that_of_the_first_model_that_reaches_it(learned):
    def learn(name, options):
        if "PyTorch" in name:
            return None
        late = options["seed"]
        if name == measure.OURS:
            return [(10.0 + late, -246.0), (20.0 + late, -243.0), (590.0, -240.0 - late)]
        return [(100.0, -250.0), (200.0, -243.0), (700.0, -241.0)]

    _, cells = learned(learn)
    assert cells[measure.OURS] == [
        *("21 (20 to 22) · 9.5x", "590 · 1.2x", "-241.0 (-242.0 to -240.0)"),
    ]
    assert cells[measure.STOCK][1:] == ["700 · 1.0x", "-243.0"]
    assert not any("PyTorch" in name for name in cells)


def test_a_contestant_that_fails_or_falls_short_is_compared_with_the_same_seeds(learned):
    def learn(name, options):
        seed, slow = options["seed"], 1 if name == measure.STOCK else 2
        if "PyTorch" in name and seed == 1:
            return None
        elbo = -250.0 if name == measure.OURS else -240.0
        return [(slow * (100.0 + 100 * seed), elbo)]

    _, cells = learned(learn, (-242.0,))
    assert cells["PyTorch, eager"][0] == "400 (200 to 600) · 0.5x"
    assert cells[measure.OURS][0] == "not reached"


def test_a_target_that_some_never_reach_has_no_ratio(learned):
    def learn(name, options):
        late = name != measure.OURS or options["seed"] == 2
        return [(20.0, -250.0 if late else -240.0)]

    _, cells = learned(learn, (-242.0,))
    assert cells[measure.OURS][0] == "20 (20 to not reached)"
    assert cells[measure.STOCK][0] == "not reached"


def test_rounds_that_are_measured_are_kept(learned):
    def learn(name, options):
        calls.append((name, options["seed"]))
        if options["seed"] == 1 and name == measure.STOCK and len(calls) < 8:
            raise KeyboardInterrupt
        return [(100.0, -240.0)]

    calls = []
    with pytest.raises(KeyboardInterrupt):
        learned(learn)
    calls = []
    table, _ = learned(lambda name, options: calls.append((name, options["seed"])) or [(9.0, -1.0)])
    assert {seed for _, seed in calls} == {1, 2} and len(calls) == 2 * len(measure.LEARNING)
    assert table.groupby("seed")["elbo"].max().tolist() == [-240.0, -1.0, -1.0]
