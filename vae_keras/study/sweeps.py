"""The sweeps, declared as data: which runs of notebooks 02 and 08 the study consists of."""

import itertools
from pathlib import Path

from vae_keras.data.catalogue import DATASETS, SPRITES
from vae_keras.figures import names
from vae_keras.study import reproductions, runs
from vae_keras.study.parameters import ALL_PARAMETERS, BEYOND, check_parameters

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "02_train_vae.ipynb"
NOTEBOOK_BEYOND = NOTEBOOK.with_name("08_beyond.ipynb")

# The setting from which every sweep starts.
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
PARTS = ("architecture", *BEYOND, "free_bits")
SAID = ("latent_dim", "beta", "likelihood", "architecture")  # also where it is that setting
# How all of them are trained. A budget overrides it, and a sweep's grid overrides both.
RECIPE = {
    "batch_size": 64,
    "learning_rate": 4e-3,
    "learning_rate_schedule": "linear",
    "train_fraction": 1.0,
}
# Epochs of the budget `study`; a user's own images get those of `OWN_EPOCHS`.
EPOCHS = {"fashion_mnist": 18, "cifar10": 18, "mnist": 18, "svhn": 18, "digits": 30, "photos": 12}
EPOCHS |= {"sprites": 12, "dsprites": 12}
OWN_EPOCHS = 12
BUDGETS = {
    # Part of the test images, which leaves out the measures that take longest.
    "quick": {"epochs": 4, "train_fraction": 0.05, "evaluation_fraction": 0.5},
    # The first study, in minutes a run on two cores.
    "short": {
        "epochs": 4,
        "train_fraction": 0.85,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "learning_rate_schedule": "constant",
    },
    "study": {},
    "full": {"epochs": 50},  # for a GPU
}
# The budget of the runs that README and notebooks show.
SHOWN_BUDGET = "study"
# The embedded sets stand in for those that need a network. They are small: all images, often.
SUBSTITUTES = {
    "digits": {"epochs": 60, "train_fraction": 1.0, "evaluation_fraction": 0.99},
    "photos": {"epochs": 6, "train_fraction": 1.0, "evaluation_fraction": 0.99},
    "sprites": {},
}

MMD_WEIGHT = 1000.0  # the beta of the objective "mmd", see Zhao et al., 2019, section 6
PERCEPTUAL_WEIGHT, LADDER_FREE_BITS = 1.0, 0.05

