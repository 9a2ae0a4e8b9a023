import numpy as np
import pandas as pd
import pytest

from vae_keras import charts, comparisons
from vae_keras.plotting_test import leaves_no_trace  # noqa: F401, an autouse fixture

MEASURES = {"reconstruction_loss": "reconstruction loss (nats/image)", "psnr": "PSNR (dB)"}


def runs_table(seeds=(0, 1, 2), latent_dims=(2, 4, 8, 16, 32)):
    rows = [
        {
            "dataset": dataset,
            "likelihood": "bce",
            "latent_dim": latent_dim,
            "seed": seed,
            "reconstruction_loss": scale / latent_dim + seed,
            "psnr": latent_dim + seed,
        }
        for dataset, scale in (("fashion_mnist", 240), ("cifar10", 1800))
        for latent_dim in latent_dims
        for seed in seeds
    ]
    return pd.DataFrame(rows)


def test_a_sweep_has_a_row_for_each_data_set_and_a_column_for_each_measure():
    figure = comparisons.sweep_curves(runs_table(), "latent_dim", MEASURES)
    assert [axes.get_ylabel() for axes in figure.axes] == [*MEASURES.values()] * 2
    assert all(axes.get_xlabel() == "latent dim" for axes in figure.axes)
    legends = [axes.get_legend().get_texts()[0].get_text() for axes in figure.axes[::2]]
    assert "fashion_mnist" in legends[0] and "cifar10" in legends[1]
    colors = [axes.get_lines()[0].get_color() for axes in figure.axes]
    expected = [charts.DATASET_COLORS[name] for name in ("fashion_mnist", "cifar10")]
    assert colors == [expected[0]] * 2 + [expected[1]] * 2


def test_swept_values_are_the_ticks_of_a_logarithmic_axis():
    figure = comparisons.sweep_curves(runs_table(), "latent_dim", MEASURES)
    for axes in figure.axes:
        assert axes.get_xscale() == "log"
        assert list(axes.get_xticks()) == [2, 4, 8, 16, 32]
        assert [text.get_text() for text in axes.get_xticklabels()] == ["2", "4", "8", "16", "32"]
        assert list(axes.get_xticks(minor=True)) == []


def test_an_axis_that_holds_zero_is_linear():
    table = runs_table(latent_dims=(1, 8, 64)).assign(beta=lambda rows: rows["latent_dim"] - 1)
    figure = comparisons.sweep_curves(table, "beta", {"psnr": "PSNR (dB)"})
    assert figure.axes[0].get_xscale() == "linear"
    assert list(figure.axes[0].get_xticks()) == [0, 7, 63]


@pytest.mark.parametrize("seeds, spread", [((0,), 0), ((0, 1, 5), 5)])
def test_the_line_is_the_mean_over_seeds_and_the_bar_their_range(seeds, spread):
    figure = comparisons.sweep_curves(runs_table(seeds), "latent_dim", {"psnr": "PSNR (dB)"})
    line = figure.axes[0].get_lines()[0]
    assert list(line.get_ydata()) == [size + np.mean(seeds) for size in (2, 4, 8, 16, 32)]
    bars = [
        segment
        for bar in figure.axes[0].collections
        for segment in bar.get_segments()
        if len(segment)
    ]
    heights = [segment[:, 1] for segment in bars]
    if spread:
        assert [list(ends) for ends in heights] == [[s, s + spread] for s in (2, 4, 8, 16, 32)]
    assert all(np.ptp(ends) == spread for ends in heights)


def test_likelihoods_have_their_markers():
    table = runs_table()
    table = pd.concat([table, table.assign(likelihood="mse")])
    figure = comparisons.sweep_curves(table, "latent_dim", {"psnr": "PSNR (dB)"})
    markers = {line.get_marker() for line in figure.axes[0].get_lines()} - {"_", "", "None"}
    assert markers == {charts.LIKELIHOOD_MARKERS[name] for name in ("bce", "mse")}


def test_three_doublings_are_logarithmic():
    table = runs_table(latent_dims=(2, 4, 8))
    figure = comparisons.sweep_curves(table, "latent_dim", {"psnr": "PSNR (dB)"})
    assert figure.axes[0].get_xscale() == "log"


