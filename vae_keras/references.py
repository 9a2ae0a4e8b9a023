"""Values that others published, beside those obtained here."""

import dataclasses

import numpy as np
import pandas as pd

from vae_keras import runs
from vae_keras.sweep import BUDGETS, FIXED

RUNNING = "training images, running mean of the last epoch"
TRAINED = "training images, after training"
TEST = "test images"
REFINED = "test images, refined posteriors"
# Where a value is found: in `history.csv` or `metrics.json`, the column, and its sign there.
PLACES = {
    ("total", RUNNING): ("history", "loss", 1),
    ("reconstruction", RUNNING): ("history", "reconstruction_loss", 1),
    ("KL", RUNNING): ("history", "kl_divergence", 1),
    ("total", TRAINED): ("metrics", "train_elbo", -1),
    ("total", TEST): ("metrics", "elbo", -1),
    ("reconstruction", TEST): ("metrics", "reconstruction_loss", 1),
    ("KL", TEST): ("metrics", "kl_divergence", 1),
    ("total", REFINED): ("metrics", "refined_elbo", -1),
}


@dataclasses.dataclass(frozen=True)
class Reference:
    """A published result, and the runs that repeat it.

    Attributes:
        id: short name.
        work: whose result it is.
        values: dict from "total", "reconstruction" and "KL" to nats per image, summed over pixels
            and over latent dimensions, mean over images.
        splits: the images on which it is obtained here: those it was published for or, where that
            is not stated, all that it may have been.
        sweep: name of the sweep that repeats it.
        settings: dict of the parameters in which its runs differ from `sweep.FIXED`.
    """

    id: str
    work: str
    values: dict
    splits: tuple
    sweep: str
    settings: dict


# What the tables say of the works beside their values.
SOURCES = (
    "L1 to L3 are from a study of MNIST, Fashion-MNIST and SVHN, here called S3, which states "
    "neither the split nor, for L1 and L2, the latent size. L4 was measured on training and test "
    "images together."
)
NUMBERS = ("reference", "obtained", "spread", "difference")
WHOLE = {"train_fraction": 1.0, "batch_size": 128}
S3 = "study S3, {}"
FLAT = {"latent_dim": 2, "epochs": 15, **WHOLE}
BEST = FLAT | {"architecture": "deep_mlp", "cosine_decay": True, "refine_steps": 100, "epochs": 60}
L1 = {"total": 132.39, "reconstruction": 123.63, "KL": 8.76}
L2 = {"total": 254.21, "reconstruction": 247.38, "KL": 6.83}
GREY_STUDIES = (("L1", "MNIST", "mnist", L1), ("L2", "Fashion-MNIST", "fashion_mnist", L2))
REFERENCES = [
    *(
        Reference(id, S3.format(name), values, splits, sweep, {"dataset": dataset, **settings})
        for id, name, dataset, values in GREY_STUDIES
        for splits, sweep, settings in (
            ((RUNNING, TRAINED, TEST), "s3", FLAT),
            ((RUNNING, TRAINED, TEST, REFINED), "s3_gap", BEST),
        )
    ),
    Reference(
        "L3",
        S3.format("SVHN, hidden layer of 1024, latent size 200"),
        {"total": 1908.62, "reconstruction": 1888.50, "KL": 20.12},
        (RUNNING, TRAINED, TEST),
        "s3_svhn",
        {"dataset": "svhn", "latent_dim": 200, "hidden_units": 1024, "epochs": 15, **WHOLE},
    ),
    Reference(
        "L4",
        "[Keras's VAE example](https://keras.io/examples/generative/vae/), MNIST",
        {"total": 146.95, "reconstruction": 140.15, "KL": 6.80},
        (RUNNING,),
        "keras_example",
        {"dataset": "mnist", "architecture": "small", "latent_dim": 2, "epochs": 30, **WHOLE},
    ),
    Reference(
        "L6",
        "[PyTorch's VAE example](https://github.com/pytorch/examples/tree/main/vae), MNIST",
        {"total": 105.59},
        (TEST,),
        "pytorch_example",
        {"dataset": "mnist", "architecture": "mlp", "latent_dim": 20, "epochs": 10, **WHOLE},
    ),
]


def compare(table):
    """Sets what was obtained against what was published.

    Args:
        table: `pandas.DataFrame` of `runs.load_results`.

    Returns:
        `pandas.DataFrame`, a row for each value and split: `id`, `work`, `model`, `measure`,
        `images`, `reference`, `obtained` (mean over seeds), `spread` (half their range; missing
        with one seed), `difference` (obtained minus reference) and `runs`, their folders, or why
        there are none.
    """
    rows = []
    for reference in REFERENCES:
        found = runs.select(table, _seeds(reference, table))
        for split in reference.splits:
            for measure, published in reference.values.items():
                if (measure, split) not in PLACES:
                    continue
                values = _values(found, *PLACES[measure, split])
                rows.append(
                    {
                        "id": reference.id,
                        "work": reference.work,
                        "model": _model(reference),
                        "measure": measure,
                        "images": split,
                        "reference": published,
                        "obtained": np.mean(values) if values else np.nan,
                        "spread": np.ptp(values) / 2 if len(values) > 1 else np.nan,
                        "difference": np.mean(values) - published if values else np.nan,
                        "runs": ", ".join(found["run"]) or _missing(reference),
                    }
                )
    return pd.DataFrame(rows)


def markdown(compared):
    """Renders what `compare` returns as a table in Markdown."""
    names = [*compared.columns]
    header = [f"{name} (nats/image)" if name in NUMBERS else name for name in names]
    lines = ["| " + " | ".join(header) + " |"]
    lines.append("|" + "|".join("---:" if name in NUMBERS else "---" for name in names) + "|")
    for row in compared.to_dict("records"):
        cells = (_cell(row[name]) for name in names)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(value):
    if isinstance(value, str):
        return value
    return "" if np.isnan(value) else f"{value:.2f}"


def _model(reference):
    settings = FIXED | reference.settings
    return "{architecture}, latent size {latent_dim}, {epochs} epochs".format(**settings)


def _seeds(reference, table):
    settings = {**FIXED, **BUDGETS["study"], **reference.settings}
    return [{**settings, "seed": int(seed)} for seed in sorted(set(table["seed"]))]


def _values(found, file, column, sign):
    if file == "metrics":
        return (sign * found[column].dropna()).tolist() if column in found else []
    histories = [pd.read_csv(runs.models_folder() / run / "history.csv") for run in found["run"]]
    return [sign * history[column].iloc[-1] for history in histories]


def _missing(reference):
    if reference.settings["dataset"] == "svhn":
        return "not run: data not available"
    return f"not run: `make sweep SWEEP={reference.sweep} BUDGET=study`"
