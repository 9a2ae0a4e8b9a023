import re

import nbformat
import pytest

from vae_keras import launch, runs, site, sources, sweep
from vae_keras.datasets import DATASETS
from vae_keras.parameters_test import VALID

WHERE = """
import os
print("data", globals().get("dataset", globals().get("datasets")))
print("models", os.path.relpath(os.environ["VAE_KERAS_MODELS"], %r))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_KERAS_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(site, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(launch.signal, "signal", lambda *_: None)
    (tmp_path / "notebooks").mkdir()
    return tmp_path


def write_notebook(folder, name, parameters, *sources):
    cells = [
        nbformat.v4.new_markdown_cell(f"# {name[:2]} · Title\n\n**Question?**"),
        nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        *map(nbformat.v4.new_code_cell, sources),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}}
    path = folder / "notebooks" / f"{name}.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    return path


def finish_run(parameters=VALID, weights=False):
    run = runs.start_run(**parameters)
    runs.finish_run(run, {"elbo": -1.0})
    if weights:
        (run / "model.keras").touch()
    runs.write_results()


def cannot_be_had(name, timeout=5.0):
    if DATASETS[name]["urls"]:
        raise FileNotFoundError(f"{name} cannot be had")
    return "embedded"


def test_pages_come_from_the_executed_notebooks(folder, monkeypatch, capsys):
    monkeypatch.setattr(sources, "find", cannot_be_had)
    finish_run()
    where = WHERE % str(folder)
    write_notebook(folder, "01_datasets", 'datasets = ["mnist", "cifar10"]', where)
    write_notebook(folder, "02_train_vae", 'dataset = "mnist"', where)
    write_notebook(folder, "03_latent_dim", 'budget = "study"', where)
    (runs.images_folder() / "03_curve.png").write_bytes(b"picture")
    assert site.main() == 0
    pages = {path.stem: path.read_text() for path in (folder / "site").glob("*.html")}
    assert set(pages) == {"index", "01_datasets", "02_train_vae", "03_latent_dim"}
    assert str(folder / "site" / "index.html") in capsys.readouterr().out
    assert "data ['digits', 'photos']\nmodels models" in pages["01_datasets"].replace("&#39;", "'")
    assert "data digits\nmodels site/executed/models" in pages["02_train_vae"]
    assert "data None\nmodels models" in pages["03_latent_dim"]
    assert "Images: digits, photos, in place of mnist, cifar10" in pages["01_datasets"]
    assert "Images: digits, in place of mnist, not to be had here." in pages["index"]
    assert '<img src="data:image/png;base64,' in pages["index"]
    assert runs.run_name(VALID) in pages["index"]


def test_a_notebook_that_fails_is_named_with_its_cell_and_error(folder, capsys):
    finish_run()
    write_notebook(folder, "03_latent_dim", "budget = 1", "1 / 0")
    write_notebook(folder, "04_beta", "budget = 1")
    assert site.main() == 1
    printed = capsys.readouterr()
    assert "1 of 2 notebooks FAILED:\n  03_latent_dim" in printed.out
    assert re.search(r"1 / 0\s+ZeroDivisionError: division by zero", printed.out + printed.err)
    assert not (folder / "site" / "index.html").exists()


def test_without_notebooks_or_a_table_there_is_no_page(folder, capsys):
    assert site.main() == 2
    assert "made in a checkout of the repository" in capsys.readouterr().err
    write_notebook(folder, "04_beta", "budget = 1")
    assert site.main() == 2
    assert "results.csv yet: `make sweep` trains" in capsys.readouterr().err


def test_data_sets_are_as_the_notebooks_say_where_they_can_be_had(folder, monkeypatch):
    paths = [
        write_notebook(folder, "01_datasets", 'datasets = ["mnist", "svhn"]'),
        write_notebook(folder, "02_train_vae", 'dataset = "svhn"'),
        write_notebook(folder, "03_latent_dim", 'budget = "study"'),
    ]
    downloaded = []
    monkeypatch.setattr(sources, "find", lambda name: "network" if name == "svhn" else "cache")
    monkeypatch.setattr(launch, "download", downloaded.append)
    chosen = site.choose_data(paths)
    assert [parameters for parameters, _ in chosen.values()] == [{}, {}, {}]
    assert [sentence for _, sentence in chosen.values()] == [
        "Images: mnist, svhn.",
        "Images: svhn.",
        "It reads the table and the records of the runs.",
    ]
    assert downloaded == [["svhn"]]  # once, for both


def test_what_cannot_be_downloaded_is_substituted(folder, monkeypatch):
    def fail(names):
        raise FileNotFoundError("no network")

    monkeypatch.setattr(sources, "find", lambda name: "network")
    monkeypatch.setattr(launch, "download", fail)
    grey = write_notebook(folder, "01_datasets", 'datasets = ["mnist", "fashion_mnist"]')
    parameters, sentence = site.choose_data([grey])[grey]
    assert parameters == {"datasets": ["digits"]}
    assert sentence == "Images: digits, in place of mnist, fashion_mnist, not to be had here."
    train = write_notebook(folder, "02_train_vae", 'dataset = "svhn"\nepochs = 4\nbatch_size = 128')
    parameters, _ = site.choose_data([train])[train]
    epochs = sweep.SUBSTITUTES["photos"]["epochs"]
    batch_size = sweep.BUDGETS["quick"]["batch_size"]
    assert parameters == {"dataset": "photos", "epochs": epochs, "batch_size": batch_size}


@pytest.mark.parametrize("weights", [False, True])
def test_notebooks_that_train_leave_nothing_among_the_runs(weights, folder):
    finish_run(sweep.declared_runs("study", "study")[0], weights)
    where = WHERE % str(folder)
    names = ["02_train_vae", "06_latent_space"]
    paths = [write_notebook(folder, name, "seed = 0", where) for name in names]
    output = folder / "site" / "executed"
    assert site.execute(dict.fromkeys(paths, ({"seed": 7}, "")), output) == {}
    texts = [(output / path.name).read_text() for path in paths]
    assert "models site/executed/models" in texts[0]
    # With the weights of the study there is nothing to train in 06.
    assert ("models models" if weights else "models site/executed/models") in texts[1]
    assert "seed = 7" in texts[0]
