"""Reproductions of published experiments: sources, published values and claims."""

import json
from typing import NamedTuple

import pandas as pd

from vae_keras.figures import names
from vae_keras.study import runs, tables
from vae_keras.study.verdicts import Term, exceeds, list_claims, rise


class Published(NamedTuple):
    """A published negative ELBO and its parts in nats/image, and the runs that reproduce it.

    Attributes:
        work: the experiment and its data set, as shown in the table.
        total, reconstruction, kl: the published values, or `None` if not stated.
        settings: dict of the parameters that select its runs in the sweep; for Keras's example, the
            precision.
        ways: names of the `WAYS` in which it is measured here.
    """

    work: str
    total: float
    reconstruction: float | None
    kl: float | None
    settings: dict
    ways: tuple = ("test",)


class Reproduction(NamedTuple):
    """A published experiment.

    Attributes:
        title: its name in headings.
        source: name and address.
        setup: network and settings, as far as its authors state them.
        grids: tuple of the grids of its sweep, as in `sweeps.SWEEPS`; empty if the runs of the
            study reproduce it.
        published: tuple of `Published`.
        claims: dict from the authors' observations to terms, see `verdicts.Claim`.
    """

    title: str
    source: str
    setup: str
    grids: tuple = ()
    published: tuple = ()
    claims: dict = {}


NOTEBOOK = "07"  # number of the notebook that shows the reproductions
EARLIER = "An earlier study"
EARLIER_STUDIES = (
    "Each experiment called *an earlier study* was published as a README file only, with neither "
    "an author to cite nor a lasting address."
)
# Ways to measure a loss: on which images, and with which encoder instead of the run's own (see
# `reproduction_runs`). A running mean is what Keras prints: the mean over the last epoch, during
# which the weights still change.
WAYS = {
    "running": ("training, running mean", ""),
    "test": ("test", ""),
    "moved": ("test", "new encoder, fitted to augmented images"),
    "grid": ("test", "Bayes' rule on a grid as encoder"),
    "all": ("training and test, running mean", ""),
}
ENCODERS = ("moved", "grid")
LOSSES = ("loss", "reconstruction_loss", "kl_divergence")  # the total and its parts
PRECISIONS = {"float32": "float32", "mixed_bfloat16": "bfloat16"}
# The entropy of the grey levels of the official test images in nats/image, a lower bound on the
# cross-entropy. MNIST's is that of the exact images, unlike 45.38, which is also quoted. SVHN's is
# that of the first 10,000 images.
FLOORS = {"mnist": 45.53, "fashion_mnist": 189.86, "svhn": 1769.6}
TOLERANCE = 0.02  # for rounding: images whose entropy differs by more are not the official ones

# Adam at its default, constant rate and batches of 128, unless a grid says otherwise.
ADAM = {"learning_rate": [1e-3], "learning_rate_schedule": ["constant"], "batch_size": [128]}
SEEDS = {"seed": [0, 1, 2]}
WHOLE = ADAM | SEEDS | {"train_fraction": [1.0]}
FASHION, GREY = {"dataset": ["fashion_mnist"]}, {"dataset": ["mnist", "fashion_mnist"]}
WIDE_SIZES = FASHION | {"beta": [1.0, 3.0], "latent_dim": [1, 2, 8, 16], "epochs": [3]}
WIDE = WIDE_SIZES | ADAM | {"architecture": ["wide"], "batch_size": [32]}
SHARE = {"train_fraction": [0.03], "evaluation_fraction": [0.1]}
# Rate and epochs are not stated; with those of the study, some of these runs are the study's own.
SHARP = SEEDS | FASHION | {"latent_dim": [2, 32]}
FLAT = WHOLE | GREY | {"latent_dim": [2], "epochs": [15]}
DEEP = FLAT | {"architecture": ["deep_mlp"]}
# As many steps on a seventh of the images as in 15 epochs of all official training images.
SVHN = WHOLE | {"dataset": ["svhn"], "epochs": [91]}
SVHN_GRIDS = (
    SVHN | {"latent_dim": [200], "architecture": ["residual_1024"]},
    SVHN | {"latent_dim": [2, 16, 100, 200]},
)
EXAMPLE = WHOLE | {"dataset": ["mnist"]}

