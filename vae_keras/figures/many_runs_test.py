import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from vae_keras.figures import many_runs, style


def means(panel):
    return [container[0] for container in panel.containers]


def test_a_sweep_has_a_row_for_each_data_set_and_a_column_for_each_measure(runs, legend_texts):
    figure = many_runs.sweep_curves(runs, "latent_dim", ["reconstruction_loss", "psnr"])
    labels = ["reconstruction loss\n(nats/image)", "PSNR (dB)"]
    assert [panel.get_ylabel() for panel in figure.axes] == labels * 2
    assert {panel.get_xlabel() for panel in figure.axes} == {"latent size"}
    assert [panel.get_title() for panel in figure.axes[::2]] == ["Fashion-MNIST", "CIFAR-10"]
    curves = ["Fashion-MNIST, cross-entropy", "CIFAR-10, cross-entropy"]
    assert legend_texts(figure) == [*curves, "each seed", "95 % interval"]


def test_the_swept_values_are_the_ticks(runs):
    (panel, _) = many_runs.sweep_curves(runs, "latent_dim", ["psnr"]).axes
    assert panel.get_xscale() == "log"
    assert [text.get_text() for text in panel.get_xticklabels()] == ["2", "4", "8", "16", "32"]
    assert list(panel.get_xticks(minor=True)) == []


def test_points_are_means_bars_are_t_intervals_and_seeds_are_dots(runs):
    (panel, _) = many_runs.sweep_curves(runs, "latent_dim", ["psnr"]).axes
    ((mean, _, (bars,)),) = panel.containers
    np.testing.assert_allclose(mean.get_ydata(orig=False), [3, 5, 9, 17, 33])
    heights = [np.ptp(segment[:, 1]) for segment in bars.get_segments()]
    half_width = 4.302653 * 1 / np.sqrt(3)  # of seeds at -1, 0 and 1; two degrees of freedom
    np.testing.assert_allclose(heights, 2 * half_width, rtol=1e-6)
    seeds = panel.get_lines()[0]
    assert list(seeds.get_ydata()[:3]) == [2, 3, 4]
    (panel, _) = many_runs.sweep_curves(runs[runs["seed"] < 2], "latent_dim", ["psnr"]).axes
    ((_, _, (bars,)),) = panel.containers  # the interval of two seeds would span the whole axis
    assert {np.ptp(segment[:, 1]) for segment in bars.get_segments()} == {0.0}


def test_the_legend_marks_single_seeds(runs, legend_texts):
    figure = many_runs.sweep_curves(runs[runs["seed"] == 1], "latent_dim", ["psnr"])
    expected = ["Fashion-MNIST, cross-entropy, one seed", "CIFAR-10, cross-entropy, one seed"]
    assert legend_texts(figure) == expected


def test_likelihoods_and_unknown_names_have_their_markers(runs, legend_texts):
    tables = [runs.assign(likelihood=name) for name in ("bce", "mse", "another")]
    table = pd.concat(tables).assign(dataset="folder:/home/me/birds")
    figure = many_runs.sweep_curves(table, "latent_dim", ["psnr"])
    assert [line.get_marker() for line in means(figure.axes[0])] == ["o", "s", "X"]
    assert legend_texts(figure)[1:3] == ["birds, unit variance", "birds, another"]


def test_the_linear_twin_is_a_dashed_grey_line(runs, legend_texts):
    table = runs.assign(linear_psnr=runs["latent_dim"] / 2)
    figure = many_runs.sweep_curves(table, "latent_dim", ["psnr"])
    (twin,) = [line for line in figure.axes[0].get_lines() if line.get_linestyle() == "--"]
    assert list(twin.get_ydata()) == [1, 2, 4, 8, 16]
    assert legend_texts(figure).count("linear twin") == 1


def test_data_sets_on_a_common_scale_share_a_panel(runs, legend_texts):
    table = runs.assign(linear_psnr=12.5)
    figure = many_runs.sweep_curves(table, "latent_dim", ["psnr"], together=True)
    colors = [line.get_color() for line in means(figure.axes[0])]
    assert colors == [style.DATASET_COLORS[name] for name in ("fashion_mnist", "cifar10")]
    twins = {"linear twin, Fashion-MNIST", "linear twin, CIFAR-10"}
    assert twins < set(legend_texts(figure))


def test_measures_of_no_run_are_left_out_and_gaps_are_marked(runs):
    table = runs.assign(ssim=np.nan, nll=runs["psnr"].where(runs["dataset"] == "cifar10"))
    figure = many_runs.sweep_curves(table, "latent_dim", ["ssim", "nll", "used_units", "psnr"])
    labels = [panel.get_ylabel() for panel in figure.axes]
    assert labels == ["NLL (nats/image)", "PSNR (dB)"] * 2
    assert [len(panel.texts) for panel in figure.axes] == [1, 0, 0, 0]
    (panel, _) = many_runs.sweep_curves(table, "latent_dim", ["used_units"]).axes
    assert panel.texts[0].get_text() == "not measured"


def test_axes_do_not_magnify_noise(runs):
    flat = runs.assign(psnr=20 + 0.001 * runs["seed"], reconstruction_loss=100.0)
    figure = many_runs.sweep_curves(flat, "latent_dim", ["psnr", "reconstruction_loss"])
    spans = [np.ptp(panel.get_ylim()) for panel in figure.axes[:2]]
    assert spans[0] >= 0.1 - 1e-9 and spans[1] >= 1
    named = flat.assign(kind=flat["latent_dim"].astype(str))
    figure = many_runs.settings(named, "kind", ["psnr", "reconstruction_loss"])
    spans = [np.ptp(panel.get_xlim()) for panel in figure.axes[:2]]
    assert spans[0] >= 0.1 - 1e-9 and spans[1] >= 1


