import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vae_keras import findings, report, runs, sweep

BLOCKS = "".join(
    f"<!-- begin {name} -->\nold\n<!-- end {name} -->\ntext after {name}\n"
    for name in ("findings", "results", "bench")
)


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_KERAS_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def finish(declared):
    """Finishes runs with measures that can be told apart."""
    for number, parameters in enumerate(declared):
        folder = runs.start_run(**parameters)
        images = np.full((10, 4, 4, 1), number, "uint8")
        np.savez(folder / "pictures.npz", originals=images, reconstructions=images)
        measures = {
            "elbo": -300.04 - number,
            "reconstruction_loss": 250.06 + number,
            "kl_divergence": 12.0,
            "psnr": 15.126,
            "ssim": 0.4321,
            "active_units": 2,
            "probe_accuracy": 0.5,
            "fd_samples": 40.0,
            "fd_gmm": 30.0,
            "num_test_images": 10_000,
            "train_seconds": 100.0,
            "images_per_second": 1870.0,
        }
        runs.finish_run(folder, measures)
    return runs.write_results()


def test_tables_show_the_finished_runs_and_say_how_many_are_missing():
    declared = sweep.declared_runs("latent_dim", "study")
    readme = report.render(BLOCKS, finish(declared[:3]))
    assert "old" not in readme and "text after results" in readme
    assert f"beta 1 (3 of {len(declared)} runs are finished; `make sweep SWEEP=latent_dim" in readme
    assert "beta 1 (0 of 24 runs are finished; `make sweep SWEEP=dataset BUDGET=study`" in readme
    assert "| 2 | -300.0 | 12.0 | 15.13 | 2 | 40.0 |" in readme
    complete = report.render(readme, finish(declared))
    rows = [line for line in complete.splitlines() if line.startswith("| 2 |")]
    assert len(rows) == 1 and rows[0].count("±") == 10  # both data sets, three seeds each
    assert "Over the latent size, with `bce` and beta 1:" in complete
    assert "fashion_mnist: 187,000 training images seen by a run, 10,000 test images" in complete
    assert report.render(complete, runs.load_results()) == complete


def test_speed_is_shown_once_it_has_been_measured(models):
    readme = report.render(BLOCKS, finish(sweep.declared_runs("quick")[:1]))
    assert "Not measured yet: `make bench`." in readme and "bench.png" not in readme
    quantities = {"rate": 900.0, "ratio": 2.0, "ratio_low": 1.9, "ratio_high": 2.1, "share": 0.4}
    machine = {"device": "Test CPU", "threads": 2, "precision": "float32"}
    row = {"part": "training", "images": "28x28x1", "name": "vae_keras", **quantities, **machine}
    pd.DataFrame([row]).to_csv(models / "bench.csv", index=False)
    (runs.images_folder() / "bench.png").touch()
    readme = report.render(readme, runs.load_results())
    assert "| vae_keras | 900 | 2.00 (1.90 to 2.10) |" in readme and "images/bench.png" in readme


def test_the_readme_tells_of_the_runs_beside_it_only(models, monkeypatch, capsys):
    monkeypatch.setattr(report, "ROOT", models.parent)
    readme = models.parent / "README.md"
    readme.write_text(BLOCKS)
    finish(sweep.declared_runs("quick")[:1])
    elsewhere = models.parent / "elsewhere" / "models"
    elsewhere.mkdir(parents=True)
    models.rename(models.parent / "disk")
    models.symlink_to(models.parent / "disk", target_is_directory=True)
    for folder, rendered in ((elsewhere, False), (models, True)):
        monkeypatch.setenv("VAE_KERAS_MODELS", str(folder))
        assert report.main() == 0
        assert (readme.read_text() != BLOCKS) is rendered
        assert (str(readme) in capsys.readouterr().out) is rendered


def test_findings_have_their_verdict_numbers_and_link():
    table = finish(sweep.declared_runs("latent_dim", "study"))
    readme = report.render(BLOCKS, table)
    for finding in findings.check_all(table):
        text = f"{finding.dataset}: **{finding.verdict}**, {finding.evidence}."
        (line,) = [
            line for line in readme.splitlines() if line.startswith(f"- {finding.statement} ")
        ]
        assert text in line
        assert f"([{finding.notebook}](notebooks/{finding.notebook}.ipynb))" in line


def test_a_block_must_be_there_once():
    for text in ("", "<!-- begin a -->\n<!-- end a -->\n" * 2):
        with pytest.raises(ValueError, match="must have one block from `<!-- begin a -->`"):
            report.replace_block(text, "a", "new")
    text = "x\n<!-- begin a -->\n1\n<!-- end a -->\ny"
    assert report.replace_block(text, "a", r"\1 2") == (
        "x\n<!-- begin a -->\n\\1 2\n<!-- end a -->\ny"
    )


def test_figures_carry_the_names_of_the_data_sets(tmp_path):
    for substitute in (False, True):
        declared = sweep.declared_runs("quick", substitute=substitute)
        rows = runs.select(finish(declared), declared)
        paths = report.draw(rows, runs.images_folder())
        names = {path.name for path in paths}
        data = "digits_photos" if substitute else "fashion_mnist_cifar10"
        assert f"02_quick_{data}_latent_dim.png" in names
        assert f"02_quick_{data}_beta.png" in names
        assert len(paths) == 4
        for path in paths:
            with Image.open(path) as image:
                assert min(image.size) > 100


def test_figures_need_no_finished_sweep():
    declared = sweep.declared_runs("quick")[:1]
    rows = runs.select(finish(declared), declared)
    names = [path.name for path in report.draw(rows, runs.images_folder())]
    assert names == ["02_quick_reconstructions_fashion_mnist.png"]


def test_the_readme_is_what_the_committed_table_gives(monkeypatch):
    monkeypatch.delenv("VAE_KERAS_MODELS")
    readme = (report.ROOT / "README.md").read_text(encoding="utf-8")
    assert report.render(readme, runs.load_results()) == readme
    assert len(readme.splitlines()) < 150
    compared = (runs.models_folder() / report.REPRODUCTIONS).read_text(encoding="utf-8")
    assert report.reproductions(runs.load_results()) == compared
