"""Other people's experiments: whose they are, what they published, and what they give here."""

import json
from typing import NamedTuple

import pandas as pd

from vae_keras.figures import names
from vae_keras.study import runs, tables
from vae_keras.study.verdicts import Term, exceeds, list_claims, rise


class Published(NamedTuple):
    """A published negative ELBO and its parts, nats/image, and the runs that repeat it.

    Attributes:
        work: whose it is, and on what.
        total, reconstruction, kl: the values; `None` is not stated.
        settings: dict of the parameters that pick its runs from those of the sweep; of Keras's
            example, the precision.
        ways: names of `WAYS` to obtain it here: what it may have been measured on, and more.
    """

    work: str
    total: float
    reconstruction: float | None
    kl: float | None
    settings: dict
    ways: tuple = ("test",)


class Reproduction(NamedTuple):
    """An experiment of somebody else.

    Attributes:
        source: whose it is, with its address.
        setup: network and settings as its authors state them, and what they leave open.
        grids: its sweep, as in `sweeps.SWEEPS`; without one the study itself repeats it.
        published: its `Published` results.
        claims: dict from what its authors saw to terms, see `verdicts.Claim`.
    """

    source: str
    setup: str
    grids: tuple = ()
    published: tuple = ()
    claims: dict = {}


EARLIER = "An earlier study"
EARLIER_STUDIES = (
    "The earlier studies without a name were published as README files only, with neither an "
    "author to cite nor an address that lasts."
)
# How a value is obtained: on which images, and with which encoder in place of the run's own, see
# `reproduction_runs`. A running mean is what Keras prints: over the last epoch, while it goes on.
WAYS = {
    "running": ("training, running mean", ""),
    "test": ("test", ""),
    "moved": ("test", "another encoder, fitted to moved images"),
    "grid": ("test", "the encoder of Bayes' rule on a grid"),
    "all": ("training and test, running mean", ""),
}
ENCODERS = ("moved", "grid")
LOSSES = ("loss", "reconstruction_loss", "kl_divergence")  # the total and its parts
PRECISIONS = {"float32": "float32", "mixed_bfloat16": "bfloat16"}
# The entropy of the grey levels of the official test images, nats/image: no cross-entropy is lower.
# MNIST's is that of the exact images; 45.38, which is also quoted, is not. SVHN's is that of the
# first 10,000.
FLOORS = {"mnist": 45.53, "fashion_mnist": 189.86, "svhn": 1769.6}

# Adam at its usual, constant rate: what all of these works use, most of them in batches of 128.
ADAM = {"learning_rate": [1e-3], "learning_rate_schedule": ["constant"], "batch_size": [128]}
SEEDS = {"seed": [0, 1, 2]}
WHOLE = ADAM | SEEDS | {"train_fraction": [1.0]}
FASHION, GREY = {"dataset": ["fashion_mnist"]}, {"dataset": ["mnist", "fashion_mnist"]}
WIDE_SIZES = FASHION | {"beta": [1.0, 3.0], "latent_dim": [1, 2, 8, 16], "epochs": [3]}
WIDE = WIDE_SIZES | ADAM | {"architecture": ["wide"], "batch_size": [32]}
SHARE = {"train_fraction": [0.03], "evaluation_fraction": [0.1]}
# Where neither rate nor epochs are stated, those of the study: some of these runs are its own.
SHARP = SEEDS | FASHION | {"latent_dim": [2, 32]}
FLAT = WHOLE | GREY | {"latent_dim": [2], "epochs": [15]}
DEEP = FLAT | {"architecture": ["deep_mlp"]}
# As many steps as 15 epochs of the official training images, on the seventh of them.
SVHN = WHOLE | {"dataset": ["svhn"], "epochs": [91]}
SVHN_GRIDS = (
    SVHN | {"latent_dim": [200], "architecture": ["residual_1024"]},
    SVHN | {"latent_dim": [2, 16, 100, 200]},
)
EXAMPLE = WHOLE | {"dataset": ["mnist"]}

