"""The statements about the study that `findings` checks, as data."""

import dataclasses

from vae_keras.sweep import GREY_AND_COLOUR, S0_RATE, S0_RESIDUAL, S0_WIDE


@dataclasses.dataclass(frozen=True)
class Claim:
    """A statement before it is checked.

    Attributes:
        statement: what is claimed.
        notebook: stem of the notebook that shows it.
        rising: list of chains of terms; along each chain the values must rise. A term is a pair of
            a measure and of the parameters in which its runs differ from each other.
        datasets: the data sets it is claimed for.
        base: dict of the parameters in which all of its runs differ from the study's.
    """

    statement: str
    notebook: str
    rising: list
    datasets: tuple = tuple(GREY_AND_COLOUR)
    base: dict = dataclasses.field(default_factory=dict)


def _rising(measure, name, *values):
    """The chain of a measure that rises along the values of one parameter."""
    return [(measure, {name: value}) for value in values]


def _observations_of_s0(network, grid):
    """What the study S0 saw, as claims about the runs of one network."""
    base = {name: values[0] for name, values in grid.items()}
    sizes = [1, 2, 8, 16]
    observed = [
        ("A larger latent size reconstructs better", "reconstruction_loss", sizes[::-1]),
        ("A smaller latent size samples better", "fd_samples", sizes),
    ]
    return [
        Claim(
            f"{statement}, from 1 to 16, at beta 1 and 3 (S0, {network})",
            "07_reproductions",
            [
                [(measure, {"beta": beta, "latent_dim": latent_dim}) for latent_dim in chain]
                for beta in (1.0, 3.0)
            ],
            ("fashion_mnist",),
            base,
        )
        for statement, measure, chain in observed
    ]


MSE = {"likelihood": "mse"}
CLAIMS = [
    Claim(
        "A larger latent size lowers the reconstruction loss, at every step from 2 to 16",
        "03_latent_dim",
        [_rising("reconstruction_loss", "latent_dim", 16, 8, 4, 2)],
    ),
    Claim(
        "The ELBO still rises from latent size 32 to 128",
        "03_latent_dim",
        [_rising("elbo", "latent_dim", 32, 128)],
    ),
    Claim(
        "More units are active with latent size 128 than with 32",
        "03_latent_dim",
        [_rising("active_units", "latent_dim", 32, 128)],
    ),
    Claim(
        "A larger latent size makes the classes easier to tell, from 2 over 8 to 32",
        "03_latent_dim",
        [_rising("probe_accuracy", "latent_dim", 2, 8, 32)],
    ),
    Claim(
        "Samples of the prior are worse with latent size 128 than with 8",
        "03_latent_dim",
        [_rising("fd_samples", "latent_dim", 8, 128)],
    ),
    Claim(
        "A mixture of Gaussians fitted to the training codes samples better than the prior (F4)",
        "03_latent_dim",
        [[("fd_gmm", {"latent_dim": 16}), ("fd_samples", {"latent_dim": 16})]],
    ),
    Claim(
        "Training images have a higher ELBO than test images, at latent size 128",
        "03_latent_dim",
        [[("elbo", {"latent_dim": 128}), ("train_elbo", {"latent_dim": 128})]],
    ),
    Claim(
        "beta 4 costs reconstruction and frees rate",
        "04_beta",
        [
            _rising("reconstruction_loss", "beta", 1.0, 4.0),
            _rising("kl_divergence", "beta", 4.0, 1.0),
        ],
    ),
    Claim(
        "The ELBO is best at beta 1",
        "04_beta",
        [_rising("elbo", "beta", 0.5, 1.0), _rising("elbo", "beta", 2.0, 1.0)],
    ),
    Claim(
        "A small beta makes samples of the prior worse, from 1 over 0.1 to 0.01",
        "04_beta",
        [_rising("fd_samples", "beta", 1.0, 0.1, 0.01)],
    ),
    Claim(
        "A large beta silences units, from 1 to 8",
        "04_beta",
        [_rising("active_units", "beta", 8.0, 1.0)],
    ),
    Claim(
        "A linear warm-up of one epoch raises the ELBO",
        "04_beta",
        [_rising("elbo", "warmup_epochs", 0.0, 1.0)],
    ),
    Claim(
        "Fashion-MNIST is easier than CIFAR-10: more of its variance is explained",
        "05_datasets_and_losses",
        [_rising("explained_variance", "dataset", "cifar10", "fashion_mnist")],
        ("fashion_mnist",),
    ),
    Claim(
        "Samples: cross-entropy < learned variance < unit variance (F1)",
        "05_datasets_and_losses",
        [_rising("fd_samples", "likelihood", "bce", "sigma", "mse")],
        ("fashion_mnist",),
    ),
    Claim(
        "Samples: learned variance < cross-entropy < unit variance (F2)",
        "05_datasets_and_losses",
        [_rising("fd_samples", "likelihood", "sigma", "bce", "mse")],
        ("cifar10",),
    ),
    Claim(
        "With unit variance, samples over beta are a U, best near 0.01 (F3)",
        "05_datasets_and_losses",
        [
            [("fd_samples", MSE | {"beta": 0.01}), ("fd_samples", MSE | {"beta": 0.001})],
            [("fd_samples", MSE | {"beta": beta}) for beta in (0.01, 1.0, 10.0)],
        ],
    ),
    Claim(
        "The learned variance samples better than every fixed beta (F3)",
        "05_datasets_and_losses",
        [
            [("fd_samples", {"likelihood": "sigma"}), ("fd_samples", MSE | {"beta": beta})]
            for beta in (0.001, 0.01, 0.1, 1.0, 10.0)
        ],
    ),
    Claim(
        "Residual blocks raise the ELBO",
        "05_datasets_and_losses",
        [_rising("elbo", "architecture", "plain", "residual")],
    ),
    Claim(
        "The class label raises the ELBO",
        "05_datasets_and_losses",
        [_rising("elbo", "conditional", False, True)],
    ),
    Claim(
        "The class label brings samples closer to the images",
        "05_datasets_and_losses",
        [_rising("fd_samples", "conditional", True, False)],
    ),
    *_observations_of_s0(
        f"their network on a share of the images, at a learning rate of {S0_RATE:g}", S0_WIDE
    ),
    *_observations_of_s0("ours on all images", S0_RESIDUAL),
]
