"""The sweeps, declared as data: which runs of notebook 02 there are."""

import itertools
from pathlib import Path

from vae_keras import runs
from vae_keras.datasets import DATASETS
from vae_keras.parameters import LATER, check

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "02_train_vae.ipynb"

GREY_AND_COLOUR = ["fashion_mnist", "cifar10"]
SEEDS = [0, 1, 2]

# What a sweep does not vary. Every parameter that is in no budget has its value here.
FIXED = {
    "latent_dim": 32,
    "beta": 1.0,
    "likelihood": "bce",
    "architecture": "residual",
    "conditional": False,
    "warmup_epochs": 0.0,
    "kl_cycles": 1,
    "free_bits": 0.0,
    "learning_rate": 1e-3,
    "seed": 0,
    **LATER,
}
# How long each run trains.
BUDGETS = {
    "quick": {"epochs": 4, "train_fraction": 0.05, "batch_size": 64},
    "study": {"epochs": 4, "train_fraction": 0.85, "batch_size": 128},  # a 2-core machine
    "full": {"epochs": 50, "train_fraction": 1.0, "batch_size": 128},  # a GPU
}
# The embedded sets are small: all of their images, more often.
SUBSTITUTES = {
    "digits": {"epochs": 30, "train_fraction": 1.0},
    "photos": {"epochs": 3, "train_fraction": 1.0},
}
WHOLE = {"train_fraction": [1.0], "batch_size": [128]}
# The network of s0 is so large that two cores train and evaluate it on a share of the images. At
# its study's own rate so few steps leave it near its initialization: it is shown at both.
S0_RATE, S0_THEIR_RATE = 3e-4, 1e-5
S0_WIDE = {
    "architecture": ["wide"],
    "epochs": [3],
    "batch_size": [32],
    "learning_rate": [S0_RATE],
    "train_fraction": [0.03],
    "evaluation_fraction": [0.1],
}
S0_RESIDUAL = {"epochs": [3], **WHOLE}
S0_GRID = {"dataset": ["fashion_mnist"], "beta": [1.0, 3.0], "latent_dim": [1, 2, 8, 16]}
# The rate at which every latent size of s1 learns; at 1e-3 some stay at the mean image.
S1_RATE = 3e-4
S3_GREY = {"dataset": ["mnist", "fashion_mnist"]}
S3_FLAT = {**S3_GREY, "latent_dim": [2], "epochs": [15], **WHOLE}
S3_DEEP = S3_FLAT | {"architecture": ["deep_mlp"]}
# Each sweep is a list of grids; what a grid says overrides FIXED and the budget.
SWEEPS = {
    "quick": [
        {"dataset": GREY_AND_COLOUR, "architecture": ["plain"], "latent_dim": [2, 8, 32]},
        {"dataset": GREY_AND_COLOUR, "architecture": ["plain"], "beta": [0.1, 0.5, 4.0]},
    ],
    "latent_dim": [
        {"dataset": GREY_AND_COLOUR, "latent_dim": [2, 4, 8, 16, 32, 64, 128], "seed": SEEDS},
    ],
    "beta": [
        {"dataset": GREY_AND_COLOUR, "beta": [0.01, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0], "seed": SEEDS},
    ],
    "dataset": [
        {
            "dataset": GREY_AND_COLOUR,
            "likelihood": ["bce", "mse", "sigma", "logistic"],
            "seed": SEEDS,
        },
    ],
    "mse_beta": [
        {
            "dataset": GREY_AND_COLOUR,
            "likelihood": ["mse"],
            "beta": [0.001, 0.01, 0.1, 1.0, 10.0],
        },
        {"dataset": GREY_AND_COLOUR, "likelihood": ["sigma"]},
    ],
    "architecture": [
        {
            "dataset": GREY_AND_COLOUR,
            "architecture": ["plain", "residual"],
            "warmup_epochs": [0.0, 1.0],
        },
    ],
    "warmup": [
        {"dataset": GREY_AND_COLOUR},
        {"dataset": GREY_AND_COLOUR, "warmup_epochs": [1.0], "kl_cycles": [1, 2]},
    ],
    "conditional": [
        {"dataset": GREY_AND_COLOUR, "conditional": [False, True]},
    ],
    # Experiments of earlier studies and published examples, see `references`; where one says for
    # how long it trained, so do these.
    "s0": [
        S0_GRID | S0_WIDE,
        S0_GRID | S0_WIDE | {"learning_rate": [S0_THEIR_RATE], "beta": [1.0], "latent_dim": [1, 2]},
        S0_GRID | S0_RESIDUAL,
    ],
    "s1": [
        {
            "dataset": ["mnist"],
            "likelihood": ["mse"],
            "beta": [0.5],
            "learning_rate": [S1_RATE, 1e-3],
            "latent_dim": [2, 4, 16],
            "epochs": [10],
            **WHOLE,
        },
    ],
    "s2": [
        {
            "dataset": ["fashion_mnist"],
            "likelihood": ["mse", "bce"],
            "beta": [1.0, 0.01],
            "latent_dim": [2, 32],
        },
        {
            "dataset": ["fashion_mnist"],
            "likelihood": ["mse", "bce"],
            "latent_dim": [2, 32],
            "warmup_epochs": [1.0],
        },
    ],
    "s3": [S3_FLAT, {**S3_GREY, "latent_dim": [16, 100, 200]}],
    # What narrows the gap between training and test images at two latent dimensions.
    "s3_gap": [
        S3_FLAT,
        S3_DEEP,
        S3_DEEP | {"cosine_decay": [True], "encoder_shift": [0, 1]},
        S3_DEEP | {"cosine_decay": [True], "epochs": [60], "refine_steps": [100]},
    ],
    "s3_svhn": [
        {"dataset": ["svhn"], "latent_dim": [2, 16, 100, 200], "epochs": [15], **WHOLE},
        {
            "dataset": ["svhn"],
            "latent_dim": [200],
            "hidden_units": [1024],
            "epochs": [15],
            **WHOLE,
        },
    ],
    "keras_example": [
        {
            "dataset": ["mnist"],
            "architecture": ["small"],
            "latent_dim": [2],
            "epochs": [30],
            "seed": SEEDS,
            **WHOLE,
        },
    ],
    "pytorch_example": [
        {
            "dataset": ["mnist"],
            "architecture": ["mlp"],
            "latent_dim": [20],
            "epochs": [10],
            "seed": SEEDS,
            **WHOLE,
        },
    ],
}