# A sweep is a list of grids; a grid has a list of values for each parameter that it sets.
GREY_AND_COLOUR = ["fashion_mnist", "cifar10"]
BOTH = {"dataset": GREY_AND_COLOUR}
THREE = BOTH | {"seed": [0, 1, 2]}
FIVE = BOTH | {"seed": [0, 1, 2, 3, 4]}  # where a finding rests on the setting
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
# Beyond the plain VAE. Its runs are those of the study wherever nothing of `BEYOND` is set.
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
        SPRITE | {"beta": [1.0, 2.0, 4.0, 8.0, 16.0]},
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
    # Is the recipe's peak rate the best one at the corners of the study, too?
    "recipe": [
        RATES | {"latent_dim": [2, 128]},
        RATES | {"beta": [0.01, 8.0]},
        RATES | {"likelihood": LIKELIHOODS},
        RATES | {"conditional": [True]},
    ],
    # The models that are published, those of seed 0; the other seeds give the spread.
    "pretrained": [
        THREE | {"latent_dim": [2, 32]},
        THREE | {"conditional": [True]},
        {"dataset": ["mnist"], "latent_dim": [2], "seed": [0, 1, 2]},
    ],
    # The lowest negative log-likelihood that one run reaches.
    "best": [
        {"dataset": ["mnist", "fashion_mnist"], "latent_dim": [40], "epochs": [100]},
        {"dataset": ["cifar10"], "likelihood": ["logistic"], "latent_dim": [128], "epochs": [50]},
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
        substitute: whether an embedded set stands in for each data set that needs a network; it is
            trained as `SUBSTITUTES` says.
        dataset: data set in place of those of the sweep, for example `folder:/path/to/images`.

    Returns:
        List of dicts as `check_parameters` returns them, without repetitions, lower seeds first.

    Raises:
        ValueError: if an argument is unknown or a declared value cannot be used.
    """
    for name, value, valid in (("sweep", sweep, SWEEPS), ("budget", budget, BUDGETS)):
        if value not in valid:
            raise ValueError(f"`{name}` must be one of {', '.join(valid)}. Received: {value!r}")
    declared = {}
    for grid in SWEEPS[sweep]:
        for values in itertools.product(*grid.values()):
            settings = dict(zip(grid, values, strict=True))
            if dataset is not None:
                settings["dataset"] = dataset
            epochs = EPOCHS.get(settings["dataset"], OWN_EPOCHS)
            parameters = {**FIXED, **RECIPE, "epochs": epochs, **BUDGETS[budget], **settings}
            if substitute:
                name = DATASETS[parameters["dataset"]]["substitute"] or parameters["dataset"]
                parameters |= {"dataset": name, **SUBSTITUTES[name]}
            parameters = check_parameters(**parameters)
            declared[runs.run_name(parameters)] = parameters
    return sorted(declared.values(), key=lambda parameters: parameters["seed"])


def notebook(parameters):
    """Returns the path of the notebook that trains a run.

    Args:
        parameters: dict as `check_parameters` returns it.
    """
    beyond = set(parameters) & set(BEYOND) or parameters["architecture"] == "ladder"
    return NOTEBOOK_BEYOND if beyond or parameters["dataset"] in SPRITES else NOTEBOOK


def finished_runs(table, sweep, budget):
    """Returns the rows of a sweep's finished runs.

    Args:
        table: `pandas.DataFrame` of `runs.load_results`.
        sweep: name of one of `SWEEPS`.
        budget: name of one of `BUDGETS`.

    Returns:
        `pandas.DataFrame` in the order of the declaration, lower seeds first.

    Raises:
        FileNotFoundError: if no run is finished.
        ValueError: if a name is unknown.
    """
    rows = runs.select(table, declared_runs(sweep, budget))
    if rows.empty:
        raise FileNotFoundError(
            f"no run of the sweep {sweep!r} with the budget {budget!r} is finished: "
            f"`make sweep SWEEP={sweep} BUDGET={budget}` trains them"
        )
    return rows


def describe(rows):
    """Says which runs these are, for a notebook.

    Args:
        rows: `pandas.DataFrame`, rows of `runs.load_results`.

    Returns:
        Markdown: what varies with its values, then what all runs have in common.
    """
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
    """Names the parts of runs beyond the plain VAE, for a notebook.

    Args:
        rows: `pandas.DataFrame`, rows of `runs.load_results`.

    Returns:
        List of texts: "plain VAE", "VampPrior", "two levels, free bits 0.05", "beta-TC".
    """
    changes = [
        {name: row[name] for name in PARTS if row[name] != FIXED[name]}
        for row in rows.to_dict("records")
    ]
    return [phrase(changed) or "plain VAE" for changed in changes]


def phrase(changes):
    """Returns a setting in words, as in "unit variance, beta 0.01"; of no change an empty text."""
    words = []
    for name, value in changes.items():
        heading, text = names.COLUMNS[name][0], names.format_value(name, value)
        if isinstance(value, bool):
            text = f"{'with' if value else 'without'} {heading}"
        words.append(text if isinstance(value, str | bool) else f"{heading} {text}")
    return ", ".join(words)


def title(parameters):
    """Names a run in a few words: "CIFAR-10, z 32, beta 0.5, seed 1".

    Args:
        parameters: dict of every one of `PARAMETERS`.
    """
    words = [names.label(parameters["dataset"]), f"z {parameters['latent_dim']}"]
    words.append(f"beta {parameters['beta']:g}")
    parameters = BEYOND | parameters
    shown = ("likelihood", "architecture", "conditional", "warmup_epochs", "kl_cycles", *BEYOND)
    changes = {name: parameters[name] for name in shown if parameters[name] != FIXED[name]}
    words += [phrase(changes)] if changes else []
    return ", ".join([*words, f"seed {parameters['seed']}"])
