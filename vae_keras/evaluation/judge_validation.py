"""Validation of the judges: the distances that they assign to distorted images."""

import json

import numpy as np
import pandas as pd
import pooch
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from vae_keras.data.load import load_images
from vae_keras.evaluation.distances import extract, frechet_distance
from vae_keras.evaluation.linear import ProbabilisticPCA

NUM_IMAGES = 5000  # per distortion
NUM_PCA_IMAGES = 10_000
README = """# Judges of samples

A judge is a small residual network, trained to classify the images of one data set. The Fréchet
distances `fd_*` compare its 128 pooled activations. Weights and features are float32.
`python -m vae_keras.evaluation.judge NAME...` trains judges; with `--validate` it measures which
distortions they detect. Both write this page.

{judges}

## What a judge detects

The table shows Fréchet distances between distorted test images, at most 5,000, and the validation
images. "PCA" is probabilistic PCA with the given number of components. For small data sets, such as
`digits`, even undistorted images are far away: the distance is biased upwards unless there are many
more images than features. `photos` has no judge: a network learns little from telling two
photographs apart.

{distances}

## What a judge does not detect

The rows named "unseen" show distorted sets that score as well, or nearly as well, as real images. A
generator that copies training images, or that shows a fifth as many images five times each, scores
like a perfect one. The judge was trained to ignore shifts and, on Fashion-MNIST and CIFAR-10,
mirroring. A distance compares only the means and covariances of the features. On CIFAR-10, it
measures mostly blur once images are blurred: reconstructions by PCA with 8 or 32 components are as
far away as its samples.
"""


def measure(judge, dataset):
    """Measures the distances of distorted test images from the validation images.

    Args:
        judge: `keras.Model` from uint8 images to features.
        dataset: name of the data set.

    Returns:
        Dict from the name of a distortion to its distance, or to None if there are too few images.
    """
    held_out, held_out_labels = load_images(dataset, "validation")
    reference = extract(judge, held_out)
    images, labels = load_images(dataset, "test")
    chosen = np.random.default_rng(0).permutation(len(images))[:NUM_IMAGES]
    images, labels = images[chosen], labels[chosen]
    features = extract(judge, images)

    def distance(values, other=reference):
        enough = min(len(values), len(other)) > values.shape[1]
        return round(frechet_distance(values, other), 3) if enough else None

    distances = {"unchanged": distance(features)}
    num_classes = labels.max() + 1
    for dropped in (1, 3, 5):
        distances[f"without {dropped} of the classes"] = distance(features[labels >= dropped])
    half = num_classes // 2
    own, foreign = features[labels < half], features[labels >= half]
    for share in (0.05, 0.2, 0.5):
        count = int(len(own) * share / (1 - share))
        mixed = np.concatenate([own, foreign[:count]])
        name = f"half of the classes, {share:.0%} of other classes mixed in"
        distances[name] = distance(mixed, reference[held_out_labels < half])
    train = load_images(dataset, "train")[0]
    for name, changed in distortions(images, train[:NUM_PCA_IMAGES]):
        distances[name] = distance(extract(judge, changed))
    distances["unseen: mirrored"] = distance(extract(judge, images[:, :, ::-1]))
    moved = np.roll(images, images.shape[2] // 8, axis=2)
    distances["unseen: moved by an eighth"] = distance(extract(judge, moved))
    copies = extract(judge, train[:NUM_IMAGES])
    distances["unseen: copies of training images"] = distance(copies)
    distances["unseen: 1,000 images repeated"] = distance(
        np.resize(features[:1000], features.shape)
    )
    return distances


def distortions(images, train):
    """Yields pairs of a name and distorted images, uint8 or floats in [0, 1]."""
    unit = images.astype("float32") / 255
    for sigma in (0.5, 1, 2):
        yield f"blurred, {sigma} px", gaussian_filter(unit, (0, sigma, sigma, 0))
    noise = np.random.default_rng(0).standard_normal(unit.shape, "float32")
    for scale in (0.02, 0.05, 0.1, 0.2):
        yield f"noise, standard deviation {scale}", np.clip(unit + scale * noise, 0, 1)
    for latent_dim in (8, 32, 128):
        if latent_dim < unit[0].size:
            linear = ProbabilisticPCA(train, latent_dim)
            yield f"PCA {latent_dim}, reconstructions", linear.decode(linear.encode(images))
            yield f"PCA {latent_dim}, samples", linear.sample(len(images))


def agreement(distances, others):
    """Computes Spearman's rank correlation of two judges' distances.

    Args:
        distances: dict from `measure`.
        others: the same for another judge.
    """
    pairs = [(distances[name], others[name]) for name in others if others[name] is not None]
    return round(float(spearmanr(*zip(*pairs, strict=True)).statistic), 3)


def record(folder, dataset, **values):
    """Adds values to the entry of a data set's judge in the folder's `judges.json`."""
    path = folder / "judges.json"
    records = json.loads(path.read_text()) if path.exists() else {}
    records[dataset] = records.get(dataset, {}) | values
    path.write_text(json.dumps(records, indent=1) + "\n")


def write_readme(folder):
    """Writes `README.md` from `judges.json` and the files in the folder."""
    records = json.loads((folder / "judges.json").read_text())
    judges = [
        [
            name,
            f"{values['training_images']:,}",
            values["epochs"],
            f"{values['test_accuracy']:.4f}",
            values["dead_features"],
            f"{values['bytes'] / 1e6:.2f}",
            f"`{pooch.file_hash(folder / f'{name}.keras')}`",
        ]
        for name, values in records.items()
        if "bytes" in values
    ]
    headings = ["data set", "training images", "epochs", "test accuracy", "dead features of 128"]
    measured = {name: v["distances"] for name, v in records.items() if "distances" in v}
    rows = max(measured.values(), key=len, default={})
    distances = [
        [row] + ["–" if d.get(row) is None else f"{d[row]:.2f}" for d in measured.values()]
        for row in rows
    ]
    text = README.format(
        judges=_table([*headings, "MB", "SHA-256"], judges),
        distances=_table(["distortion", *measured], distances),
    )
    (folder / "README.md").write_text(text)


def _table(headings, rows):
    table = pd.DataFrame(rows, columns=headings)
    return table.to_markdown(index=False, disable_numparse=True)
