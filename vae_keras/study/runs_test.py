import json
import time

import numpy as np
import pandas as pd
import pytest

from vae_keras.study import runs
from vae_keras.study.parameters import BEYOND, PARAMETERS

pytestmark = pytest.mark.faults


def finish(parameters, **metrics):
    folder = runs.start_run(**parameters)
    runs.finish_run(folder, metrics or {"elbo": -240.123456789, "device": "CPU"})
    return folder


def test_the_name_depends_on_every_parameter_and_not_on_its_spelling(valid):
    others = dict(
        dataset="cifar10", image_size=64, latent_dim=3, beta=1.5, likelihood="mse",
        architecture="plain", conditional=True, warmup_epochs=0.5, free_bits=0.1, epochs=4,
        batch_size=128, learning_rate=2e-3, learning_rate_schedule="constant", train_fraction=0.5,
        evaluation_fraction=0.5, seed=1,
    )  # fmt: skip
    changed = [{**valid, name: value} for name, value in others.items()]
    changed += [{**changed[7], "kl_cycles": 2}, valid]
    assert len({runs.run_name(parameters) for parameters in changed}) == len(PARAMETERS) + 1
    spelled = {**dict(reversed(valid.items())), "beta": 1, "latent_dim": np.int64(2)}
    assert runs.run_name(spelled) == runs.run_name(valid)


def test_runs_beyond_the_plain_vae_share_the_table_and_leave_other_names_as_they_are(valid):
    usual = runs.run_name(valid)
    assert usual == "fashion_mnist_residual_bce_z2_beta1_seed0_99d3ac1d"
    assert runs.run_name({**valid, **BEYOND}) == usual
    others = dict(prior="vamp", posterior="coupling_flow", objective="iwae", perceptual=0.5)
    changed = [{**valid, name: value} for name, value in others.items()]
    assert len({usual, *map(runs.run_name, changed)}) == len(BEYOND) + 1
    for parameters in (valid, *changed):
        finish(parameters)
    table = runs.write_results()
    pd.testing.assert_frame_equal(runs.load_results(), table)
    assert dict(table["prior"].value_counts()) == {"normal": 4, "vamp": 1}
    assert list(runs.select(table, changed)["perceptual"]) == [0.0, 0.0, 0.0, 0.5]


def test_the_name_of_a_run_on_own_images_is_a_plain_file_name(valid):
    for dataset in ("folder:/path/to/../ä birds/", "folder:/", "/path/of a/file.npz"):
        name = runs.run_name({**valid, "dataset": dataset})
        assert name.startswith("own_") and not set(name) & set("/ ä")


def test_the_life_of_a_run(valid, models):
    assert not runs.is_finished(valid)
    folder = runs.start_run(**valid)
    assert folder == models / runs.run_name(valid)
    assert json.loads((folder / "params.json").read_text()) == valid
    assert not runs.is_finished(valid)
    runs.finish_run(folder, {"elbo": -240.5, "active_units": np.int64(3), "device": "CPU"})
    assert runs.is_finished(valid)
    assert runs.read_record(folder)["active_units"] == 3
    assert sorted(path.name for path in folder.iterdir()) == ["metrics.json", "params.json"]
    runs.start_run(**valid)
    assert not runs.is_finished(valid)


def test_a_backup_lasts_until_the_run_is_finished(valid):
    backup = runs.start_run(**valid) / runs.BACKUP
    backup.touch()
    assert runs.start_run(**valid) == backup.parent and backup.exists()
    runs.finish_run(backup.parent, {"elbo": -1.0})
    assert not backup.exists()
    backup.touch()  # killed before it was removed
    runs.start_run(**valid)
    assert not backup.exists()


def test_a_failure_is_remembered_until_the_run_starts_again(valid):
    folder = runs.start_run(**valid)
    (folder / "history.csv").write_text("epoch,loss\n0,300.0\n1,250.5\n2,2")
    runs.fail_run(valid, "no memory", again=True)
    assert runs.read_failure(valid) == {"reason": "no memory", "again": True}
    assert json.loads((folder / "failed.json").read_text())["epochs"] == 2
    (folder / "failed.json").write_text('{"rea')
    assert runs.read_failure(valid) is None
    runs.fail_run(valid, "no memory")
    runs.start_run(**valid)
    assert runs.read_failure(valid) is None