REPRODUCTIONS = {
    "wide_vae_vs_beta3": Reproduction(
        EARLIER,
        "Fashion-MNIST; convolutions of 128, 256 and 512 channels, kernels of 7, 7 and 5 pixels, "
        "stride 1, padding 1; 3 epochs, batch size 32, learning rate 1e-5. Not run under its "
        "protocol: two cores train this network on 3 % of the images only, at a rate at which few "
        "steps count. The residual network sees all images, and decides the claims. The sweep "
        "`wide_vae_vs_beta3_full` is the protocol itself, for a GPU.",
        (
            WIDE | SHARE | {"learning_rate": [3e-4]},
            WIDE | SHARE | {"learning_rate": [1e-5], "beta": [1.0], "latent_dim": [1, 2]},
            WIDE_SIZES | WHOLE,
        ),
        claims={
            f"{statement}, from 1 through 2 and 8 to 16, at beta {beta:g}": rise(
                measure, "latent_dim", 1, 2, 8, 16, beta=beta, epochs=3
            )
            for beta in (1.0, 3.0)
            for statement, measure in (
                ("A larger latent size reconstructs better", "psnr"),
                ("A smaller latent size samples better", "fd_samples"),
            )
        },
    ),
    "mnist_latent_sizes": Reproduction(
        EARLIER,
        "MNIST, squared error + beta * KL: a beta of 0.5 under the likelihood of unit variance. "
        "Network, rate and epochs are not stated; at 1e-3 some sizes stay at the mean image, so "
        "3e-4 stands beside it.",
        (
            EXAMPLE
            | {"likelihood": ["mse"], "beta": [0.5], "epochs": [10]}
            | {"latent_dim": [2, 4, 16], "learning_rate": [3e-4, 1e-3]},
        ),
        claims={
            "A larger latent size reconstructs better, from 2 through 4 to 16": rise(
                *("psnr", "latent_dim", 2, 4, 16), likelihood="mse", beta=0.5, learning_rate=3e-4
            )
        },
    ),
    "sharp_vae": Reproduction(
        EARLIER,
        "Fashion-MNIST, the residual network; squared error at beta 1 against cross-entropy at "
        "beta 0.01, which was called sharp, and a KL warm-up. Rate and epochs are not stated and "
        "are those of the study. As loss and beta change at once, all four corners are run.",
        (
            SHARP | {"likelihood": ["mse", "bce"], "beta": [1.0, 0.01]},
            SHARP | {"likelihood": ["mse"], "beta": [0.5]},
            SHARP | {"latent_dim": [32], "likelihood": ["mse", "bce"], "warmup_epochs": [1.0]},
        ),
        claims={
            "Cross-entropy at beta 0.01 is sharper than squared error at beta 1": exceeds(
                "sharpness", {"beta": 0.01}, {"likelihood": "mse"}
            ),
            "Beta 0.01 alone is sharper than cross-entropy alone": exceeds(
                "sharpness", {"likelihood": "mse", "beta": 0.01}, {"likelihood": "bce"}
            ),
            "Cross-entropy at beta 0.01 has a higher SSIM than squared error at beta 1": exceeds(
                "ssim", {"beta": 0.01}, {"likelihood": "mse"}
            ),
            # What samples of the prior lose against samples of a mixture of the codes.
            "The codes of cross-entropy at beta 0.01 are less regular": tuple(
                Term(sign * weight, measure, changes)
                for sign, changes in ((1.0, {"beta": 0.01}), (-1.0, {"likelihood": "mse"}))
                for weight, measure in ((1.0, "fd_samples"), (-1.0, "fd_mixture"))
            ),
            "Cross-entropy at beta 0.01 samples worse than squared error at beta 1": exceeds(
                "fd_samples", {"beta": 0.01}, {"likelihood": "mse"}
            ),
        },
    ),
    "three_data_sets": Reproduction(
        EARLIER,
        "MNIST and Fashion-MNIST, a convolutional VAE, Adam, batch size 128, cross-entropy. "
        "Neither split nor latent size of the values is stated; their KL divergence fits a latent "
        "size of 2. The deep MLP, trained for longer at a falling rate, is the best decoder here. "
        "Its encoder loses most on images that it has not seen. Two others stand beside it: an MLP "
        "of 3 x 1,024 units, fitted to the finished decoder, half of its images moved a little; "
        "and Bayes' rule on a grid of codes, which is a dense layer of the decoder's own logits "
        "with a softmax, and has learned nothing. The larger sizes are trained at the rate of the "
        "study.",
        (
            FLAT,
            DEEP,
            DEEP | {"epochs": [60], "learning_rate_schedule": ["linear"]},
            SEEDS | GREY | {"latent_dim": [16, 100, 200], "batch_size": [128]},
        ),
        tuple(
            Published(
                f"`three_data_sets`, {names.label(dataset)}",
                *values,
                {"dataset": dataset, "latent_dim": 2, "architecture": network, "epochs": epochs},
                ways,
            )
            for dataset, *values in (
                ("mnist", 132.39, 123.63, 8.76),
                ("fashion_mnist", 254.21, 247.38, 6.83),
            )
            for network, epochs, ways in (
                ("residual", 15, ("running", "test")),
                ("deep_mlp", 60, ("running", "test", *ENCODERS)),
            )
        ),
        {
            **{
                f"The {noun} more from latent size 16 to 100 than from 100 to 200": (
                    *rise(measure, "latent_dim", 16, 100),
                    *rise(measure, "latent_dim", 200, 100),
                )
                for noun, measure in (("ELBO gains", "elbo"), ("PSNR gains", "psnr"))
            },
            "Convolutions have a better ELBO than an MLP, at latent size 2": rise(
                *("elbo", "architecture", "deep_mlp", "residual"), latent_dim=2, epochs=15
            ),
            "Classes are easier to tell in the map of a VAE than in that of PCA": (
                Term(1.0, "probe_accuracy", {"latent_dim": 2, "epochs": 15}),
                Term(-1.0, "linear_probe_accuracy", {"latent_dim": 2, "epochs": 15}),
            ),
        },
    ),
    "three_data_sets_svhn": Reproduction(
        EARLIER,
        "SVHN, the same with a hidden layer of 1,024 units at latent size 200; the split is not "
        "stated. Run on a seventh of the images, 12,434 of which a tenth is for validation, and "
        "2,000 test images, for as many steps as 15 epochs of the official training images; so "
        "few images are overfitted sooner. The sweep `three_data_sets_svhn_full` takes the "
        "official files.",
        SVHN_GRIDS,
        (
            Published(
                *("`three_data_sets_svhn`", 1908.62, 1888.50, 20.12),
                {"architecture": "residual_1024"},
                ("running", "test"),
            ),
        ),
    ),
    "latent_size_and_beta": Reproduction(
        EARLIER,
        "CIFAR-10 and Fashion-MNIST over latent size and beta: the comparison that this study is.",
        claims={
            "A larger latent size pays more nats for its codes, from 32 to 128": rise(
                "kl_divergence", "latent_dim", 32, 128
            ),
            "It gets less for them, from 32 to 128: a lower ELBO": rise(
                "elbo", "latent_dim", 128, 32
            ),
            "A larger beta makes classes easier to tell, from 0.1 through 1 to 4": rise(
                "probe_accuracy", "beta", 0.1, 1.0, 4.0
            ),
        },
    ),
    "keras_example": Reproduction(
        "[Keras's VAE example](https://keras.io/examples/generative/vae/) (F. Chollet, 2020)",
        "MNIST, training and test images together: 70,000; convolutions of 32 and 64 channels, 16 "
        "hidden units, latent size 2; 30 epochs of Adam at 1e-3, batch size 128: 16,410 steps. The "
        "sweep trains it on training images alone, for the map of test images.",
        (EXAMPLE | {"architecture": ["small"], "latent_dim": [2], "epochs": [30]},),
        # The page of 2024 prints the epoch's mean of the total only as `total_loss`. Its `loss`,
        # 150.66 = 144.20 + 6.46, is a mean of running means.
        tuple(
            Published(
                f"Keras's example, page of {year}", *values, {"precision": precision}, ["all"]
            )
            for year, *values in ((2023, 146.95, 140.15, 6.80), (2024, 150.40, None, 6.46))
            for precision in PRECISIONS
        ),
    ),
    "pytorch_example": Reproduction(
        "[PyTorch's VAE example](https://github.com/pytorch/examples/tree/main/vae)",
        "MNIST, an MLP of 400 hidden units, latent size 20; 10 epochs of Adam at 1e-3, batch size "
        "128; the loss on test images as logs of it give it.",
        (EXAMPLE | {"architecture": ["mlp"], "latent_dim": [20], "epochs": [10]},),
        (Published("PyTorch's example", 105.59, None, None, {}),),
    ),
}
SWEEPS = {
    **{name: [*entry.grids] for name, entry in REPRODUCTIONS.items() if entry.grids},
    "wide_vae_vs_beta3_full": [WIDE | {"train_fraction": [1.0], "learning_rate": [1e-5]}],
    "three_data_sets_svhn_full": [grid | {"epochs": [15]} for grid in SVHN_GRIDS],
}
CLAIMS = [
    claim
    for name, entry in REPRODUCTIONS.items()
    for claim in list_claims(
        f"07_{name}",
        entry.claims,
        *((entry.grids[0]["dataset"], name) if entry.grids else ()),
    )
]


