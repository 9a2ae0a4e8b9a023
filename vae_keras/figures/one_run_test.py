import numpy as np
import pandas as pd
import pytest

from vae_keras.figures import one_run, style


def test_the_histogram_shows_shares_of_all_pixels(flat_images, legend_texts):
    figure = one_run.grey_level_histogram({"mnist": flat_images([0, 0, 0, 255]) / 255})
    (line,) = figure.axes[0].get_lines()
    share = line.get_ydata()
    assert share[0] == 0.75 and share[255] == 0.25 and share.sum() == 1
    assert line.get_color() == style.DATASET_COLORS["mnist"]
    assert legend_texts(figure) == ["MNIST"]


def test_training_curves_show_what_the_history_has():
    columns = ["reconstruction_loss", "val_reconstruction_loss", "psnr"]
    history = pd.DataFrame({"epoch": [0, 1, 2], **dict.fromkeys(columns, [3.0, 2.0, 1.0])})
    loss, psnr = one_run.training_curves(history).axes
    assert [list(line.get_xdata()) for line in loss.get_lines()] == [[1, 2, 3]] * 2
    assert [line.get_linestyle() for line in loss.get_lines()] == ["-", "--"]
    assert len(psnr.get_lines()) == 1
    assert (loss.get_xlabel(), psnr.get_ylabel()) == ("epoch", "PSNR (dB)")
    with pytest.raises(ValueError, match="`measures`"):
        one_run.training_curves(history[["epoch"]])


def test_the_latent_map_shows_every_code_in_its_class(legend_texts):
    codes = np.arange(10.0).reshape(5, 2)
    figure = one_run.latent_map(codes, np.array([0, 1, 0, 1, 1]), ["a", "b"])
    (axes,) = figure.axes
    first, second = axes.collections
    np.testing.assert_array_equal(first.get_offsets(), codes[[0, 2]])
    np.testing.assert_array_equal(second.get_offsets(), codes[[1, 3, 4]])
    assert legend_texts(figure) == ["a", "b"]
    unlabelled = one_run.latent_map(codes, None, None)
    assert len(unlabelled.axes[0].collections[0].get_offsets()) == 5
    assert unlabelled.legends == []


def test_latent_maps_share_one_legend(legend_texts):
    codes = np.arange(10.0).reshape(5, 2)
    maps = {"PCA": codes, "t-SNE": codes[::-1]}
    figure = one_run.latent_maps(maps, np.array([0, 1, 0, 1, 1]), ["a", "b"])
    left, right = figure.axes
    np.testing.assert_array_equal(right.collections[0].get_offsets(), codes[::-1][[0, 2]])
    assert (left.get_title(), right.get_title()) == ("PCA", "t-SNE")
    assert legend_texts(figure) == ["a", "b"]


def test_codes_outside_the_plane_and_missing_labels_are_refused():
    with pytest.raises(ValueError, match="`codes`"):
        one_run.latent_map(np.zeros((5, 3)), np.zeros(5, int), ["a"])
    with pytest.raises(ValueError, match="`labels`"):
        one_run.latent_map(np.zeros((5, 2)), np.zeros(4, int), ["a"])


def test_the_parts_of_the_gap_and_their_sum_are_means_over_seeds():
    mnist = dict(zip(one_run.GAP_PARTS, (0.25, 2.0, 5.0, 3.5), strict=True))
    seeds = pd.DataFrame(dict.fromkeys(one_run.GAP_PARTS, (1.0, 3.0)))
    models = {"one": {"mnist": mnist, "fashion_mnist": seeds}, "other": {"mnist": seeds}}
    figure = one_run.gap_bars(models)
    heights = [[bar.get_height() for bar in bars] for bars in figure.axes[0].containers]
    assert heights == [[0.25, 2, 5, 3.5, 10.75], [2, 2, 2, 2, 8]]
    written = [text.get_text() for text in figure.axes[0].texts]
    assert written == ["0.25", "2.00", "5.00", "3.50", "10.75", *["2.00"] * 4, "8.00"]
    assert [axes.get_title() for axes in figure.axes] == ["one", "other"]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