def test_rate_and_distortion_have_intervals_in_both_directions(runs):
    (panel, _) = many_runs.rate_distortion(runs).axes
    ((mean, _, bars),) = panel.containers
    rates = [65, 33, 17, 9, 5]  # falling, as beta rises
    np.testing.assert_allclose(mean.get_xdata(orig=False), rates)
    np.testing.assert_allclose(mean.get_ydata(orig=False), [8.5, 16, 31, 61, 121])
    assert len(bars) == 2
    (line,) = [line for line in panel.get_lines() if line.get_label() == "ELBO of beta 1"]
    assert (line.get_xy1(), line.get_slope()) == ((9, 61), -1)  # the rate and distortion at beta 1
    assert sorted(text.get_text() for text in panel.texts) == ["0.125", "0.25", "0.5", "1", "2"]


def test_no_label_covers_another_or_a_point(runs):
    crowd = runs[runs["dataset"] == "cifar10"]
    crowd = pd.concat([crowd, crowd.assign(likelihood="mse", psnr=crowd["psnr"] + 0.1)])
    crowd["kl_divergence"] = 10 + crowd["latent_dim"] / 100
    figure = many_runs.rate_distortion(crowd, distortions=["psnr"])
    figure.draw_without_rendering()
    (panel,) = figure.axes
    boxes = [text.get_window_extent() for text in panel.texts]
    assert len(boxes) >= 2
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    for line in means(panel):
        points = panel.transData.transform(line.get_xydata())
        assert not any(box.contains(*point) for box in boxes for point in points)


def test_reconstruction_losses_of_likelihoods_never_share_a_panel(runs):
    table = pd.concat([runs, runs.assign(likelihood="mse")])
    with pytest.raises(ValueError, match="comparable between the likelihoods"):
        many_runs.rate_distortion(table)
    with pytest.raises(ValueError, match="0 rows"):
        many_runs.sweep_curves(runs[:0], "latent_dim", ["psnr"])


def test_spectra_count_dimensions_from_one(legend_texts):
    curves = {"beta 1": np.array([3.0, 1.0]), "beta 4": np.array([2.0])}
    figure = many_runs.spectra(curves)
    first, second, _ = figure.axes[0].get_lines()
    assert [list(line.get_xdata()) for line in (first, second)] == [[1, 2], [1]]
    assert legend_texts(figure) == ["beta 1", "beta 4", "used units: above 0.5"]


def test_claims_are_drawn_in_multiples_of_their_margin(legend_texts):
    claims = [
        ("The ELBO rises", "fashion_mnist", -3.0, -5.0, -1.0, 1.0, "nats/image", "contradicted"),
        ("The ELBO rises", "cifar10", np.nan, np.nan, np.nan, 2.0, "nats/image", "not measured"),
        ("PSNR rises", "cifar10", 0.5, 0.4, 0.6, 0.2, "dB", "supported"),
    ]
    columns = "statement dataset difference low high margin unit verdict".split()
    table = pd.DataFrame(claims, columns=columns).assign(measure=["elbo", "elbo", "psnr"])
    figure = many_runs.forest(table)
    (axes,) = figure.axes
    drawn = [list(line.get_xdata()) for line in axes.get_lines()[1:]]  # after the line at zero
    np.testing.assert_allclose(np.concatenate(drawn), [-5, -1, -3, 2, 3, 2.5])
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["-3.0 nats/image, contradicted", "not measured", "+0.50 dB, supported"]
    statements = [text.get_text() for text in axes.get_yticklabels()]
    assert statements == ["The ELBO rises", "PSNR rises"]
    assert legend_texts(figure) == ["Fashion-MNIST", "CIFAR-10", "too small to matter"]


def test_settings_have_a_line_each_with_their_mean_and_seeds(runs, legend_texts):
    kinds = np.where(runs["latent_dim"] > 8, "large", "small")
    figure = many_runs.settings(runs.assign(kind=kinds), "kind", ["psnr", "elbo"], title="Two")
    assert [panel.get_xlabel() for panel in figure.axes] == ["PSNR (dB)"] * 2  # no run has the ELBO
    assert [panel.get_title() for panel in figure.axes] == ["Fashion-MNIST", "CIFAR-10"]
    (panel, _) = figure.axes
    assert [text.get_text() for text in panel.get_yticklabels()] == ["small", "large"]
    mean, *bars = panel.get_lines()
    psnr = runs[runs["dataset"] == "fashion_mnist"].groupby(kinds[: len(runs) // 2])["psnr"]
    small, large = psnr.get_group("small"), psnr.get_group("large")
    np.testing.assert_allclose(mean.get_xdata(), [small.mean(), large.mean()])
    interval = stats.t.interval(0.95, len(small) - 1, small.mean(), stats.sem(small))
    drawn = bars[0].get_xdata()
    np.testing.assert_allclose([np.nanmin(drawn), np.nanmax(drawn)], interval)
    dots = [dot for seeds in panel.collections for dot in seeds.get_offsets()]
    expected = [[value, 0] for value in small] + [[value, 1] for value in large]
    np.testing.assert_allclose(sorted(map(list, dots)), sorted(expected))
    assert legend_texts(figure) == ["each seed", "95 % interval"]
