import pandas as pd
import pytest

from vae_keras import bench_training

PIPELINE = {"kind": "pipeline", "image_shape": (8, 8, 1), "batch_size": 16, "num_images": 64}


def test_contestants_measure_as_often_as_they_are_asked():
    measured, descriptions = bench_training.measure_in_turns({"pipeline": PIPELINE}, rounds=3)
    assert [result["work"] for result in measured["pipeline"]] == [64] * 3
    assert all(result["seconds"] > 0 for result in measured["pipeline"])
    assert all(1e8 < result["memory"] < 1e11 for result in measured["pipeline"])
    assert descriptions == {"pipeline": {"precision": "uint8"}}


class Pretended:
    """A contestant that takes as long as it is told; stock Keras is twice as slow as ours."""

    order = []

    def __init__(self, kind, **options):
        if kind == "torch":
            raise RuntimeError("No module named 'torch'")
        self.kind = kind
        self.description = {"precision": options.get("precision", "mixed_bfloat16")}
        self.description |= {"operations": 50.0, "device": "Test CPU", "threads": 2}

    def measure(self):
        self.order.append(self.kind)
        seconds = 2.0 if self.kind == "stock_keras" else 1.0
        work = 10000.0 if self.kind == "matrix_product" else 100.0
        return {"seconds": seconds, "work": work, "memory": 7e8}

    def close(self):
        self.order.append("closed")


@pytest.fixture
def pretended(monkeypatch):
    monkeypatch.setattr(bench_training, "Contestant", Pretended)
    monkeypatch.setattr(Pretended, "order", [])


def test_ratios_are_to_stock_keras_and_the_share_to_the_matrix_product(pretended, capsys):
    table = bench_training.measure_training("28x28x1", rounds=2).set_index("name")
    assert table["rate"][bench_training.OURS] == 100.0
    assert (
        table["ratio"][bench_training.OURS] == 2.0 and table["ratio"][bench_training.STOCK] == 1.0
    )
    assert table["share"][bench_training.OURS] == 100 * 50 / 10000
    assert table["share"].notna().sum() == 1
    missing = table.loc["PyTorch, eager"]
    assert missing["note"].startswith("not measured") and pd.isna(missing["rate"])
    assert "PyTorch, eager is left out: No module named 'torch'" in capsys.readouterr().out


def test_contestants_take_turns_and_each_begins_a_round(pretended):
    declared = {name: {"kind": name} for name in ("ours", "stock_keras", "pipeline")}
    bench_training.measure_in_turns(declared, rounds=2)
    assert Pretended.order[:3] == ["ours", "stock_keras", "pipeline"]
    assert Pretended.order[3:6] == ["stock_keras", "pipeline", "ours"]
    assert Pretended.order[6:] == ["closed"] * 3


def test_a_contestant_of_ours_that_fails_says_why():
    with pytest.raises(RuntimeError, match="KeyError: 'chess'"):
        bench_training.measure_in_turns({"chess": {"kind": "chess"}}, rounds=1)


def test_costs_have_a_row_for_each_size(pretended):
    table = bench_training.measure_costs(rounds=1)
    assert list(table["name"]) == list(bench_training.COSTS)
    assert (table["rate"] == 100.0).all() and (table["memory"] == 7e8).all()
