"""The sweeps, declared as data: grids over the parameters of notebooks 02 and 08."""

import itertools
from pathlib import Path

from vae_keras.data.catalogue import DATASETS, SPRITES, is_own
from vae_keras.figures import names
from vae_keras.study import reproductions, runs
from vae_keras.study.parameters import ALL_PARAMETERS, BEYOND, check_parameters

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "02_train_vae.ipynb"
NOTEBOOK_BEYOND = NOTEBOOK.with_name("08_beyond.ipynb")

# The default setting of every sweep.
FIXED = {
    "image_size": 32,
    "latent_dim": 32,
    "beta": 1.0,
    "likelihood": "bce",
    "architecture": "residual",
    "conditional": False,
    "warmup_epochs": 0.0,
    "kl_cycles": 1,
    "free_bits": 0.0,
    "evaluation_fraction": 1.0,
    "seed": 0,
    **BEYOND,
}
PARTS = ("architecture", *BEYOND, "free_bits", "warmup_epochs", "kl_cycles", "conditional")
SAID = ("latent_dim", "beta", "likelihood", "architecture")  # `describe` always names these
# The training recipe of all runs. A budget overrides it, and a sweep's grid overrides both.
RECIPE = {
    "batch_size": 64,
    "learning_rate": 4e-3,
    "learning_rate_schedule": "linear",
    "train_fraction": 1.0,
}
# Epochs of the budget `study`.
EPOCHS = {
    "fashion_mnist": 18,
    "cifar10": 18,
    "mnist": 18,
    "svhn": 18,
    "sprites": 12,
    "dsprites": 12,
}
BUDGETS = {
    # Evaluating part of the test images skips the slowest measures.
    "quick": {"epochs": 4, "train_fraction": 0.05, "evaluation_fraction": 0.5},
    "study": {},
    "full": {"epochs": 50},  # for a GPU
}
# The budget whose runs the README and the notebooks show.
SHOWN_BUDGET = "study"
# Small data sets are trained on all images for a fixed number of epochs, whatever the budget, and
# so are a user's own.
SMALL = {
    "digits": {"epochs": 60, "train_fraction": 1.0, "evaluation_fraction": 0.99},
    "photos": {"epochs": 6, "train_fraction": 1.0, "evaluation_fraction": 0.99},
}
OWN = {"epochs": 12, "train_fraction": 1.0}

MMD_WEIGHT = 1000.0  # the beta of the objective "mmd", see Zhao et al., 2019, section 6
PERCEPTUAL_WEIGHT, LADDER_FREE_BITS = 1.0, 0.05