def test_the_table_has_a_row_for_each_finished_run(valid, models):
    for seed in (0, 1, 2):
        finish({**valid, "seed": seed, "learning_rate": 0.00123456789})
    runs.start_run(**{**valid, "seed": 1, "learning_rate": 0.00123456789})
    written = runs.write_results()
    loaded = runs.load_results()
    pd.testing.assert_frame_equal(loaded, written)
    assert sorted(loaded["seed"]) == [0, 2]
    assert set(loaded["elbo"]) == {-240.123} and set(loaded["learning_rate"]) == {0.00123456789}
    assert list(loaded) == ["run", *PARAMETERS, *BEYOND, "elbo", "device"]
    assert not list(models.glob(".*"))


def test_a_table_without_runs_is_empty_and_a_missing_one_is_an_error_with_a_cure():
    with pytest.raises(FileNotFoundError, match="make sweep"):
        runs.load_results()
    runs.write_results()
    assert runs.load_results().empty


@pytest.mark.parametrize(
    "file, content",
    [
        ("metrics.json", ""),
        ("metrics.json", "{}"),
        ("metrics.json", '{"elbo": NaN}'),
        ("metrics.json", '{"elbo": -1.0, "dev'),
        ("metrics.json", '{"elbo": {"mean": 1}}'),
        ("metrics.json", '{"elbo": %s}' % ("9" * 400)),
        ("metrics.json", '{"latent_dim": 32}'),
        ("metrics.json", "[" * 100_000),
        ("params.json", ""),
        ("params.json", "[1]"),
        ("params.json", '{"latent_dim": 2}'),
        ("params.json", None),
    ],
)
def test_a_damaged_record_is_named_and_does_not_count(file, content, valid, caplog):
    folder = finish(valid)
    finish({**valid, "seed": 1})
    if content is None:  # intact, but from another run
        content = (folder / file).read_text().replace('"latent_dim": 2', '"latent_dim": 64')
    (folder / file).write_text(content)
    assert not runs.is_finished(valid)
    assert list(runs.write_results()["seed"]) == [1]
    assert f"{folder / file} is damaged" in caplog.text
    finish(valid)  # trained again
    assert len(runs.write_results()) == 2


@pytest.mark.parametrize("keep", [0, 40, -30, -1])
def test_a_damaged_table_is_rewritten(keep, valid, models, caplog):
    for seed in (0, 1):
        finish({**valid, "seed": seed})
    written = runs.write_results()
    content = (models / runs.RESULTS).read_bytes()
    old = content.replace(b",kl_cycles,", b",cycles,")  # from an older version
    for damaged in (content[:keep], content.replace(b",2,1.0,", b",8,1.0,"), b"\xff\n", old):
        (models / runs.RESULTS).write_bytes(damaged)
        pd.testing.assert_frame_equal(runs.load_results(), written)
        assert "results.csv is rewritten" in caplog.text
        assert (models / runs.RESULTS).read_bytes() == content


def test_thousands_of_damaged_records_stop_nothing(valid, models, damage):
    folder = finish(valid)
    (folder / "history.csv").write_text("epoch,loss\r\n0,300.0\r\n1,250.5\r\n")
    np.savez(folder / "arrays.npz", labels=np.arange(9, dtype="uint8"))
    runs.fail_run(valid, "no memory")

    def read(file):
        if file == "failed.json":
            return runs.read_failure(valid)
        if file == "arrays.npz":
            return runs.read_arrays(folder.name)
        if file == "history.csv":
            assert runs.last_epoch(folder)[0] >= 0
            return runs.read_history(folder.name)
        return runs.read_record(folder)

    for file, number in {
        "params.json": 2000, "metrics.json": 2000, "failed.json": 500, "history.csv": 500,
        "arrays.npz": 1000,
    }.items():  # fmt: skip
        content, refused = (folder / file).read_bytes(), 0
        for damaged in damage(content, number):
            (folder / file).write_bytes(damaged)
            try:
                found = read(file)
            except ValueError as error:
                assert f"{folder / file} is damaged" in str(error)
                refused += 1
                continue
            if file == "params.json":  # never those of another run
                assert {name: found[name] for name in PARAMETERS} == valid
            if file == "arrays.npz":
                assert found == {} or np.array_equal(found["labels"], np.arange(9))
        assert refused > number / 4 or file == "failed.json"
        (folder / file).write_bytes(content)
    assert read("params.json")["elbo"] == -240.123456789


