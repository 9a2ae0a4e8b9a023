import numpy as np
import pandas as pd
import pytest

from vae_keras.study import reproductions, runs, sweeps
from vae_keras.study.reproductions import REPRODUCTIONS, SWEEPS


def finish(sweep, **measures):
    """Finishes the runs of a sweep; each seed is one nat worse than the one before."""
    for parameters in sweeps.declared_runs(sweep, sweeps.SHOWN_BUDGET):
        seed, folder = parameters["seed"], runs.start_run(**parameters)
        history = {"epoch": [0, 1], "loss": [200, 150 + seed], "reconstruction_loss": [190, 144]}
        history = pd.DataFrame(history).assign(kl_divergence=6)
        history.to_csv(folder / "history.csv", index=False)
        found = {"elbo": -140.0 - seed, "reconstruction_loss": 133.0, "kl_divergence": 7.0}
        runs.finish_run(folder, found | measures)
    runs.write_results()
    return runs.load_results()


def compare(table, name, images):
    compared = reproductions.compare(table)
    chosen = (compared["reproduction"] == name) & (
        compared["images"] == reproductions.SPLITS[images]
    )
    return compared[chosen].to_dict("records")


def test_each_split_has_its_own_values_over_seeds():
    table = finish("three_data_sets")
    first, *_ = compare(table, "three_data_sets", "test")
    assert (first["work"], first["seeds"]) == ("`three_data_sets`, MNIST", 3)
    assert first["model"] == "residual, latent size 2, 15 epochs"
    assert (first["total"], first["total_sd"], first["total_published"]) == (141.0, 1.0, 132.39)
    assert (first["reconstruction"], first["kl"], first["kl_published"]) == (133.0, 7.0, 8.76)
    np.testing.assert_allclose(first["difference"], 141 - 132.39)
    first, *_ = compare(table, "three_data_sets", "running")
    assert (first["total"], first["reconstruction"], first["kl"]) == (151.0, 144.0, 6.0)


def test_images_of_another_entropy_are_compared_above_it():
    # The entropy of these images is 133 - 88.47 = 44.53, one nat less than that of the official.
    first, *_ = compare(finish("three_data_sets", excess=88.47), "three_data_sets", "test")
    np.testing.assert_allclose(first["difference"], 141 - 132.39 + 1)


def test_keras_example_has_a_row_for_each_year():
    pages = compare(finish("keras_example"), "keras_example", "running")
    assert [page["total_published"] for page in pages] == [146.95, 150.40]
    np.testing.assert_allclose([page["difference"] for page in pages], [4.05, 0.60])


def test_the_table_has_a_row_for_each_result_and_says_what_is_missing():
    compared = reproductions.compare(finish("keras_example"))
    text = reproductions.markdown(compared)
    header, _, *rows = [
        [cell.strip() for cell in line[1:-1].split("|")] for line in text.splitlines()
    ]
    assert header == ["experiment", "images", "total", "reconstruction", "KL", "difference"]
    assert len(rows) == len(compared) == 12
    assert "not run: `make sweep SWEEP=three_data_sets BUDGET=study`" in rows[0][0]
    assert rows[0][2:] == ["– (132.39)", "– (123.63)", "– (8.76)", ""]
    (page,) = [row for row in rows if "page of 2024" in row[0]]
    assert page[0] == "Keras's example, page of 2024: small, latent size 2, 30 epochs; 3 seeds"
    assert page[2:] == ["151.00 ± 1.00 (150.40)", "144.00 ± 0.00", "6.00 ± 0.00 (6.46)", "+0.60"]


@pytest.mark.parametrize("name", SWEEPS)
def test_reproductions_are_trained_at_the_rate_of_their_authors(name):
    for run in sweeps.declared_runs(name, "study"):
        assert run["learning_rate"] <= 1e-3
        assert run["learning_rate_schedule"] == "constant" or run["architecture"] == "deep_mlp"


def test_published_parts_add_up():
    for entry in REPRODUCTIONS.values():
        for published in entry.published:
            if published.reconstruction:
                parts = published.reconstruction + published.kl
                np.testing.assert_allclose(parts, published.total, atol=0.006)
