import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from vae_keras import charts
from vae_keras.plotting_test import flat_images, leaves_no_trace  # noqa: F401, an autouse fixture

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


def history(num_epochs):
    columns = ["reconstruction_loss", "kl_divergence", "psnr", "ssim"]
    columns += [f"val_{name}" for name in columns]
    values = np.linspace(1, 2, num_epochs)
    return pd.DataFrame({"epoch": np.arange(num_epochs), **dict.fromkeys(columns, values)})


def test_the_histogram_shows_shares_of_all_pixels():
    figure = charts.grey_level_histogram({"mnist": flat_images([0, 0, 0, 255])})
    (axes,) = figure.axes
    (line,) = axes.get_lines()
    share = line.get_ydata()
    assert share[0] == 0.75 and share[255] == 0.25 and share.sum() == 1
    assert axes.get_yscale() == "log"
    assert line.get_color() == charts.DATASET_COLORS["mnist"]
    assert axes.get_xlabel() and axes.get_ylabel()


def test_training_curves_count_epochs_from_one():
    figure = charts.training_curves(history(3))
    assert len(figure.axes) == 4
    for axes in figure.axes:
        training, validation = axes.get_lines()
        assert list(training.get_xdata()) == [1, 2, 3]
        assert training.get_linestyle() == "-" and validation.get_linestyle() == "--"
        assert axes.get_xlabel() == "epoch"
    units = [axes.get_ylabel() for axes in figure.axes]
    assert ["nats/image" in label for label in units] == [True, True, False, False]
    assert "dB" in units[2]


def test_training_curves_do_without_optional_columns():
    figure = charts.training_curves(history(1)[["epoch", "reconstruction_loss"]])
    (axes,) = figure.axes
    assert len(axes.get_lines()) == 1


def test_the_latent_map_shows_every_code_in_its_class():
    codes = np.arange(10.0).reshape(5, 2)
    figure = charts.latent_map(codes, np.array([0, 1, 0, 1, 1]), ["a", "b"], ("z_1", "z_2"))
    (axes,) = figure.axes
    first, second = axes.collections
    np.testing.assert_array_equal(first.get_offsets(), codes[[0, 2]])
    np.testing.assert_array_equal(second.get_offsets(), codes[[1, 3, 4]])
    assert not np.array_equal(first.get_facecolor(), second.get_facecolor())
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_aspect()) == ("z_1", "z_2", 1)


@pytest.mark.parametrize("shape", [(5,), (5, 3)])
def test_codes_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="`codes`"):
        charts.latent_map(np.zeros(shape), np.zeros(5, int), ["a"])


def test_a_sweep_has_a_row_for_each_data_set_and_a_column_for_each_measure():
    figure = charts.sweep_curves(runs_table(), "latent_dim", MEASURES)
    assert [axes.get_ylabel() for axes in figure.axes] == [*MEASURES.values()] * 2
    assert all(axes.get_xlabel() == "latent dim" for axes in figure.axes)
    legends = [axes.get_legend().get_texts()[0].get_text() for axes in figure.axes[::2]]
    assert "fashion_mnist" in legends[0] and "cifar10" in legends[1]
    colors = [axes.get_lines()[0].get_color() for axes in figure.axes]
    expected = [charts.DATASET_COLORS[name] for name in ("fashion_mnist", "cifar10")]
    assert colors == [expected[0]] * 2 + [expected[1]] * 2


def test_swept_values_are_the_ticks_of_a_logarithmic_axis():
    figure = charts.sweep_curves(runs_table(), "latent_dim", MEASURES)
    for axes in figure.axes:
        assert axes.get_xscale() == "log"
        assert list(axes.get_xticks()) == [2, 4, 8, 16, 32]
        assert [text.get_text() for text in axes.get_xticklabels()] == ["2", "4", "8", "16", "32"]
        assert list(axes.get_xticks(minor=True)) == []


def test_an_axis_that_holds_zero_is_linear():
    table = runs_table(latent_dims=(1, 8, 64)).assign(beta=lambda rows: rows["latent_dim"] - 1)
    figure = charts.sweep_curves(table, "beta", {"psnr": "PSNR (dB)"})
    assert figure.axes[0].get_xscale() == "linear"
    assert list(figure.axes[0].get_xticks()) == [0, 7, 63]


@pytest.mark.parametrize("seeds, spread", [((0,), 0), ((0, 1, 5), 5)])
def test_the_line_is_the_mean_over_seeds_and_the_bar_their_range(seeds, spread):
    figure = charts.sweep_curves(runs_table(seeds), "latent_dim", {"psnr": "PSNR (dB)"})
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
    figure = charts.sweep_curves(table, "latent_dim", {"psnr": "PSNR (dB)"})
    markers = {line.get_marker() for line in figure.axes[0].get_lines()} - {"_", "", "None"}
    assert markers == {charts.LIKELIHOOD_MARKERS[name] for name in ("bce", "mse")}


def test_figures_are_saved_in_the_style(tmp_path):
    figure = charts.latent_map(np.zeros((2, 2)), np.zeros(2, int), ["a"])
    figure.savefig(tmp_path / "styled.png")
    with mpl.rc_context({"savefig.dpi": 37, "savefig.bbox": None}):
        figure.savefig(tmp_path / "again.png")
    assert (tmp_path / "styled.png").read_bytes() == (tmp_path / "again.png").read_bytes()


def test_three_doublings_are_logarithmic():
    table = runs_table(latent_dims=(2, 4, 8))
    figure = charts.sweep_curves(table, "latent_dim", {"psnr": "PSNR (dB)"})
    assert figure.axes[0].get_xscale() == "log"


def test_a_single_epoch_has_whole_ticks():
    figure = charts.training_curves(history(1))
    low, high = figure.axes[0].get_xlim()
    assert [tick for tick in figure.axes[0].get_xticks() if low <= tick <= high] == [1]


def test_floats_are_counted_as_their_grey_levels():
    images = flat_images([0, 7, 255, 255])
    lines = [
        charts.grey_level_histogram({"mnist": pixels}).axes[0].get_lines()[0].get_ydata()
        for pixels in (images, images / 255)
    ]
    np.testing.assert_array_equal(*lines)


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda: charts.latent_map(np.zeros((3, 2)), [0, 0], ["a"]), "`labels`"),
        (lambda: charts.latent_map([[1, 2, 3]], [0], ["a"]), "`codes`"),
        (lambda: charts.grey_level_histogram({"other": flat_images([1])}), "`images`"),
        (lambda: charts.grey_level_histogram({"mnist": flat_images([1])[0]}), "num_images"),
        (lambda: charts.training_curves(history(2)[["epoch"]]), "`history`"),
        (lambda: charts.sweep_curves(runs_table(), "beta", MEASURES), "beta"),
        (lambda: charts.sweep_curves(runs_table()[:0], "latent_dim", MEASURES), "0 rows"),
        (
            lambda: charts.sweep_curves(
                runs_table().assign(dataset="other"), "latent_dim", MEASURES
            ),
            "other",
        ),
    ],
)
def test_wrong_arguments_are_named_and_leave_no_figure_open(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
