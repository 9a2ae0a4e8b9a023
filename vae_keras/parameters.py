"""What the parameters of a run may be: checked alike by the sweep, the run folder and the model."""

import math
import numbers

from vae_keras.datasets import DATASETS

CHOICES = {
    "dataset": tuple(DATASETS),
    "likelihood": ("bce", "mse", "sigma", "logistic"),
    "architecture": ("residual", "plain", "wide", "small", "mlp", "deep_mlp"),
}
# name: (lowest value, its type, whether the lowest value itself is allowed)
RANGES = {
    "latent_dim": (1, int, True),
    "beta": (0, float, True),
    "warmup_epochs": (0, float, True),
    "kl_cycles": (1, int, True),
    "free_bits": (0, float, True),
    "hidden_units": (0, int, True),
    "encoder_shift": (0, int, True),
    "refine_steps": (0, int, True),
    "epochs": (1, int, True),
    "batch_size": (1, int, True),
    "learning_rate": (0, float, False),
    "seed": (0, int, True),
}
SWITCHES = ("conditional", "cosine_decay")
SHARES = ("train_fraction", "evaluation_fraction")
KINDS = {**dict.fromkeys(SHARES, float), **{name: kind for name, (_, kind, _) in RANGES.items()}}
PARAMETERS = (
    *("dataset", "latent_dim", "beta", "likelihood", "architecture", "conditional"),
    *("warmup_epochs", "kl_cycles", "free_bits", "epochs", "batch_size", "learning_rate"),
    *("train_fraction", "seed", "evaluation_fraction", "hidden_units"),
    *("cosine_decay", "encoder_shift", "refine_steps"),
)
# Parameters that came after the first runs were recorded. Records without them have these values,
# and a run that has them keeps the name it would have without.
LATER = {
    "evaluation_fraction": 1.0,
    "hidden_units": 0,
    "cosine_decay": False,
    "encoder_shift": 0,
    "refine_steps": 0,
}


def check(**parameters):
    """Raises an error that names the first parameter whose value cannot be used.

    Args:
        **parameters: any of `PARAMETERS` by name.

    Returns:
        Dict of the parameters, numbers as the plain `int` or `float` that they should be, so that
        a beta of 1 and of 1.0 are one and the same.

    Raises:
        ValueError: if a name is unknown, a choice is none of the valid ones, or a number is not
            finite, of the wrong type or out of its range.
    """
    for name, value in parameters.items():
        if name in CHOICES:
            _check_choice(name, value)
        elif name in SWITCHES:
            if not isinstance(value, bool):
                raise ValueError(f"`{name}` must be True or False. Received: {value!r}")
        elif name in SHARES:
            if not _is_number(value) or not 0 < value <= 1:
                raise ValueError(f"`{name}` must be above 0 and at most 1. Received: {value!r}")
        elif name in RANGES:
            _check_range(name, value)
        else:
            raise ValueError(
                f"unknown parameter {name!r}. Valid parameters: {', '.join(PARAMETERS)}"
            )
    _check_schedule(parameters)
    return {name: KINDS.get(name, type(value))(value) for name, value in parameters.items()}


def _check_choice(name, value):
    if value not in CHOICES[name]:
        raise ValueError(
            f"unknown {name} {value!r}. Valid values of `{name}`: {', '.join(CHOICES[name])}"
        )


def _check_range(name, value):
    lowest, kind, inclusive = RANGES[name]
    whole = kind is float or (_is_number(value) and isinstance(value, numbers.Integral))
    if not whole or not _is_number(value) or value < lowest or (value == lowest and not inclusive):
        noun = "a whole number" if kind is int else "a finite number"
        bound = "at least" if inclusive else "above"
        raise ValueError(f"`{name}` must be {noun}, {bound} {lowest}. Received: {value!r}")


def _check_schedule(parameters):
    epochs = parameters.get("epochs")
    cycles = parameters.get("kl_cycles", 1)
    warmup = parameters.get("warmup_epochs")
    if warmup == 0 and cycles > 1:
        raise ValueError(
            f"`kl_cycles` = {cycles} needs `warmup_epochs` above 0, the length of each cycle's rise"
        )
    if epochs is not None and warmup is not None and warmup * cycles > epochs:
        raise ValueError(
            f"`warmup_epochs` times `kl_cycles` must fit into `epochs`. Received: "
            f"warmup_epochs={warmup}, kl_cycles={cycles}, epochs={epochs}"
        )


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