def test_data_sets_on_a_common_scale_share_a_row():
    figure = comparisons.sweep_curves(
        runs_table(), "latent_dim", {"psnr": "PSNR (dB)"}, together=True
    )
    (axes,) = figure.axes
    colors = {line.get_color() for line in axes.get_lines() if line.get_marker() == "o"}
    assert colors == {charts.DATASET_COLORS[name] for name in ("fashion_mnist", "cifar10")}


def rates_table(likelihoods=("bce",)):
    rows = [
        {
            "dataset": "fashion_mnist",
            "likelihood": likelihood,
            "beta": beta,
            "seed": seed,
            "kl_divergence": 10 / beta + seed,
            "reconstruction_loss": 200 + beta - seed,
            "psnr": 20 - beta + seed,
        }
        for likelihood in likelihoods
        for beta in (0.5, 1.0, 2.0)
        for seed in (0, 2)
    ]
    return pd.DataFrame(rows)


def test_rate_and_distortion_are_means_with_ranges_in_both_directions():
    figure = comparisons.rate_distortion(rates_table())
    (axes,) = figure.axes
    ((line, caps, bars),) = axes.containers
    np.testing.assert_allclose(line.get_xdata(orig=False), [21, 11, 6])
    np.testing.assert_allclose(line.get_ydata(orig=False), [199.5, 200, 201])
    across, upright = (np.array(bar.get_segments()[0], "float64") for bar in bars)
    np.testing.assert_allclose(across, [[20, 199.5], [22, 199.5]])
    np.testing.assert_allclose(upright, [[21, 198.5], [21, 200.5]])
    assert [text.get_text() for text in axes.texts] == ["0.5", "1", "2"]


def test_likelihoods_share_measures_and_never_the_loss():
    table = rates_table(("bce", "mse"))
    figure = comparisons.rate_distortion(table, distortions={"psnr": "PSNR (dB)"})
    markers = [container[0].get_marker() for container in figure.axes[0].containers]
    assert markers == [charts.LIKELIHOOD_MARKERS[name] for name in ("bce", "mse")]
    with pytest.raises(ValueError, match="common to all likelihoods"):
        comparisons.rate_distortion(table)


def test_spectra_count_dimensions_from_one():
    figure = comparisons.spectra({"a": np.array([3.0, 1.0]), "b": np.array([2.0])}, "title")
    lines = figure.axes[0].get_lines()
    assert [list(line.get_xdata()) for line in lines] == [[1, 2], [1]]
    assert list(lines[0].get_ydata()) == [3, 1]
    assert figure.axes[0].get_title() == "title"


def test_histories_are_drawn_from_the_first_epoch():
    history = pd.DataFrame({"epoch": [0, 1], "kl_divergence": [4.0, 5.0], "psnr": [6.0, 7.0]})
    figure = comparisons.epoch_curves(
        {"none": history, "linear": history + 1}, {"kl_divergence": "KL", "psnr": "PSNR (dB)"}
    )
    first, second = figure.axes
    assert [list(line.get_xdata()) for line in first.get_lines()] == [[1, 2], [2, 3]]
    assert list(second.get_lines()[1].get_ydata()) == [7, 8]


def test_histories_of_held_out_images_are_dashed():
    history = pd.DataFrame({"epoch": [0, 1], "psnr": [6.0, 7.0], "val_psnr": [3.0, 4.0]})
    figure = comparisons.epoch_curves({"none": history}, {"psnr": "PSNR (dB)"})
    training, held_out = figure.axes[0].get_lines()
    assert (training.get_linestyle(), held_out.get_linestyle()) == ("-", "--")
    assert list(held_out.get_ydata()) == [3, 4]
    np.testing.assert_array_equal(training.get_color(), held_out.get_color())


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda: comparisons.sweep_curves(runs_table(), "beta", MEASURES), "beta"),
        (lambda: comparisons.sweep_curves(runs_table()[:0], "latent_dim", MEASURES), "0 rows"),
        (
            lambda: comparisons.sweep_curves(
                runs_table().assign(dataset="other"), "latent_dim", MEASURES
            ),
            "other",
        ),
        (lambda: comparisons.rate_distortion(runs_table()), "kl_divergence"),
    ],
)
def test_wrong_tables_are_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
