import json
import math

import numpy as np
import pandas as pd
import pytest

from vae_keras.study import reproductions, runs, sweeps
from vae_keras.study.reproductions import REPRODUCTIONS


def finish(sweep, **measures):
    """Finishes the runs of a sweep, each seed one nat worse than the one before."""
    for parameters in sweeps.declared_runs(sweep, sweeps.SHOWN_BUDGET):
        seed, folder = parameters["seed"], runs.start_run(**parameters)
        history = {"epoch": [0, 1], "loss": [200, 150 + seed], "reconstruction_loss": [190, 144]}
        history = pd.DataFrame(history).assign(kl_divergence=6)
        history.to_csv(folder / "history.csv", index=False)
        found = {"elbo": -140.0 - seed, "reconstruction_loss": 133.0, "kl_divergence": 7.0}
        found["num_test_images"] = 10_000
        runs.finish_run(folder, found | measures)
    runs.write_results()
    return runs.load_results()


def compare(table, name, way):
    """Returns the rows of one experiment and way, recognised by their images and encoder."""
    images, encoder = reproductions.WAYS[way]
    return [
        row
        for row in reproductions.compare(table).to_dict("records")
        if row["reproduction"] == name
        and row["images"].endswith(images)
        and row["model"].endswith(encoder or "epochs")
    ]


def record_example(models, precision, seed):
    """Writes the record of a training of two epochs that ends at a loss of 150 + seed."""
    history = {"loss": [250.0, 150.0 + seed], "reconstruction_loss": [240.0, 143.5 + seed]}
    path = models / "keras_example" / f"{precision}_seed{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"history": history | {"kl_divergence": [10.0, 6.5]}}))


def test_each_way_averages_its_own_losses_over_seeds():
    table = finish("three_data_sets")
    first, *_ = compare(table, "three_data_sets", "test")
    assert (first["work"], first["seeds"]) == ("Three data sets: MNIST", 3)
    assert first["model"] == "residual network, latent size 2, 15 epochs"
    assert (first["total"], first["total_sd"], first["total_published"]) == (141.0, 1.0, 132.39)
    assert (first["reconstruction"], first["kl"], first["kl_published"]) == (133.0, 7.0, 8.76)
    np.testing.assert_allclose(first["difference"], 141 - 132.39)
    first, *_ = compare(table, "three_data_sets", "running")
    assert (first["total"], first["reconstruction"], first["kl"]) == (151.0, 144.0, 6.0)


def test_another_encoder_has_its_own_row():
    table = finish("three_data_sets")
    settings = {"dataset": "mnist", "architecture": "deep_mlp", "epochs": 60}
    chosen = table[(table[[*settings]] == pd.Series(settings)).all(axis=1)]
    for number, run in enumerate(chosen["run"][:2]):
        measures = {"elbo": -130.0 - number, "reconstruction_loss": 123.0, "kl_divergence": 7.0}
        path = runs.models_folder() / run / "encoder_grid.json"
        path.write_text(json.dumps(measures))
    row, other = compare(table, "three_data_sets", "grid")
    assert (row["total"], row["seeds"], row["work"]) == (130.5, 2, "Three data sets: MNIST")
    np.testing.assert_allclose(row["difference"], 130.5 - 132.39)
    assert (other["seeds"], other["work"]) == (0, "Three data sets: Fashion-MNIST")
    assert other["command"].endswith("reproduction_runs grid RUN")


def test_the_difference_accounts_for_the_entropy_of_other_images():
    # The entropy of these images is 133 - 88.47 = 44.53, one nat below that of the official ones.
    first, *_ = compare(finish("three_data_sets", excess=88.47), "three_data_sets", "test")
    np.testing.assert_allclose(first["difference"], 141 - 132.39 + 1)
    assert first["images"] == "unofficial, 10,000 test"


def test_keras_example_has_a_row_for_each_page_and_precision(models):
    for seed in (0, 1):
        record_example(models, "float32", seed)
    pages = compare(finish("pytorch_example"), "keras_example", "all")
    assert [page["total_published"] for page in pages] == [146.95, 146.95, 150.40, 150.40]
    assert [page["seeds"] for page in pages] == [2, 0, 2, 0]
    assert (pages[0]["total"], pages[0]["reconstruction"], pages[0]["kl"]) == (150.5, 144.0, 6.5)
    np.testing.assert_allclose(pages[2]["difference"], 0.10)


def test_the_table_has_a_row_for_each_result_and_the_commands_for_missing_runs():
    compared = reproductions.compare(finish("pytorch_example"))
    table, missing = reproductions.markdown(compared).split("\n\n")
    header, _, *rows = [
        [cell.strip() for cell in line[1:-1].split("|")] for line in table.splitlines()
    ]
    assert header[:4] == ["experiment", "published", "model", "images"]
    assert header[4:] == ["obtained", "difference", "seeds"]
    assert len(rows) == len(compared) == 19
    assert rows[0][:2] == ["Three data sets: MNIST", "132.39 = 123.63 + 8.76"]
    assert rows[0][4:] == ["not run", "", ""]
    assert rows[1][:2] == ["", ""]
    first = ["PyTorch's example", "105.59", "MLP, latent size 20, 10 epochs", "10,000 test"]
    assert rows[-1] == [*first, "141.00 ± 1.00 = 133.00 + 7.00", "+35.41", "3"]
    assert "150.40, KL 6.46" in [row[1] for row in rows]
    assert "`make sweep SWEEP=three_data_sets BUDGET=study`" in missing
    assert (
        "`.venv/bin/python -m vae_keras.study.reproduction_runs keras_example float32 SEED`"
        in missing
    )


@pytest.mark.parametrize("name", ["keras_example", "pytorch_example"])
def test_examples_are_trained_with_their_published_settings(name):
    for run in sweeps.declared_runs(name, "study"):
        assert (run["learning_rate"], run["learning_rate_schedule"]) == (1e-3, "constant")
        assert (run["batch_size"], run["train_fraction"]) == (128, 1.0)


def test_part_of_svhn_takes_as_many_steps_as_the_whole():
    # The last tenth, or the last 5,000 images, are for validation.
    for sweep, num_images in (("", 12_434 - 1_243), ("_full", 73_257 - 5_000)):
        for run in sweeps.declared_runs(f"three_data_sets_svhn{sweep}", "study"):
            num_steps = run["epochs"] * math.ceil(num_images / run["batch_size"])
            np.testing.assert_allclose(num_steps, 8010, atol=5)


def test_published_parts_add_up():
    for entry in REPRODUCTIONS.values():
        for published in entry.published:
            if published.reconstruction:
                parts = published.reconstruction + published.kl
                np.testing.assert_allclose(parts, published.total, atol=0.006)
