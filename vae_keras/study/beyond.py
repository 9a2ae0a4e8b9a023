"""The priors, posteriors and objectives that notebook 08 can choose, and their measures."""

import numpy as np

from vae_keras.beyond import ladder, objectives, posteriors, priors
from vae_keras.data import sprites
from vae_keras.data.catalogue import SPRITES
from vae_keras.evaluation.batched import encode, over_batches
from vae_keras.evaluation.disentanglement import disentanglement
from vae_keras.evaluation.perceptual import load_features
from vae_keras.study import reproduction_networks

NETWORKS = {**reproduction_networks.NETWORKS, "ladder": ladder.LADDER}
PRIORS = {"vamp": priors.VampPrior, "flow": priors.FlowPrior}
POSTERIORS = {"coupling_flow": posteriors.FlowPosterior}
OBJECTIVES = {
    "iwae": objectives.ImportanceWeighted,
    "tc": objectives.BetaTC,
    "mmd": objectives.MaximumMeanDiscrepancy,
}


def build_parts(parameters, image_shape):
    """Builds the prior, posterior and objective of a `VAE`.

    Args:
        parameters: dict of all of `PARAMETERS` and `BEYOND`.
        image_shape: `(height, width, channels)`.

    Returns:
        Dict with those of the `VAE` arguments `prior`, `posterior` and `objective` that differ from
        their defaults.
    """
    choices = {"prior": PRIORS, "posterior": POSTERIORS, "objective": OBJECTIVES}
    parts = {
        name: kinds[parameters[name]]()
        for name, kinds in choices.items()
        if parameters[name] in kinds
    }
    if parameters["architecture"] == "ladder":
        parts |= {"prior": ladder.LadderPrior(), "posterior": ladder.LadderPosterior()}
    if parameters["perceptual"]:
        features = load_features(parameters["dataset"], image_shape)
        parts["objective"] = objectives.Perceptual(features, parameters["perceptual"])
    return parts


def evaluate(vae, parameters, test):
    """Computes measures that `evaluation.evaluate` leaves out: for ladders and for sprites.

    Args:
        vae: a `VAE`.
        parameters: dict of all of `PARAMETERS`.
        test: the pair `(images, labels)` of the first test images.

    Returns:
        Dict of numbers: for a ladder `kl_upper`, the KL divergence of its upper level in
        nats/image; for sprites the scores of `disentanglement`.
    """
    images, labels = test
    metrics = {}
    if parameters["architecture"] == "ladder":
        kl = over_batches(lambda batch: vae.draw(vae.moments(batch))[2], images)
        upper, _ = vae.prior.split(kl.mean(axis=0, dtype="float64"))
        metrics["kl_upper"] = float(upper.sum())
    if parameters["dataset"] in SPRITES:
        factors = sprites.split_factors("test")[: len(images)]
        codes = np.asarray(encode(vae, images, labels)[0])
        metrics |= disentanglement(codes, factors, nominal=(sprites.NAMES.index("shape"),))
    return metrics