# A sweep is a list of grids; a grid lists the values of each parameter that it sets.
GREY_AND_COLOUR = ["fashion_mnist", "cifar10"]
BOTH = {"dataset": GREY_AND_COLOUR}
THREE = BOTH | {"seed": [0, 1, 2]}
FIVE = BOTH | {"seed": [0, 1, 2, 3, 4]}  # for settings that findings rest on
LIKELIHOODS = ["bce", "mse", "sigma", "logistic"]
RATES = BOTH | {"learning_rate": [2e-3, 4e-3, 8e-3]}
STUDY = {
    "latent_dim": [
        FIVE | {"latent_dim": [2, 8, 32, 128]},
        THREE | {"latent_dim": [4, 16, 64]},
    ],
    "beta": [
        FIVE | {"beta": [0.1, 1.0, 4.0]},
        THREE | {"beta": [0.01, 0.5, 2.0, 8.0]},
    ],
    "dataset": [FIVE | {"likelihood": LIKELIHOODS}],
    "mse_beta": [
        FIVE | {"likelihood": ["mse", "sigma"]},
        THREE | {"likelihood": ["mse"], "beta": [0.001, 0.01, 0.1, 10.0]},
    ],
    "architecture": [
        THREE | {"architecture": ["plain", "residual"], "warmup_epochs": [0.0, 1.0]},
    ],
    "warmup": [THREE, THREE | {"warmup_epochs": [1.0], "kl_cycles": [1, 2]}],
    "conditional": [THREE | {"conditional": [False, True]}],
}
# Beyond the plain VAE. Runs with the defaults of `BEYOND` are shared with the study.
GREY = {"dataset": ["mnist", "fashion_mnist"], "seed": [0, 1, 2]}
SPRITE = {"dataset": ["sprites"], "latent_dim": [10], "seed": [0, 1, 2]}
BEYOND_SWEEPS = {
    "priors": [GREY | {"prior": ["normal", "vamp", "flow", "second_stage"]}],
    "objectives": [
        GREY | {"objective": ["elbo", "iwae"]},
        GREY | {"posterior": ["coupling_flow"]},
        GREY | {"objective": ["mmd"], "beta": [MMD_WEIGHT]},
        GREY | {"perceptual": [PERCEPTUAL_WEIGHT]},
    ],
    "levels": [
        GREY,
        GREY | {"architecture": ["ladder"], "free_bits": [0.0, LADDER_FREE_BITS]},
    ],
    "disentanglement": [
        SPRITE | {"beta": [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0]},
        SPRITE | {"beta": [2.0, 4.0, 8.0, 16.0], "objective": ["tc"]},
    ],
}
SWEEPS = {
    "quick": [
        BOTH | {"architecture": ["plain"], "latent_dim": [1, 2, 16]},
        BOTH | {"architecture": ["plain"], "latent_dim": [16], "beta": [4.0]},
    ],
    **STUDY,
    "study": [grid for grids in STUDY.values() for grid in grids],
    # Is the recipe's peak learning rate also the best at the extremes of the study?
    "recipe": [
        RATES | {"latent_dim": [2, 128]},
        RATES | {"beta": [0.01, 8.0]},
        RATES | {"likelihood": LIKELIHOODS},
        RATES | {"conditional": [True]},
    ],
    # The published models (seed 0); the other seeds give the spread.
    "pretrained": [
        THREE | {"latent_dim": [2, 32]},
        THREE | {"conditional": [True]},
        {"dataset": ["mnist"], "latent_dim": [2], "seed": [0, 1, 2]},
    ],
    **BEYOND_SWEEPS,
    "beyond": [grid for grids in BEYOND_SWEEPS.values() for grid in grids],
    **reproductions.SWEEPS,
}


def declared_runs(sweep, budget="quick", substitute=False, dataset=None):
    """Lists the runs of a sweep.

    Args:
        sweep: name of one of `SWEEPS`.
        budget: name of one of `BUDGETS`.
        substitute: whether to replace each data set that needs a network with an embedded one.
        dataset: data set that replaces those of the sweep, for example `folder:/path/to/images`.

    Returns:
        List of dicts as returned by `check_parameters`, without duplicates, lower seeds first.

    Raises:
        ValueError: if an argument is unknown or a declared value is invalid.
    """
    for name, value, valid in (("sweep", sweep, SWEEPS), ("budget", budget, BUDGETS)):
        if value not in valid:
            raise ValueError(f"`{name}` must be one of {', '.join(valid)}. Received: {value!r}")
    declared = {}
    for grid in SWEEPS[sweep]:
        for values in itertools.product(*grid.values()):
            settings = dict(zip(grid, values, strict=True))
            name = dataset or settings["dataset"]
            name = (substitute and DATASETS[name]["substitute"]) or name
            parameters = FIXED | RECIPE | {"epochs": EPOCHS.get(name)} | BUDGETS[budget] | settings
            parameters = check_parameters(**parameters | {"dataset": name} | set_by(name))
            declared[runs.run_name(parameters)] = parameters
    return sorted(declared.values(), key=lambda parameters: parameters["seed"])


def set_by(dataset):
    """Returns the parameters that a data set fixes, whatever the budget."""
    return OWN if is_own(dataset) else SMALL.get(dataset, {})