def compare(table):
    """Sets what was obtained against what was published.

    Args:
        table: `pandas.DataFrame` of `runs.load_results`.

    Returns:
        `pandas.DataFrame`, a row for each published result, network and way to obtain it:
        `reproduction`, `work`, `model`, `images`, `seeds`, `command`, which trains what is missing,
        and, in nats/image, for each of `total`, `reconstruction` and `kl` what was obtained (the
        mean over seeds), its standard deviation (`_sd`) and what was published (`_published`).
        `difference` is the total obtained minus the one published; of test images that are not the
        official ones, each above the entropy of its own images. Numbers of runs that are not
        finished are missing.
    """
    return pd.DataFrame(
        {"reproduction": name, "work": published.work, **_obtained(name, published, way, table)}
        for name, entry in REPRODUCTIONS.items()
        for published in entry.published
        for way in published.ways
    )


def _obtained(name, published, way, table):
    """A row of `compare`, but for whose it is."""
    from vae_keras.study import sweeps  # here, because it reads `SWEEPS` of this module

    images, encoder = WAYS[way]
    declared = sweeps.declared_runs(name, sweeps.SHOWN_BUDGET)
    command = "python -m vae_keras.study.reproduction_runs"
    if way == "all":
        precision = published.settings["precision"]
        losses, floors = _parts(history.iloc[-1] for history in read_examples(precision)), None
        model = f"{PRECISIONS[precision]}, {declared[0]['epochs']} epochs"
        command += f" {name} {precision} SEED"
    else:
        chosen = [run for run in declared if published.settings.items() <= run.items()]
        network, epochs = names.label(chosen[0]["architecture"]), chosen[0]["epochs"]
        model = f"{network}, latent size {chosen[0]['latent_dim']}, {epochs} epochs"
        model += f"; {encoder}" if encoder else ""
        found = runs.select(table, chosen)
        command += f" {way} RUN"
        if way not in ENCODERS:
            command = f"make sweep SWEEP={name} BUDGET=study"
        losses, floors = _losses(found, way)
        if floors is not None and len(found):
            images = f"{found['num_test_images'].iloc[0]:,.0f} {images}"
    row = {"model": model, "images": images, "seeds": len(losses), "command": command}
    for measure in losses:
        row[measure] = losses[measure].mean()
        row[f"{measure}_sd"] = losses[measure].std()
        row[f"{measure}_published"] = getattr(published, measure)
    row["difference"] = row["total"] - published.total
    if floors is not None and floors.notna().any():
        row["difference"] -= floors.mean() - FLOORS[chosen[0]["dataset"]]
    return row


