import pandas as pd

from vae_keras.study import tables


def rows(valid, **columns):
    length = len(next(iter(columns.values())))
    return pd.DataFrame({name: [value] * length for name, value in valid.items()}).assign(**columns)


def cells(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]


def test_the_spread_is_a_standard_deviation():
    assert tables.spread("psnr", {0: 14.0, 1: 15.0, 2: 16.0}) == "15.00 ± 1.00"
    assert tables.spread("psnr", {0: 14.0}) == "14.00"
    assert tables.spread("psnr", pd.Series([14.0, None])) == "14.00"
    assert tables.spread("psnr", {}) == ""


def test_seeds_share_a_row_and_uninformative_columns_are_left_out(valid):
    table = rows(
        valid,
        latent_dim=[2, 8, 2],
        likelihood=["bce", "mse", "bce"],
        seed=[0, 0, 1],
        elbo=[-3.0, -1.0, -5.0],
        nll=[float("nan")] * 3,
    )
    columns = ["dataset", "latent_dim", "likelihood", "elbo", "nll", "used_units"]
    header, align, *found = cells(tables.markdown(table, columns))
    assert header == ["latent size", "likelihood", "ELBO (nats/image)"]
    assert [cell[-1] for cell in align] == ["-", "-", ":"]
    assert found == [["2", "cross-entropy", "-4.0 ± 1.4"], ["8", "unit variance", "-1.0"]]


def test_a_single_setting_is_named_by_its_first_parameter(valid):
    text = tables.markdown(rows(valid, elbo=[-3.0]), ["dataset", "latent_dim", "elbo"])
    assert cells(text)[0] == ["data set", "ELBO (nats/image)"]
    assert cells(text)[2] == ["Fashion-MNIST", "-3.0"]
    assert tables.markdown(rows(valid, elbo=[]), ["dataset", "elbo"]) == "No run is finished."


def test_measured_data_sets_have_a_run_with_every_measure(valid):
    table = rows(valid, psnr=[1.0, 2.0, 3.0], fd_samples=[4.0, float("nan"), 5.0])
    table["dataset"] = ["mnist", "cifar10", "mnist"]
    assert tables.measured(table, "psnr") == ["mnist", "cifar10"]
    assert tables.measured(table, "psnr", "fd_samples") == ["mnist"]
    assert tables.measured(table, "fd_mixture") == []
