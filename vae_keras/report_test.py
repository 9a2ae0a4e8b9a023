import numpy as np
import pytest
from PIL import Image

from vae_keras import report, runs, sweep

BLOCKS = "".join(
    f"<!-- begin {name} -->\nold\n<!-- end {name} -->\ntext after {name}\n"
    for name in ("quick", "findings", "pytorch_example")
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
        np.savez(folder / "arrays.npz", originals=images, reconstructions=images)
        measures = {
            "elbo": -300.04 - number,
            "train_elbo": -290.0,
            "reconstruction_loss": 250.06 + number,
            "kl_divergence": 12.0,
            "excess": 60.0,
            "psnr": 15.126,
            "ssim": 0.4321,
            "active_units": 2,
            "num_test_images": 10_000,
        }
        runs.finish_run(folder, measures)
    return runs.write_results()


def test_blocks_are_filled_from_finished_runs_only():
    declared = sweep.declared_runs("quick")
    table = finish(declared[:-1])
    assert report.render(BLOCKS, table) == BLOCKS
    readme = report.render(BLOCKS, finish(declared))
    assert readme.count("old") == 1  # the block of the sweep that has not run
    assert "text after quick" in readme
    rows = [line for line in readme.splitlines() if line.startswith("| fashion_mnist")]
    assert len(rows) == len(declared) / 2
    assert (
        "| fashion_mnist | 2 | 1 | -300.0 | -290.0 | 250.1 | 12.0 | 60.0 | 15.13 | 0.432 | 2 |"
        in rows
    )
    assert "fashion_mnist: 10,000 test images" in readme
    assert "architecture plain, likelihood bce." in readme
    assert report.render(readme, table) == readme
    assert report.render(readme, runs.load_results()) == readme


def test_findings_compare_the_ends_of_each_axis():
    declared = sweep.declared_runs("quick")
    readme = report.render(BLOCKS, finish(declared))
    losses = {
        (run["latent_dim"], run["beta"]): 250.06 + number
        for number, run in enumerate(declared)
        if run["dataset"] == "cifar10"
    }
    expected = f"goes from {losses[2, 1.0]:.1f} to {losses[32, 1.0]:.1f} nats/image"
    assert expected in readme
    assert f"goes from {losses[32, 0.1]:.1f} to {losses[32, 4.0]:.1f} nats/image" in readme


def test_a_block_must_be_there_once():
    for text in ("", "<!-- begin a -->\n<!-- end a -->\n" * 2):
        with pytest.raises(ValueError, match="must have one block from `<!-- begin a -->`"):
            report.replace_block(text, "a", "new")
    text = "x\n<!-- begin a -->\n1\n<!-- end a -->\ny"
    assert report.replace_block(text, "a", r"\1 2") == (
        "x\n<!-- begin a -->\n\\1 2\n<!-- end a -->\ny"
    )


def test_measures_that_do_not_apply_stay_empty():
    table = finish(sweep.declared_runs("pytorch_example"))
    table.loc[0, "excess"] = np.nan
    text = report.markdown_table(table)
    assert "excess" not in text
    assert "| mnist | bce | mlp | 20 | 1 |" in text


def test_figures_carry_the_names_of_the_data_sets(tmp_path):
    for substitute in (False, True):
        declared = sweep.declared_runs("quick", substitute=substitute)
        rows = runs.select(finish(declared), declared)
        paths = report.draw(rows, tmp_path / "images")
        names = {path.name for path in paths}
        data = "digits_photos" if substitute else "fashion_mnist_cifar10"
        assert f"02_quick_{data}_latent_dim.png" in names
        assert f"02_quick_{data}_beta.png" in names
        assert len(paths) == 4
        for path in paths:
            with Image.open(path) as image:
                assert min(image.size) > 100


def test_figures_need_no_finished_sweep(tmp_path):
    declared = sweep.declared_runs("quick")[:1]
    rows = runs.select(finish(declared), declared)
    names = [path.name for path in report.draw(rows, tmp_path / "images")]
    assert names == ["02_reconstructions_fashion_mnist.png"]


def test_the_readme_is_what_the_committed_table_gives(monkeypatch):
    monkeypatch.delenv("VAE_KERAS_MODELS")
    readme = (report.ROOT / "README.md").read_text(encoding="utf-8")
    assert report.render(readme, runs.load_results()) == readme
    assert len(readme.splitlines()) < 150
