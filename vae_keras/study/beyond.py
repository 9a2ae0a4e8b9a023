"""The parts of a model that the parameters of notebook 08 name, and what is measured of them."""

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
    """Builds what a `VAE` takes besides its networks.

    Args:
        parameters: dict of every one of `PARAMETERS` and of `BEYOND`.
        image_shape: `(height, width, channels)`.

    Returns:
        Dict of those arguments of `VAE` that are not as usual: `prior`, `posterior`, `objective`.
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
    """Measures what `evaluation.evaluate` does not: a ladder's levels, and known factors.

    Args:
        vae: a `VAE`.
        parameters: dict of every one of `PARAMETERS`.
        test: the pair `(images, labels)` of the first test images.

    Returns:
        Dict of numbers: `kl_upper` of a ladder, nats/image, the KL divergence of its upper level;
        of sprites the scores of `disentanglement`.
    """
    images, labels = test
    metrics = {}
    if parameters["architecture"] == "ladder":

        def kl_parts(images):
            return vae.draw(vae.moments(images))[2]

        parts = over_batches(kl_parts, images).mean(axis=0, dtype="float64")
        metrics["kl_upper"] = float(vae.prior.split(parts)[0].sum())
    if parameters["dataset"] in SPRITES:
        factors = sprites.split_factors("test")[: len(images)]
        codes = np.asarray(encode(vae, images, labels)[0])
        metrics |= disentanglement(codes, factors, nominal=(sprites.NAMES.index("shape"),))
    return metrics
