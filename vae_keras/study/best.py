"""The lowest negative log-likelihoods (NLL) obtained here, beside published ones.

`python -m vae_keras.study.best_runs mnist` trains one of them. On MNIST and Fashion-MNIST, training
binarises each image anew whenever it is shown, as the published models' training does. Notebook 02
trains on the grey levels themselves, so they are not part of a sweep.
"""

import json

from vae_keras.figures import names
from vae_keras.study import runs, tables

ARCHITECTURE = "residual"
SETTINGS = {
    "mnist": {"likelihood": "bce", "latent_dim": 40, "epochs": 40},
    "fashion_mnist": {"likelihood": "bce", "latent_dim": 40, "epochs": 40},
    "cifar10": {"likelihood": "logistic", "latent_dim": 128, "epochs": 50},
}
_NOROUZI = "Norouzi et al., 2020"
_GATOPOULOS = "Gatopoulos & Tomczak, 2020"
# Test images, in nats/image after dynamic binarisation, or in bits/dim for CIFAR-10.
PUBLISHED = {
    "mnist": {
        f"VAE ({_NOROUZI})": 84.45,
        "VampPrior": 82.43,
        "convolutional, two levels, VampPrior": 79.67,
    },
    "fashion_mnist": {
        f"VAE ({_NOROUZI})": 228.70,
        "VampPrior": 227.35,
        "convolutional, two levels, VampPrior": 224.67,
    },
    "cifar10": {f"DenseNet, flow prior, mixture of logistics ({_GATOPOULOS})": 3.51},
}
MEASURES = {"bce": ("nll", "nats/image"), "logistic": ("bits_per_dim", "bits/dim")}


def record_path(dataset):
    """Returns the path of a data set's record, in the folder of its run."""
    return runs.models_folder() / f"best_{dataset}" / "best.json"


def markdown():
    """Renders a table with a row for each data set that has been run."""
    cells = []
    for dataset, published in PUBLISHED.items():
        path = record_path(dataset)
        if not path.exists():
            continue
        record = json.loads(path.read_text(encoding="utf-8"))
        measure, unit = MEASURES[record["likelihood"]]
        setup = (
            f"{names.label(dataset)}, {unit}: latent size "
            f"{record['latent_dim']}, {record['epochs']} epochs, {record['num_images']:,} test "
            f"images, K = {record['num_samples']:,}"
        )
        others = "; ".join(f"{model} {number:.2f}" for model, number in published.items())
        cells.append([setup, f"**{record[measure]:.2f}**", others])
    if not cells:
        return "Not run yet: `.venv/bin/python -m vae_keras.study.best_runs mnist`."
    return tables.render(cells, ["data set", "NLL here", "published"], left=3)
