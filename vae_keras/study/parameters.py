"""What describes a run: the parameters of notebooks 02 and 08, and what each may be."""

import math
import numbers

from vae_keras.data.catalogue import DATASETS, is_own

CHOICES = {
    "likelihood": ("bce", "mse", "sigma", "logistic"),
    # The last four are the networks of reproductions.
    "architecture": (
        *("residual", "plain", "mlp"),
        *("wide", "small", "deep_mlp", "residual_1024"),
        "ladder",  # two levels of codes
    ),
    "learning_rate_schedule": ("linear", "constant"),
    "prior": ("normal", "vamp", "flow", "second_stage"),
    "posterior": ("normal", "coupling_flow"),
    "objective": ("elbo", "iwae", "tc", "mmd"),
}
# name: (type, lowest value, highest value); those in ABOVE must be above the lowest one.
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
# What notebook 08 has besides, and the values with which a run is one of notebook 02.
BEYOND = {"prior": "normal", "posterior": "normal", "objective": "elbo", "perceptual": 0.0}
ALL_PARAMETERS = (*PARAMETERS, *BEYOND)


def check_parameters(**parameters):
    """Checks the parameters of a run.

    Args:
        **parameters: every one of `PARAMETERS`, and any of `BEYOND`.

    Returns:
        Dict of the parameters in the order of `PARAMETERS`, numbers as plain `int` or `float`: a
        beta of 1 and a beta of 1.0 are the same run. Then those of `BEYOND` that differ from the
        values there: with these values, too, it is the same run.

    Raises:
        ValueError: if a parameter is missing, unknown or out of its range, or two of them do not
            fit together.
    """
    missing = [name for name in PARAMETERS if name not in parameters]
    unknown = [name for name in parameters if name not in ALL_PARAMETERS]
    if missing or unknown:
        raise ValueError(
            f"a run needs the parameters {', '.join(PARAMETERS)}; it may have {', '.join(BEYOND)}. "
            f"Missing: {', '.join(missing) or 'none'}. Unknown: {', '.join(unknown) or 'none'}."
        )
    checked = {name: _check(name, parameters[name]) for name in PARAMETERS}
    given = {name: _check(name, parameters[name]) for name in BEYOND if name in parameters}
    checked |= {name: value for name, value in given.items() if value != BEYOND[name]}
    _check_beyond({**BEYOND, **checked})
    warmup_epochs, kl_cycles = checked["warmup_epochs"], checked["kl_cycles"]
    if warmup_epochs == 0 and kl_cycles > 1:
        raise ValueError(
            f"`kl_cycles` must be 1 without a warm-up. Received: {kl_cycles}. Set `warmup_epochs`, "
            f"the length of the rise in each cycle."
        )
    if warmup_epochs * kl_cycles > checked["epochs"]:
        raise ValueError(
            f"`warmup_epochs` times `kl_cycles` must fit into `epochs`. Received: "
            f"warmup_epochs={warmup_epochs:g}, kl_cycles={kl_cycles}, epochs={checked['epochs']}"
        )
    return checked


def _check_beyond(run):
    """Refuses what does not fit together beyond the plain VAE."""
    ladder = run["architecture"] == "ladder"
    in_parts = (run["prior"] in ("normal", "second_stage")) and run["posterior"] == "normal"
    for refused, reason in (
        (ladder and not in_parts, 'a "ladder" has a `prior` and a `posterior` of its own'),
        (ladder and run["prior"] != "normal", 'a "ladder" has a `prior` of its own'),
        (ladder and run["conditional"], 'a "ladder" takes no class labels'),
        (run["prior"] == "vamp" and run["conditional"], 'the prior "vamp" takes no class labels'),
        (
            run["free_bits"] > 0 and not in_parts,
            "`free_bits` need a KL divergence that is known for each latent dimension",
        ),
        (
            run["objective"] == "tc" and (ladder or run["posterior"] != "normal"),
            'the objective "tc" needs a diagonal posterior',
        ),
    ):
        if refused:
            raise ValueError(f"{reason}. Received: {run}")


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
        and math.isfinite(value)
        and lowest <= value <= highest
        and not (name in ABOVE and value == lowest)
        and not (name == "image_size" and value % 4)
    )
    expected = f"{'a whole' if kind is int else 'a finite'} number"
    expected += f"{' divisible by 4' if name == 'image_size' else ''}, "
    expected += f"{'above' if name in ABOVE else 'at least'} {lowest}"
    return fits, expected + ("" if highest == math.inf else f" and at most {highest}")