REPRODUCTIONS = {
    "wide_vae_vs_beta3": Reproduction(
        "Wide VAE against beta 3",
        EARLIER,
        "Fashion-MNIST; convolutions with 128, 256 and 512 channels, kernels of 7, 7 and 5 pixels, "
        "stride 1, padding 1; 3 epochs, batch size 32, learning rate 1e-5. This protocol is not "
        "followed: on two cores, the network is trained on only 3 % of the images, mostly at 3e-4 "
        "to make up for the few steps. The residual network sees all images and decides the "
        "claims. The sweep `wide_vae_vs_beta3_full` is the original protocol, for a GPU.",
        (
            WIDE | SHARE | {"learning_rate": [3e-4]},
            WIDE | SHARE | {"learning_rate": [1e-5], "beta": [1.0], "latent_dim": [1, 2]},
            WIDE_SIZES | WHOLE,
        ),
        claims={
            f"{statement}, from 1 through 2 and 8 to 16 at beta {beta:g}": rise(
                measure, "latent_dim", 1, 2, 8, 16, beta=beta, epochs=3
            )
            for beta in (1.0, 3.0)
            for statement, measure in (
                ("A larger latent size improves reconstructions", "psnr"),
                ("A larger latent size worsens samples", "fd_samples"),
            )
        },
    ),
    "mnist_latent_sizes": Reproduction(
        "Latent sizes on MNIST",
        EARLIER,
        "MNIST, squared error + beta * KL, which is beta 0.5 in this study's unit-variance "
        "likelihood. Network, learning rate and epochs are not stated. At 1e-3, some sizes never "
        "leave the mean image, so 3e-4 is run as well.",
        (
            EXAMPLE
            | {"likelihood": ["mse"], "beta": [0.5], "epochs": [10]}
            | {"latent_dim": [2, 4, 16], "learning_rate": [3e-4, 1e-3]},
        ),
        claims={
            "A larger latent size improves reconstructions, from 2 to 16": rise(
                *("psnr", "latent_dim", 2, 4, 16), likelihood="mse", beta=0.5, learning_rate=3e-4
            )
        },
    ),
    "sharp_vae": Reproduction(
        "Sharp VAE",
        EARLIER,
        "Fashion-MNIST, the residual network; squared error at beta 1 against cross-entropy at "
        "beta 0.01, which the authors call sharp, and a KL warm-up. Learning rate and epochs are "
        "not stated; those of the study are used. As likelihood and beta change at once, all four "
        "combinations are run.",
        (
            SHARP | {"likelihood": ["mse", "bce"], "beta": [1.0, 0.01]},
            SHARP | {"likelihood": ["mse"], "beta": [0.5]},
            SHARP | {"latent_dim": [32], "likelihood": ["mse", "bce"], "warmup_epochs": [1.0]},
        ),
        claims={
            "Cross-entropy at beta 0.01 gives sharper images than squared error at beta 1": exceeds(
                "sharpness", {"beta": 0.01}, {"likelihood": "mse"}
            ),
            "Beta 0.01 alone gives sharper images than cross-entropy alone": exceeds(
                "sharpness", {"likelihood": "mse", "beta": 0.01}, {"likelihood": "bce"}
            ),
            "Cross-entropy at beta 0.01 has a higher SSIM than squared error at beta 1": exceeds(
                "ssim", {"beta": 0.01}, {"likelihood": "mse"}
            ),
            # Irregular codes: samples from the prior are worse than from a mixture fitted to them.
            "Cross-entropy at beta 0.01 has less regular codes than squared error at beta 1": tuple(
                Term(sign * weight, measure, changes)
                for sign, changes in ((1.0, {"beta": 0.01}), (-1.0, {"likelihood": "mse"}))
                for weight, measure in ((1.0, "fd_samples"), (-1.0, "fd_mixture"))
            ),
            "Cross-entropy at beta 0.01 gives worse samples than squared error at beta 1": exceeds(
                "fd_samples", {"beta": 0.01}, {"likelihood": "mse"}
            ),
        },
    ),
    "three_data_sets": Reproduction(
        "Three data sets",
        EARLIER,
        "MNIST and Fashion-MNIST, a convolutional VAE, Adam, batch size 128, cross-entropy. "
        "The split and the latent size are not stated; the published KL divergence suggests a "
        "latent size of 2. The deep MLP, trained for longer with a falling learning rate, has the "
        "best decoder here, but its encoder loses most on unseen images. The table therefore "
        "includes two other encoders for this decoder: an MLP of 3 x 1,024 units, trained with "
        "half of each batch slightly rotated, shifted and zoomed; and Bayes' rule on a grid of "
        "codes, a dense layer made of the decoder's own logits and a softmax over the codes, which "
        "learns nothing. The larger latent sizes use the learning rate of the study.",
        (
            FLAT,
            DEEP,
            DEEP | {"epochs": [60], "learning_rate_schedule": ["linear"]},
            SEEDS | GREY | {"latent_dim": [16, 100, 200], "batch_size": [128]},
        ),
        tuple(
            Published(
                f"Three data sets: {names.label(dataset)}",
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
            "A convolutional network has a better ELBO than an MLP at latent size 2": rise(
                *("elbo", "architecture", "deep_mlp", "residual"), latent_dim=2, epochs=15
            ),
            "Classes are easier to tell apart in a VAE's two dimensions than in PCA's": (
                Term(1.0, "probe_accuracy", {"latent_dim": 2, "epochs": 15}),
                Term(-1.0, "linear_probe_accuracy", {"latent_dim": 2, "epochs": 15}),
            ),
        },
    ),
    "three_data_sets_svhn": Reproduction(
        "Three data sets: SVHN",
        EARLIER,
        "The same on SVHN, with a hidden layer of 1,024 units at latent size 200; the split is not "
        "stated. It is run on a seventh of the images (12,434, a tenth of them for validation) and "
        "2,000 test images, for as many steps as 15 epochs of the official training images; with "
        "so few images it overfits sooner. The sweep `three_data_sets_svhn_full` uses the official "
        "files.",
        SVHN_GRIDS,
        (
            Published(
                *("Three data sets: SVHN", 1908.62, 1888.50, 20.12),
                {"architecture": "residual_1024"},
                ("running", "test"),
            ),
        ),
    ),
    "latent_size_and_beta": Reproduction(
        "Latent size and beta",
        EARLIER,
        "CIFAR-10 and Fashion-MNIST over latent size and beta: the comparison behind this study.",
        claims={
            "A larger latent size raises the KL divergence, from 32 to 128": rise(
                "kl_divergence", "latent_dim", 32, 128
            ),
            "A larger latent size lowers the ELBO, from 32 to 128": rise(
                "elbo", "latent_dim", 128, 32
            ),
            "A larger beta makes classes easier to tell apart, from 0.1 to 4": rise(
                "probe_accuracy", "beta", 0.1, 1.0, 4.0
            ),
        },
    ),
    "keras_example": Reproduction(
        "Keras's example",
        "[Keras's VAE example](https://keras.io/examples/generative/vae/) (F. Chollet, 2020)",
        "All 70,000 images of MNIST, training and test; convolutions with 32 and 64 channels, 16 "
        "hidden units, latent size 2; 30 epochs of Adam at 1e-3, batch size 128: 16,410 steps. The "
        "sweep trains the same model on training images only, to map the test images.",
        (EXAMPLE | {"architecture": ["small"], "latent_dim": [2], "epochs": [30]},),
        # On the page of 2024, only `total_loss` is the epoch's mean of the total. Its `loss`,
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
        "PyTorch's example",
        "[PyTorch's VAE example](https://github.com/pytorch/examples/tree/main/vae)",
        "MNIST, an MLP of 400 hidden units, latent size 20; 10 epochs of Adam at 1e-3, batch size "
        "128; the published value is the test loss in logs of the example.",
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
        f"{NOTEBOOK}_{name}",
        entry.claims,
        *((entry.grids[0]["dataset"], name) if entry.grids else ()),
    )
]


def compare(table):
    """Compares obtained with published losses.

    Args:
        table: `pandas.DataFrame` of `runs.load_results`.

    Returns:
        `pandas.DataFrame` with a row for each published result, network and way to measure it:
        `reproduction`, `work`, `way`, `model`, `images`, `seeds`, `command` (trains missing runs)
        and, for each of `total`, `reconstruction` and `kl` in nats/image, the mean over seeds, its
        standard deviation (`_sd`) and the published value (`_published`). `difference` is the
        obtained minus the published total; if the test images are not the official ones, the
        entropy of its own images is subtracted from each total. Numbers are NaN if no run is
        finished.
    """
    return pd.DataFrame(
        {"reproduction": name, "work": published.work, **_obtained(name, published, way, table)}
        for name, entry in REPRODUCTIONS.items()
        for published in entry.published
        for way in published.ways
    )


def _obtained(name, published, way, table):
    """Returns a row of `compare` without `reproduction` and `work`."""
    from vae_keras.study import sweeps  # which imports this module

    images, encoder = WAYS[way]
    declared = sweeps.declared_runs(name, sweeps.SHOWN_BUDGET)
    module, entropies = ".venv/bin/python -m vae_keras.study.reproduction_runs", None
    if way == "all":
        precision = published.settings["precision"]
        losses = _parts(history.iloc[-1] for history in read_examples(precision))
        model = f"{PRECISIONS[precision]}, {declared[0]['epochs']} epochs"
        command = f"{module} {name} {precision} SEED"
    else:
        chosen = [run for run in declared if published.settings.items() <= run.items()]
        network, epochs = names.label(chosen[0]["architecture"]), chosen[0]["epochs"]
        model = f"{network}, latent size {chosen[0]['latent_dim']}, {epochs} epochs"
        command = f"make sweep SWEEP={name} BUDGET=study"
        if encoder:
            model += f"; {encoder}"
            command = f"{module} {way} RUN"
        found = runs.select(table, chosen)
        losses, entropies = _losses(found, way)
        if entropies is not None and len(found):
            images = f"{found['num_test_images'].iloc[0]:,.0f} {images}"
    row = {"way": way, "model": model, "images": images, "seeds": len(losses), "command": command}
    for measure in losses:
        row[measure] = losses[measure].mean()
        row[f"{measure}_sd"] = losses[measure].std()
        row[f"{measure}_published"] = getattr(published, measure)
    row["difference"] = row["total"] - published.total
    if entropies is not None and entropies.notna().any():
        excess = entropies.mean() - FLOORS[chosen[0]["dataset"]]
        row["difference"] -= excess
        if abs(excess) > TOLERANCE:
            row["images"] = f"unofficial, {images}"
    return row


def _losses(found, way):
    """Returns each run's losses and the entropies of its test images or `None`, in nats/image."""
    if way == "running":
        epochs = [runs.last_epoch(runs.models_folder() / run)[1] for run in found["run"]]
        return _parts(epochs), None
    measured = with_encoder(found, way).reindex(columns=["excess", "elbo", *LOSSES[1:]])
    losses = _parts(measured.assign(loss=-measured["elbo"]))
    return losses, losses["reconstruction"] - measured["excess"]


def _parts(measured):
    """Returns the total and its parts in nats/image, with a row for each dict of measures."""
    losses = pd.DataFrame(measured, columns=LOSSES)
    return losses.set_axis(["total", "reconstruction", "kl"], axis=1).astype("float64")


def with_encoder(rows, way):
    """Replaces the measures of runs with those of their decoders under another encoder.

    Args:
        rows: `pandas.DataFrame` of `runs.select`.
        way: one of `ENCODERS`. With any other of `WAYS`, `rows` are returned as they are.

    Returns:
        `pandas.DataFrame` of the runs measured with that encoder by `reproduction_runs`.
    """
    if way not in ENCODERS:
        return rows
    paths = {run: runs.models_folder() / run / f"encoder_{way}.json" for run in rows["run"]}
    paths = {run: path for run, path in paths.items() if path.exists()}
    measures = pd.DataFrame([json.loads(path.read_text()) for path in paths.values()])
    chosen = rows[rows["run"].isin(paths)].drop(columns=measures.columns, errors="ignore")
    return chosen.reset_index(drop=True).join(measures)


def read_examples(precision):
    """Reads the losses of Keras's example, trained on all 70,000 images.

    Args:
        precision: one of `PRECISIONS`.

    Returns:
        List of `pandas.DataFrame`, one for each seed, with a row for each epoch, the column `epoch`
        and the columns `LOSSES`: means over the epoch in nats/image.
    """
    paths = sorted((runs.models_folder() / "keras_example").glob(f"{precision}_seed*.json"))
    histories = [pd.DataFrame(json.loads(path.read_text())["history"]) for path in paths]
    return [history.rename_axis("epoch").reset_index() for history in histories]


def markdown(compared):
    """Renders the result of `compare` as a table, followed by the commands for missing runs."""
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
        text += "\n\nNot run yet: " + ", ".join(f"`{command}`" for command in missing)
        text += ". RUN is the folder of a finished run that has its `model.keras`."
    return text


def _sum(row, kind):
    """Renders "136.96 ± 0.10 = 129.63 + 7.33", without the parts if they are missing."""
    total, *parts = (row[f"{measure}{kind}"] for measure in ("total", "reconstruction", "kl"))
    if pd.isna(total):
        return "not run"
    text = f"{total:.2f}"
    if not kind and not pd.isna(row["total_sd"]):
        text += f" ± {row['total_sd']:.2f}"
    if pd.isna(parts[0]):
        return text + ("" if pd.isna(parts[1]) else f", KL {parts[1]:.2f}")
    return f"{text} = {parts[0]:.2f} + {parts[1]:.2f}"