def _losses(found, way):
    """The losses of each run, nats/image, and the entropies of its test images, or `None`."""
    if way == "running":
        ends = [runs.last_epoch(runs.models_folder() / run)[1] for run in found["run"]]
        return _parts(ends), None
    measured = with_encoder(found, way).reindex(columns=["excess", "elbo", *LOSSES[1:]])
    losses = _parts(measured.assign(loss=-measured["elbo"]))
    return losses, losses["reconstruction"] - measured["excess"]


def _parts(measured):
    """The total and its parts, nats/image, a row for each dict of measures."""
    losses = pd.DataFrame(measured, columns=LOSSES)
    return losses.set_axis(["total", "reconstruction", "kl"], axis=1).astype("float64")


def with_encoder(rows, way):
    """Returns runs with the measures of their decoder under one of the encoders.

    Args:
        rows: `pandas.DataFrame` of `runs.select`.
        way: one of `ENCODERS`; any other name of `WAYS` is the encoder of the run itself.

    Returns:
        `pandas.DataFrame` of the runs that have that record, see `reproduction_runs`.
    """
    if way not in ENCODERS:
        return rows
    paths = {run: runs.models_folder() / run / f"encoder_{way}.json" for run in rows["run"]}
    paths = {run: path for run, path in paths.items() if path.exists()}
    measures = pd.DataFrame([json.loads(path.read_text()) for path in paths.values()])
    chosen = rows[rows["run"].isin(paths)].drop(columns=measures.columns, errors="ignore")
    return chosen.reset_index(drop=True).join(measures)