STUDY = ("latent_dim", "beta", "dataset", "mse_beta", "architecture", "warmup", "conditional")
SWEEPS["study"] = [grid for name in STUDY for grid in SWEEPS[name]]


def declared_runs(sweep, budget="quick", substitute=False):
    """Lists the runs of a sweep.

    Args:
        sweep: name of one of `SWEEPS`.
        budget: name of one of `BUDGETS`.
        substitute: whether each data set is replaced by the embedded one of the same colour,
            which is trained for as long as `SUBSTITUTES` says.

    Returns:
        List of dicts that name every parameter of notebook 02, without repetitions, the first seed
        of all of them first.

    Raises:
        ValueError: if a name is unknown or the declaration has a bad value.
    """
    for name, value, valid in (("sweep", sweep, SWEEPS), ("budget", budget, BUDGETS)):
        if value not in valid:
            raise ValueError(f"unknown {name} {value!r}. Valid values: {', '.join(valid)}")
    listed = {}
    for grid in SWEEPS[sweep]:
        for values in itertools.product(*grid.values()):
            parameters = {**FIXED, **BUDGETS[budget], **dict(zip(grid, values))}
            if substitute:
                dataset = parameters["dataset"]
                dataset = DATASETS[dataset]["substitute"] or dataset
                parameters |= {"dataset": dataset, **SUBSTITUTES[dataset]}
            listed[runs.run_name(parameters)] = check(**parameters)
    return sorted(listed.values(), key=lambda parameters: parameters["seed"])


def finished_runs(table, sweep, budget):
    """Returns the rows of a sweep's finished runs.

    Args:
        table: `pandas.DataFrame` of `runs.load_results`.
        sweep: name of one of `SWEEPS`.
        budget: name of one of `BUDGETS`.

    Returns:
        `pandas.DataFrame`, in the order of the declaration, the first seed first.

    Raises:
        FileNotFoundError: if no run of it is finished.
        ValueError: if a name is unknown.
    """
    rows = runs.select(table, declared_runs(sweep, budget))
    if rows.empty:
        raise FileNotFoundError(
            f"no run of the sweep {sweep!r} with the budget {budget!r} is finished: "
            f"`make sweep SWEEP={sweep} BUDGET={budget}` trains them"
        )
    return rows
