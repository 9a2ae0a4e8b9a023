import numpy as np
import pandas as pd
import pytest

from vae_keras import tables
from vae_keras.parameters_test import VALID


def rows(**columns):
    length = len(next(iter(columns.values())))
    table = pd.DataFrame({name: [value] * length for name, value in VALID.items()})
    return table.assign(**columns)


def test_values_have_their_decimals():
    assert tables.format_value("elbo", -240.04) == "-240.0"
    assert tables.format_value("ssim", 0.43219) == "0.432"
    assert tables.format_value("beta", 0.010) == "0.01"
    assert tables.format_value("likelihood", "bce") == "bce"
    assert tables.format_value("conditional", np.True_) == "yes"
    assert tables.format_value("nll", np.nan) == ""


def test_spread_is_half_the_range_over_seeds():
    assert tables.format_spread("psnr", [14.0, 15.0, 14.5]) == "14.50 ± 0.50"
    assert tables.format_spread("psnr", [14.0]) == "14.00"
    assert tables.format_spread("psnr", [14.0, np.nan]) == "14.00"
    assert tables.format_spread("psnr", []) == ""


def test_seeds_share_a_row_and_columns_that_say_nothing_are_left_out():
    table = rows(latent_dim=[2, 8, 2], seed=[0, 0, 1], elbo=[-3.0, -1.0, -5.0], nll=[np.nan] * 3)
    assert tables.markdown(table, tables.COLUMNS).splitlines() == [
        "| data set | latent size | ELBO (nats/image) |",
        "|---|---|---:|",
        f"| {VALID['dataset']} | 2 | -4.0 ± 1.0 |",
        f"| {VALID['dataset']} | 8 | -1.0 |",
    ]


def test_columns_can_be_chosen():
    table = rows(latent_dim=[2, 8], elbo=[-3.0, -1.0], psnr=[1.0, 2.0])
    assert tables.markdown(table, ("latent_dim", "psnr")).splitlines()[2:] == [
        "| 2 | 1.00 |",
        "| 8 | 2.00 |",
    ]


def test_a_column_needs_a_heading_whether_or_not_there_are_rows():
    for table in (rows(elbo=[-3.0]), rows(elbo=[])):
        with pytest.raises(KeyError, match="elbos"):
            tables.markdown(table, ("latent_dim", "elbos"))
    assert tables.markdown(rows(elbo=[]), ("latent_dim", "elbo")) == "No run is finished."


def test_data_sets_can_share_a_row():
    table = rows(dataset=["mnist", "mnist", "svhn"], latent_dim=[2, 8, 2], elbo=[-3.0, -1.0, -5.0])
    text = tables.markdown(table, ("dataset", "latent_dim", "elbo"), across="dataset")
    assert text.splitlines() == [
        "| latent size | ELBO (nats/image), mnist | ELBO (nats/image), svhn |",
        "|---|---:|---:|",
        "| 2 | -3.0 | -5.0 |",
        "| 8 | -1.0 |  |",
    ]
