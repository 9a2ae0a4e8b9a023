"""Other people's experiments: whose they are, what they published, and what they give here."""

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
        settings: dict of the parameters that pick its runs from those of the sweep.
        splits: the images on which it is obtained here: all that it may have been measured on.
    """

    work: str
    total: float
    reconstruction: float | None
    kl: float | None
    settings: dict
    splits: tuple = ("test",)


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
# After training, or the mean over the last epoch while it goes on, which is what Keras prints.
SPLITS = {"test": "test", "running": "training, running mean"}
# The entropy of the grey levels of the test images, nats/image: no cross-entropy is lower. SVHN's
# is that of the first 10,000 official ones.
FLOORS = {"mnist": 45.53, "fashion_mnist": 189.86, "svhn": 1769.6}

# Adam at its usual, constant rate: what all of these works use, most of them in batches of 128.
ADAM = {"learning_rate": [1e-3], "learning_rate_schedule": ["constant"], "batch_size": [128]}
SEEDS = {"seed": [0, 1, 2]}
WHOLE = ADAM | SEEDS | {"train_fraction": [1.0]}
FASHION, GREY = {"dataset": ["fashion_mnist"]}, {"dataset": ["mnist", "fashion_mnist"]}
WIDE_SIZES = FASHION | {"beta": [1.0, 3.0], "latent_dim": [1, 2, 8, 16], "epochs": [3]}
WIDE = WIDE_SIZES | ADAM | {"architecture": ["wide"], "batch_size": [32]}
SHARE = {"train_fraction": [0.03], "evaluation_fraction": [0.1]}
SHARP = ADAM | SEEDS | FASHION | {"latent_dim": [2, 32]}
FLAT = WHOLE | GREY | {"latent_dim": [2], "epochs": [15]}
DEEP = FLAT | {"architecture": ["deep_mlp"]}
SVHN = WHOLE | {"dataset": ["svhn"], "epochs": [15]}
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
        "beta 0.01, which was called sharp, and a KL warm-up. Epochs are not stated. As loss and "
        "beta change at once, all four corners are run.",
        (
            SHARP | {"likelihood": ["mse", "bce"], "beta": [1.0, 0.01]},
            SHARP | {"likelihood": ["mse"], "beta": [0.5]},
            SHARP | {"likelihood": ["mse", "bce"], "warmup_epochs": [1.0]},
        ),
        claims={
            "Cross-entropy at beta 0.01 is sharper than squared error at beta 1": exceeds(
                "sharpness", {"beta": 0.01}, {"likelihood": "mse"}
            ),
            "Beta 0.01 alone is sharper than cross-entropy alone": exceeds(
                "sharpness", {"likelihood": "mse", "beta": 0.01}, {"likelihood": "bce"}
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
        "size of 2. The deep MLP, trained for longer at a falling rate, is the best here.",
        (
            FLAT,
            DEEP,
            DEEP | {"epochs": [60], "learning_rate_schedule": ["linear"]},
            ADAM | SEEDS | GREY | {"latent_dim": [16, 100, 200]},
        ),
        tuple(
            Published(
                f"`three_data_sets`, {names.label(dataset)}",
                *values,
                {"dataset": dataset, "latent_dim": 2, "architecture": network, "epochs": epochs},
                ("test", "running"),
            )
            for dataset, *values in (
                ("mnist", 132.39, 123.63, 8.76),
                ("fashion_mnist", 254.21, 247.38, 6.83),
            )
            for network, epochs in (("residual", 15), ("deep_mlp", 60))
        ),
        {
            "The ELBO gains more from latent size 16 to 100 than from 100 to 200": (
                *rise("elbo", "latent_dim", 16, 100),
                *rise("elbo", "latent_dim", 200, 100),
            ),
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
        "stated.",
        (
            SVHN | {"latent_dim": [2, 16, 100, 200]},
            SVHN | {"latent_dim": [200], "architecture": ["residual_1024"]},
        ),
        (
            Published(
                *("`three_data_sets_svhn`", 1908.62, 1888.50, 20.12),
                {"architecture": "residual_1024"},
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
            "A larger beta makes classes easier to tell, from 0.1 through 1 to 4": rise(
                "probe_accuracy", "beta", 0.1, 1.0, 4.0
            ),
        },
    ),
    "keras_example": Reproduction(
        "[Keras's VAE example](https://keras.io/examples/generative/vae/) (F. Chollet, 2020)",
        "MNIST, training and test images together; convolutions of 32 and 64 channels, 16 hidden "
        "units, latent size 2; 30 epochs of Adam at 1e-3, batch size 128. Here on training images "
        "alone, whose grey levels have the same entropy, 45.7 nats/image.",
        (EXAMPLE | {"architecture": ["small"], "latent_dim": [2], "epochs": [30]},),
        # The page of 2024 prints the epoch's mean of the total only as `total_loss`. Its `loss`,
        # 150.66 = 144.20 + 6.46, is a mean of running means.
        tuple(
            Published(f"Keras's example, page of {year}", *values, {}, ["running"])
            for year, *values in ((2023, 146.95, 140.15, 6.80), (2024, 150.40, None, 6.46))
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
        `pandas.DataFrame`, a row for each published result, network and split: `reproduction`,
        `work`, `model`, `images`, `seeds` and, in nats/image, for each of `total`,
        `reconstruction` and `kl` what was obtained (the mean over seeds), its standard deviation
        (`_sd`) and what was published (`_published`). `difference` is the total obtained minus the
        one published; of test images that are not the official ones, each above the entropy of its
        own images. Numbers of runs that are not finished are missing.
    """
    from vae_keras.study import sweeps  # here, because it reads `SWEEPS` of this module

    rows = []
    for name, entry in REPRODUCTIONS.items():
        declared = sweeps.declared_runs(name, sweeps.SHOWN_BUDGET) if entry.published else []
        for published in entry.published:
            chosen = [run for run in declared if published.settings.items() <= run.items()]
            found = runs.select(table, chosen)
            model = "{architecture}, latent size {latent_dim}, {epochs} epochs".format(
                **chosen[0] | {"architecture": names.label(chosen[0]["architecture"])}
            )
            for split in published.splits:
                row = {"reproduction": name, "work": published.work, "model": model}
                row |= {"images": SPLITS[split], "seeds": len(found)}
                losses = _losses(found, split)
                for measure in losses:
                    row[measure] = losses[measure].mean()
                    row[f"{measure}_sd"] = losses[measure].std()
                    row[f"{measure}_published"] = getattr(published, measure)
                row["difference"] = row["total"] - published.total
                if split == "test" and "excess" in found:
                    floors = found["reconstruction_loss"] - found["excess"]
                    row["difference"] -= floors.mean() - FLOORS[chosen[0]["dataset"]]
                rows.append(row)
    return pd.DataFrame(rows)


