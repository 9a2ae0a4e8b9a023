"""The parameters of a run, as in notebooks 02 and 08, and their valid values."""

import math
import numbers
import sys

from vae_keras.data.catalogue import DATASETS, is_own

CHOICES = {
    "likelihood": ("bce", "mse", "sigma", "logistic"),
    "architecture": (
        *("residual", "plain", "mlp"),
        *("wide", "small", "deep_mlp", "residual_1024"),  # for reproductions
        "ladder",  # two levels of codes
    ),
    "learning_rate_schedule": ("linear", "constant"),
    "prior": ("normal", "vamp", "flow", "second_stage"),
    "posterior": ("normal", "coupling_flow"),
    "objective": ("elbo", "iwae", "tc", "mmd"),
}
# name: (type, lowest value, highest value). For names in ABOVE, the lowest value is excluded.
RANGES = {
    "image_size": (int, 4, math.inf),
    "latent_dim": (int, 1, math.inf),
    "beta": (float, 0, math.inf),
    "warmup_epochs": (float, 0, math.inf),
    "kl_cycles": (int, 1, math.inf),
    "free_bits": (float, 0, math.inf),
    "epochs": (int, 1, math.inf),
    "batch_size": (int, 1, math.inf),
    "learning_rate": (float, 0, math.inf),
    "train_fraction": (float, 0, 1),
    "evaluation_fraction": (float, 0, 1),
    "seed": (int, 0, 2**32 - 1),
    "perceptual": (float, 0, math.inf),
}
ABOVE = ("learning_rate", "train_fraction", "evaluation_fraction")
# In the order of notebook 02.
PARAMETERS = (
    *("dataset", "image_size", "latent_dim", "beta", "likelihood", "architecture", "conditional"),
    *("warmup_epochs", "kl_cycles", "free_bits", "epochs", "batch_size", "learning_rate"),
    *("learning_rate_schedule", "train_fraction", "evaluation_fraction", "seed"),
)
# The additional parameters of notebook 08, with the values that give the VAE of notebook 02.
BEYOND = {"prior": "normal", "posterior": "normal", "objective": "elbo", "perceptual": 0.0}
ALL_PARAMETERS = (*PARAMETERS, *BEYOND)


def check_parameters(**parameters):
    """Checks the parameters of a run.

    Args:
        **parameters: all of `PARAMETERS`, optionally with any of `BEYOND`.

    Returns:
        Dict of the parameters in the order of `PARAMETERS`, with numbers as plain `int` or `float`:
        beta 1 and beta 1.0 are the same run. Parameters of `BEYOND` follow only if they differ from
        their value there: leaving one out or setting it to that value gives the same run.

    Raises:
        ValueError: if a parameter is missing, unknown or out of range, or if parameters are
            incompatible.
    """
    missing = [name for name in PARAMETERS if name not in parameters]
    unknown = [name for name in parameters if name not in ALL_PARAMETERS]
    if missing or unknown:
        raise ValueError(
            f"a run needs the parameters {', '.join(PARAMETERS)}; optional: {', '.join(BEYOND)}. "
            f"Missing: {', '.join(missing) or 'none'}. Unknown: {', '.join(unknown) or 'none'}."
        )
    checked = {name: _check(name, parameters[name]) for name in PARAMETERS}
    given = {name: _check(name, parameters[name]) for name in BEYOND if name in parameters}
    checked |= {name: value for name, value in given.items() if value != BEYOND[name]}
    _check_beyond({**BEYOND, **checked})
    warmup_epochs, kl_cycles = checked["warmup_epochs"], checked["kl_cycles"]
    if warmup_epochs == 0 and kl_cycles > 1:
        raise ValueError(
            f"`kl_cycles` must be 1 without a warm-up. Received: {kl_cycles}. Set `warmup_epochs` "
            f"to the length of the warm-up in each cycle."
        )
    if warmup_epochs * kl_cycles > checked["epochs"]:
        raise ValueError(
            f"`warmup_epochs` times `kl_cycles` must be at most `epochs`. Received: "
            f"warmup_epochs={warmup_epochs:g}, kl_cycles={kl_cycles}, epochs={checked['epochs']}"
        )
    return checked


def _check_beyond(run):
    """Rejects incompatible choices beyond the plain VAE."""
    prior, normal_posterior = run["prior"], run["posterior"] == "normal"
    ladder, conditional = run["architecture"] == "ladder", run["conditional"]
    kl_per_dimension = prior in ("normal", "second_stage") and normal_posterior
    for incompatible, reason in (
        (
            ladder and not (prior == "normal" and normal_posterior),
            'a "ladder" has its own `prior` and `posterior`',
        ),
        (ladder and conditional, 'a "ladder" takes no class labels'),
        (
            run["latent_dim"] < 2
            and (ladder or prior == "flow" or run["posterior"] == "coupling_flow"),
            "a ladder or a flow needs at least two latent dimensions",
        ),
        (
            run["perceptual"] > 0 and run["objective"] != "elbo",
            '`perceptual` needs the objective "elbo"',
        ),
        (prior == "vamp" and conditional, 'the prior "vamp" takes no class labels'),
        (
            run["free_bits"] > 0 and not kl_per_dimension,
            "`free_bits` needs a KL divergence per latent dimension",
        ),
        (
            run["free_bits"] > 0 and run["objective"] in ("iwae", "mmd"),
            'the objectives "iwae" and "mmd" ignore `free_bits`',
        ),
        (
            run["objective"] == "tc" and (ladder or not normal_posterior),
            'the objective "tc" needs a diagonal posterior',
        ),
    ):
        if incompatible:
            chosen = {name: run[name] for name in (*BEYOND, "architecture", "free_bits")}
            raise ValueError(f"{reason}. Received: {chosen}")


def _check(name, value):
    if name == "dataset":
        fits = isinstance(value, str) and (is_own(value) or value in DATASETS)
        expected = (
            f"one of {', '.join(DATASETS)}, or images of your own: folder:/path/to/images or the "
            f"path of an .npz file"
        )
    elif name in CHOICES:
        fits = isinstance(value, str) and value in CHOICES[name]
        expected = f"one of {', '.join(CHOICES[name])}"
    elif name == "conditional":
        fits, expected = isinstance(value, bool), "True or False"
    else:
        fits, expected = _check_number(name, value)
    if not fits:
        raise ValueError(f"`{name}` must be {expected}. Received: {value!r}")
    return RANGES[name][0](value) if name in RANGES else value


def _check_number(name, value):
    kind, lowest, highest = RANGES[name]
    fits = (
        isinstance(value, numbers.Integral if kind is int else numbers.Real)
        and not isinstance(value, bool)
        and lowest <= value <= min(highest, sys.float_info.max)
        and not (name in ABOVE and value == lowest)
        and not (name == "image_size" and value % 4)
    )
    expected = "a whole number" if kind is int else "a finite number"
    if name == "image_size":
        expected += " divisible by 4"
    expected += f", {'above' if name in ABOVE else 'at least'} {lowest}"
    if highest < math.inf:
        expected += f" and at most {highest}"
    return fits, expected
