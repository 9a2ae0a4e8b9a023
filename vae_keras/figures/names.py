"""Display names, units and decimals of all parameters, measures and values."""

# For each column of the results: heading, unit, and number of decimals in tables, or None to show
# values as they are.
COLUMNS = {
    # Parameters, in the order of the tables.
    "dataset": ("data set", "", None),
    "image_size": ("image size", "pixels", None),
    "likelihood": ("likelihood", "", None),
    "architecture": ("architecture", "", None),
    "conditional": ("class labels", "", None),
    "latent_dim": ("latent size", "", None),
    "beta": ("beta", "", None),
    "warmup_epochs": ("warm-up", "epochs", None),
    "kl_cycles": ("KL cycles", "", None),
    "free_bits": ("free bits", "nats/dimension", None),
    "epochs": ("epochs", "", None),
    "batch_size": ("batch size", "images", None),
    "learning_rate": ("learning rate", "", None),
    "learning_rate_schedule": ("schedule", "", None),
    "train_fraction": ("share of training images", "", None),
    "evaluation_fraction": ("share of test images", "", None),
    "seed": ("seed", "", None),
    "prior": ("prior", "", None),
    "posterior": ("posterior", "", None),
    "objective": ("objective", "", None),
    "perceptual": ("perceptual weight", "", None),
    # Likelihoods and their bounds.
    "elbo": ("ELBO", "nats/image", 1),
    "train_elbo": ("ELBO, training images", "nats/image", 1),
    "refined_elbo": ("ELBO, refined posteriors", "nats/image", 2),
    "reconstruction_loss": ("reconstruction loss", "nats/image", 1),
    "kl_divergence": ("KL divergence", "nats/image", 1),
    "loss": ("loss", "nats/image", 1),
    "excess": ("excess", "nats/image", 1),
    "train_excess": ("excess, training images", "nats/image", 1),
    "excess_per_pixel": ("excess", "nats/pixel and channel", 3),
    "nll": ("NLL", "nats/image", 1),
    "binary_nll": ("binary NLL", "nats/image", 1),
    "exact_nll": ("exact NLL", "nats/image", 2),
    "bits_per_dim": ("NLL", "bits/dim", 3),
    "elbo_bits_per_dim": ("negative ELBO", "bits/dim", 3),
    # The parts of the gap at latent size 2.
    "gap_approximation": ("approximation", "nats/image", 2),
    "gap_amortisation": ("amortisation", "nats/image", 2),
    "gap_amortisation_generalisation": ("amortisation, generalisation", "nats/image", 2),
    "gap_decoder": ("decoder, generalisation", "nats/image", 2),
    # Images.
    "mse": ("MSE", "1/pixel", 4),
    "psnr": ("PSNR", "dB", 2),
    "ssim": ("SSIM", "", 3),
    "explained_variance": ("explained variance", "", 3),
    "sharpness": ("sharpness", "", 3),
    "fd_samples": ("FD of samples", "", 1),
    "fd_mixture": ("FD of samples, mixture", "", 1),
    "fd_reconstructions": ("FD of reconstructions", "", 1),
    "fid": ("FID of samples", "", 1),
    # Codes.
    "active_units": ("active units", "", 0),
    "used_units": ("used units", "", 0),
    "participation_ratio": ("participation ratio", "", 1),
    "probe_accuracy": ("probe accuracy", "", 3),
    "kl_upper": ("KL divergence, upper level", "nats/image", 2),
    "mig": ("MIG", "", 3),
    "sap": ("SAP", "", 3),
    "modularity": ("modularity", "", 3),
    "dci_disentanglement": ("DCI disentanglement", "", 3),
    "dci_completeness": ("DCI completeness", "", 3),
    "dci_informativeness": ("DCI informativeness", "", 3),
    "factor_vae_score": ("FactorVAE score", "", 3),
    # Counts, times and resources.
    "num_parameters": ("parameters", "", 0),
    "num_test_images": ("test images", "", 0),
    "num_gap_images": ("images, gap", "", 0),
    "train_seconds": ("training", "s", 0),
    "evaluation_seconds": ("evaluation", "s", 0),
    "images_per_second": ("speed", "images/s", 0),
    "peak_memory_gb": ("peak memory", "GB", 1),
}
# Columns that follow a pattern: measures of the linear twin, and counts of images and samples.
TWINS = ("nll", "mse", "psnr", "ssim", "probe_accuracy", "fd_samples", "fd_reconstructions")
COUNTED = {"nll": "NLL", "binary_nll": "binary NLL", "fd": "FD", "fid": "FID"}
COLUMNS |= {f"linear_{m}": (f"{COLUMNS[m][0]}, linear twin", *COLUMNS[m][1:]) for m in TWINS}
COLUMNS |= {
    f"num_{name}_{kind}": (f"{kind}, {text}", "", 0)
    for name, text in COUNTED.items()
    for kind in ("images", "samples")
}
VALUES = {
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "mnist": "MNIST",
    "svhn": "SVHN",
    "dsprites": "dSprites",
    "bce": "cross-entropy",
    "mse": "unit variance",
    "sigma": "learned variance",
    "logistic": "discretised logistic",
    "residual": "residual network",
    "plain": "no residual blocks",
    "mlp": "MLP",
    "deep_mlp": "deep MLP",
    "residual_1024": "residual network, 1,024 units",
    "ladder": "two levels",
    "normal": "normal",
    "vamp": "VampPrior",
    "flow": "flow prior",
    "coupling_flow": "flow posterior",
    "second_stage": "second stage",
    "elbo": "beta-VAE",
    "iwae": "importance-weighted",
    "tc": "beta-TC",
    "mmd": "MMD",
}


def heading(column):
    """Returns the heading of a column, with its unit: "ELBO (nats/image)"."""
    name, unit, _ = COLUMNS.get(column, (column.replace("_", " "), "", None))
    return f"{name} ({unit})" if unit else name


def label(name):
    """Returns the display name of a value or a column: "Fashion-MNIST", "latent size".

    `"mse"` and `"elbo"` name both a setting and a measure. Here they name the setting, such as the
    likelihood "unit variance"; use `heading("mse")` for the measure. `"folder:/path/to/birds"` and
    `"/path/to/birds.npz"` are shown as "birds", and any unknown text as it is.
    """
    if name.startswith("folder:") or name.endswith(".npz"):
        return name.removesuffix(".npz").rstrip("/").rpartition("/")[2]
    return VALUES.get(name) or (heading(name) if name in COLUMNS else name)


def format_value(column, value):
    """Formats a parameter or a measure as text; a missing value becomes an empty string.

    Args:
        column: name of the column, which sets the number of decimals.
        value: a string, bool or number, or None.
    """
    if isinstance(value, str):
        return label(value)
    if value is None or value != value:  # NaN is the only number that differs from itself
        return ""
    if str(value) in ("True", "False"):  # Python's or NumPy's
        return "yes" if value else "no"
    decimals = COLUMNS.get(column, ("", "", None))[2]
    if decimals is None:
        return f"{value:g}"
    return f"{value:,.0f}" if decimals == 0 else f"{value:.{decimals}f}"


def format_difference(measure, difference, *ends):
    """Formats a difference of a measure and the ends of its interval, a list of texts.

    All have their sign and as many decimals: at least one, or two if the difference is below 1.
    """
    decimals = max(COLUMNS[measure][2], 2 if abs(difference) < 1 else 1)
    return [f"{value:+.{decimals}f}" for value in (difference, *ends)]
