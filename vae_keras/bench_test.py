import pandas as pd
import pytest

from vae_keras import bench, bench_runs, bench_training, runs
from vae_keras.bench_training_test import pretended  # noqa: F401, a fixture


@pytest.fixture
def measured(pretended, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("VAE_KERAS_MODELS", str(tmp_path / "models"))
    runs.models_folder().mkdir()
    spread = {"speed_up": 0.95, "overhead": 5.04, "evaluation_share": 0.151, "memory": 1.44e9}
    jobs = pd.DataFrame([{"part": "runs", "images": "digits", "name": "2 jobs", **spread}])
    elbos = {"elbo": -100.0, "elbo_low": -101.0, "elbo_high": -99.0}
    precisions = pd.DataFrame([{"part": "precision", "images": "digits", "name": "x", **elbos}])
    monkeypatch.setattr(bench_runs, "measure_jobs", lambda: jobs)
    monkeypatch.setattr(bench_runs, "measure_precision", lambda: precisions)


def test_what_is_measured_is_written_and_read(measured, capsys):
    assert bench.load_results().empty
    assert bench.main([]) == 0
    table = bench.load_results()
    assert list(dict.fromkeys(table["part"])) == list(bench.PARTS)
    assert (runs.images_folder() / "bench.png").exists()
    assert "bench.csv" in capsys.readouterr().out
    text = bench.markdown(table)
    assert "| vae_keras | 100 | 2.00 (2.00 to 2.00) | 100 | 2.00 (2.00 to 2.00) |" in text
    assert "| PyTorch, eager | not measured |  | not measured |  |" in text
    assert "on Test CPU, 2 threads, mixed_bfloat16" in text
    assert "50% with 28x28x1, 50% with 32x32x3" in text
    assert "pipeline alone gives, in images/s, 100 with 28x28x1, 100 with 32x32x3." in text
    assert "images/s: 100 (batch size 32), 100 (batch size 128)" in text
    assert "2 jobs finish a sweep of equal runs (digits, `sigma`) 0.95 times as fast" in text
    assert "5.0 s beside training" in text and "15% of a run" in text and "1.4 GB" in text
    assert "-100.0 (-101.0 to -99.0) in x nats/image" in text


def test_a_part_can_be_measured_anew(measured):
    bench.main(["training"])
    assert set(bench.load_results()["part"]) == {"training"}
    bench.main(["runs"])
    bench.main(["runs"])
    table = bench.load_results()
    assert (table["part"] == "runs").sum() == 1 and "training" in set(table["part"])


def test_unknown_parts_are_refused(measured, capsys):
    with pytest.raises(SystemExit):
        bench.main(["chess"])
    assert "Valid parts: training, cost, runs, precision" in capsys.readouterr().err


def test_without_measurements_the_readme_says_so():
    assert bench.markdown(pd.DataFrame({"part": []})) == "Not measured yet: `make bench`."


def test_the_figure_shows_ratios_only(pretended):  # noqa: F811
    parts = [bench_training.measure_training(shape, 2) for shape in bench_training.SHAPES]
    figure = bench.draw(pd.concat(parts))
    assert [axes.get_title() for axes in figure.axes] == ["28x28x1 pixels", "32x32x3 pixels"]
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert widths == [1.0, 2.0]  # stock Keras below ours