def notebook(parameters):
    """Returns the path of the notebook that trains a run.

    Args:
        parameters: dict as returned by `check_parameters`.
    """
    beyond = set(parameters) & set(BEYOND) or parameters["architecture"] == "ladder"
    return NOTEBOOK_BEYOND if beyond or parameters["dataset"] in SPRITES else NOTEBOOK


def finished_runs(table, sweep, budget):
    """Returns the rows of a sweep's finished runs.

    Args:
        table: `pandas.DataFrame` from `runs.load_results`.
        sweep: name of one of `SWEEPS`.
        budget: name of one of `BUDGETS`.

    Returns:
        `pandas.DataFrame` in the order of `declared_runs`.

    Raises:
        FileNotFoundError: if no run is finished.
        ValueError: if a name is unknown.
    """
    rows = runs.select(table, declared_runs(sweep, budget))
    if rows.empty:
        raise FileNotFoundError(
            f"no run of the sweep {sweep!r} with the budget {budget!r} is finished. Train them "
            f"with `make sweep SWEEP={sweep} BUDGET={budget}`"
            + (", and set VAE_KERAS_MODELS to its folder, models/quick" * (budget == "quick"))
        )
    return rows


def describe(rows):
    """Describes runs, for a notebook.

    Args:
        rows: `pandas.DataFrame`, rows of `runs.load_results`.

    Returns:
        Markdown: the parameters that vary, with their values, then those common to all runs.
    """
    if rows.empty:
        return "No run is finished."
    varied, common = [], []
    for name in ALL_PARAMETERS:
        values = sorted(rows[name].unique())
        texts = ", ".join(names.format_value(name, value) for value in values)
        if len(values) > 1:
            varied.append(f"{names.COLUMNS[name][0]} {texts}")
        elif name in SAID or list(values) != [FIXED.get(name)]:
            common.append(f"{names.COLUMNS[name][0]} {texts}")
    over = f" over {'; '.join(varied)}" if varied else ""
    return f"**Runs: {len(rows)}**{over}. Common to all: {', '.join(common)}."


def parts(rows):
    """Names what each run adds to the plain VAE, for a notebook.

    Args:
        rows: `pandas.DataFrame`, rows of `runs.load_results`.

    Returns:
        List of strings such as "plain VAE", "VampPrior", "two levels, free bits 0.05", "beta-TC".
    """
    changes = [
        {name: row[name] for name in PARTS if row[name] != FIXED[name]}
        for row in rows.to_dict("records")
    ]
    return [phrase(changed) or "plain VAE" for changed in changes]


def phrase(changes):
    """Returns settings in words, as in "unit variance, beta 0.01"; "" if there are none."""
    words = []
    for name, value in changes.items():
        heading, text = names.COLUMNS[name][0], names.format_value(name, value)
        if isinstance(value, bool):
            words.append(f"{'with' if value else 'without'} {heading}")
        else:
            words.append(text if isinstance(value, str) else f"{heading} {text}")
    return ", ".join(words)


# The settings of the study's runs, except for what a sweep varies.
DEFAULT = phrase({name: FIXED[name] for name in (*SAID, "conditional")})


def title(parameters):
    """Names a run in a few words: "CIFAR-10, z 32, beta 0.5, seed 1".

    Args:
        parameters: dict of all `PARAMETERS`.
    """
    parameters, usual = BEYOND | parameters, FIXED | RECIPE
    named = {"dataset", "latent_dim", "beta", "seed", "train_fraction", "evaluation_fraction"}
    shown = [name for name in ALL_PARAMETERS if name in usual and name not in named]
    words = [
        names.label(parameters["dataset"]),
        f"z {parameters['latent_dim']}",
        f"beta {parameters['beta']:g}",
        phrase({name: parameters[name] for name in shown if parameters[name] != usual[name]}),
        f"seed {parameters['seed']}",
    ]
    return ", ".join(word for word in words if word)
