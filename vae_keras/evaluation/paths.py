"""Paths through latent space: grids, traversals and interpolations, as codes to decode."""

import numpy as np
from scipy.stats import norm

LOWEST, HIGHEST = 0.05, 0.95  # quantiles of the prior that grids and traversals cover


def prior_quantiles(num_steps):
    """Returns values of one latent dimension, evenly spaced in probability under the prior.

    Args:
        num_steps: number of values, at least 1.

    Returns:
        `(num_steps,)`, the standard normal quantiles from 0.05 to 0.95.
    """
    return norm.ppf(np.linspace(LOWEST, HIGHEST, num_steps))


def manifold(num_steps):
    """Returns a square grid of codes that covers the two-dimensional prior.

    Args:
        num_steps: number of codes per side.

    Returns:
        `(num_steps**2, 2)`, row by row from the top: `z_1` rises to the right, `z_2` upwards.
    """
    steps = prior_quantiles(num_steps)
    return np.stack([np.tile(steps, num_steps), np.repeat(steps[::-1], num_steps)], axis=-1)


def traversals(z, dimensions, num_steps=7):
    """Returns codes that vary one latent dimension at a time across the prior.

    Args:
        z: the code to vary, `(latent_dim,)`.
        dimensions: the latent dimensions to vary, `(num_dimensions,)`.
        num_steps: number of values per dimension, the prior's quantiles from 0.05 to 0.95.

    Returns:
        `(num_dimensions, num_steps, latent_dim)`.
    """
    codes = np.tile(z, (len(dimensions), num_steps, 1))
    for row, dimension in zip(codes, dimensions, strict=True):
        row[:, dimension] = prior_quantiles(num_steps)
    return codes


def interpolate(start, end, num_steps, spherical=False):
    """Returns codes on the path from one code to another.

    Args:
        start: `(latent_dim,)`.
        end: `(latent_dim,)`.
        num_steps: number of codes, both ends included.
        spherical: whether to follow the arc between the two directions, which avoids short codes
            halfway, instead of the straight line. The path is straight if there is no unique arc,
            because the directions are equal or opposite or one end is 0.

    Returns:
        `(num_steps, latent_dim)`.

    Reference:
        White, 2016, "Sampling Generative Networks", section 2.1 (spherical interpolation).
    """
    start, end = np.asarray(start, "float64"), np.asarray(end, "float64")
    share = np.linspace(0, 1, num_steps)[:, None]
    lengths = np.linalg.norm(start) * np.linalg.norm(end)
    angle = np.arccos(np.clip(start @ end / lengths, -1, 1)) if lengths else 0.0
    if not spherical or np.sin(angle) < 1e-6:
        return (1 - share) * start + share * end
    return (np.sin((1 - share) * angle) * start + np.sin(share * angle) * end) / np.sin(angle)