def read_examples(precision):
    """Reads the losses of Keras's example, trained on all images.

    Args:
        precision: one of `PRECISIONS`.

    Returns:
        List of `pandas.DataFrame`, one for each seed, with a row for each `epoch` and the columns
        `LOSSES`: the means over the epoch, nats/image.
    """
    paths = sorted((runs.models_folder() / "keras_example").glob(f"{precision}_seed*.json"))
    histories = [pd.DataFrame(json.loads(path.read_text())["history"]) for path in paths]
    return [history.rename_axis("epoch").reset_index() for history in histories]


def markdown(compared):
    """Renders what `compare` returns as a table, and how to train what is missing below it."""
    cells, works = [], set()
    for row in compared.to_dict("records"):
        published, obtained = (_sum(row, kind) for kind in ("_published", ""))
        first = ["", ""] if row["work"] in works else [row["work"], published]
        works.add(row["work"])
        difference = "" if pd.isna(row["difference"]) else f"{row['difference']:+.2f}"
        cells.append(
            [*first, row["model"], row["images"], obtained, difference, str(row["seeds"] or "")]
        )
    headings = ["experiment", "published", "model", "images", "obtained", "difference", "seeds"]
    text = tables.render(cells, headings, left=5)
    missing = compared.loc[compared["seeds"] == 0, "command"].unique()
    if len(missing):
        text += "\n\nNot run yet: " + ", ".join(f"`{command}`" for command in missing) + "."
    return text


def _sum(row, kind):
    """Renders "136.96 ± 0.10 = 129.63 + 7.33", or the total alone where the parts are missing."""
    total, *parts = (row[f"{measure}{kind}"] for measure in ("total", "reconstruction", "kl"))
    if pd.isna(total):
        return "not run"
    text = f"{total:.2f}"
    if not kind and not pd.isna(row["total_sd"]):
        text += f" ± {row['total_sd']:.2f}"
    if pd.isna(parts[0]):
        return text + ("" if pd.isna(parts[1]) else f", KL {parts[1]:.2f}")
    return f"{text} = {parts[0]:.2f} + {parts[1]:.2f}"