def _losses(found, split):
    """The total and its parts, nats/image, a row for each run."""
    columns = ["loss", "reconstruction_loss", "kl_divergence"]
    if split == "running":
        histories = [runs.last_epoch(runs.models_folder() / run)[1] for run in found["run"]]
        losses = pd.DataFrame(histories, columns=columns)
    else:
        losses = found.reindex(columns=["elbo", *columns]).assign(loss=lambda rows: -rows["elbo"])
    return losses[columns].set_axis(["total", "reconstruction", "kl"], axis=1).astype("float64")


def markdown(compared):
    """Renders what `compare` returns as a table, obtained (published) in each cell."""
    cells = []
    for row in compared.to_dict("records"):
        runs_of_it = f"{row['seeds']} seed{'' if row['seeds'] == 1 else 's'}"
        if not row["seeds"]:
            runs_of_it = f"not run: `make sweep SWEEP={row['reproduction']} BUDGET=study`"
        losses = [_cell(row, measure) for measure in ("total", "reconstruction", "kl")]
        difference = "" if pd.isna(row["difference"]) else f"{row['difference']:+.2f}"
        experiment = f"{row['work']}: {row['model']}; {runs_of_it}"
        cells.append([experiment, row["images"], *losses, difference])
    headings = ["experiment", "images", "total", "reconstruction", "KL", "difference"]
    return tables.render(cells, headings, left=2)


def _cell(row, measure):
    value, spread, published = (row[f"{measure}{part}"] for part in ("", "_sd", "_published"))
    text = "–" if pd.isna(value) else f"{value:.2f}"
    text += "" if pd.isna(spread) else f" ± {spread:.2f}"
    return text if pd.isna(published) else f"{text} ({published:.2f})"