def test_an_incomplete_history_is_named(valid):
    folder = finish(valid)
    (folder / "history.csv").write_text("epoch,loss\n0,300.0\n1,25")
    with pytest.raises(ValueError, match=r"history.csv is damaged: .*incomplete.*trains the run"):
        runs.read_history(folder.name)


@pytest.mark.slow
def test_a_table_of_100_000_rows_is_read_in_seconds(valid, models):
    models.mkdir()
    rows = [{**valid, **BEYOND, "seed": seed} for seed in range(100_000)]
    measures = {f"measure_{number}": -1.5 * number for number in range(40)}
    table = pd.DataFrame([{"run": runs.run_name(row), **row, **measures} for row in rows])
    table.to_csv(models / runs.RESULTS, index=False)
    start = time.monotonic()
    loaded = runs.load_results()
    assert len(runs.select(loaded, rows[:1000])) == 1000
    means = loaded.groupby("beta")[list(measures)].mean()
    assert means["measure_2"].tolist() == [-3.0]
    assert time.monotonic() - start < 30


def test_select_returns_finished_runs_in_the_declared_order(valid):
    declared = [{**valid, "seed": seed} for seed in (3, 1, 2)]
    for parameters in (*declared[:2], {**valid, "seed": 9}):
        finish(parameters)
    assert list(runs.select(runs.write_results(), declared)["seed"]) == [3, 1]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, [1.0]])
def test_a_diverged_run_stays_unfinished(value, valid):
    folder = runs.start_run(**valid)
    with pytest.raises(ValueError, match="`elbo` must be .*finite number.*`learning_rate`"):
        runs.finish_run(folder, {"elbo": value})
    with pytest.raises(ValueError, match="dict of measures"):
        runs.finish_run(folder, {})
    assert not runs.is_finished(valid)


def test_a_models_folder_elsewhere_must_be_mounted(monkeypatch):
    monkeypatch.setenv("VAE_KERAS_MODELS", "s3://bucket/models")
    with pytest.raises(ValueError, match="local or mounted folder. Received: 's3://bucket/models'"):
        runs.models_folder()


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="full"), runs.atomic(path) as partial:
        partial.write_text("ne")
        assert partial.suffix == ".txt"
        raise OSError("full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_runs_and_figures_are_in_the_checkout_by_default(monkeypatch, models):
    assert runs.images_folder() == models / "images"
    monkeypatch.delenv("VAE_KERAS_MODELS")
    checkout = runs.models_folder().parent
    assert (checkout / "pyproject.toml").exists()
    assert runs.images_folder() == checkout / "images"


def test_pictures_have_readable_labels(valid):
    rows = []
    for size in (8, 2):
        folder = finish({**valid, "latent_dim": size})
        images = np.full((12, 4, 4, 1), size, "uint8")
        np.savez(folder / "pictures.npz", originals=images, reconstructions=images, samples=images)
        rows.append({"run": folder.name, "latent_dim": size, "likelihood": "bce"})
    rows = pd.DataFrame([*rows, {"run": "without", "latent_dim": 4, "likelihood": "mse"}])
    samples = runs.read_pictures(rows, "latent_dim", "samples")
    assert list(samples) == ["latent size 8", "latent size 2"]
    assert samples["latent size 2"].shape == (10, 4, 4, 1) and samples["latent size 2"].max() == 2
    pictures = runs.read_pictures(rows, "likelihood", "reconstructions")
    assert list(pictures) == ["original", "cross-entropy"]


def test_the_name_of_a_run_cannot_leave_the_folder():
    for name in ("../secret", "/etc", "..", "a/b"):
        with pytest.raises(ValueError, match="`run` must be the name"):
            runs.read_arrays(name)
