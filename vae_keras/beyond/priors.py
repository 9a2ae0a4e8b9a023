"""Trained priors: a mixture of posteriors, and a normal distribution transformed by a flow."""

import math

from vae_keras.beyond.flows import CouplingFlow
from vae_keras.losses import log_normal
from vae_keras.priors import Prior
from vae_keras.runtime import keras, ops


@keras.saving.register_keras_serializable(package="vae_keras")
class VampPrior(Prior):
    """The mixture of the posteriors of trained pseudo-inputs, which `adapt` sets to images.

    Args:
        num_inputs: number of pseudo-inputs, K, at least 1.

    Raises:
        ValueError: if `num_inputs` is out of range; when it joins a model, if that takes labels.

    Reference:
        Tomczak & Welling, 2018, "VAE with a VampPrior", section 3.
    """

    def __init__(self, num_inputs=128, **kwargs):
        super().__init__(**kwargs)
        if num_inputs < 1:
            raise ValueError(f"`num_inputs` must be at least 1. Received: {num_inputs}")
        self.num_inputs = num_inputs

    def attach(self, encoder):
        super().attach(encoder)
        if len(encoder.inputs) > 1:
            raise ValueError("`VampPrior` needs an encoder that takes images only, no labels.")
        self.pseudo_inputs = self.add_weight(
            shape=(self.num_inputs, *encoder.inputs[0].shape[1:]),
            initializer=keras.initializers.RandomUniform(0, 1),
            name="pseudo_inputs",
        )
        # A function, because the encoder's weights belong to the model, not to this layer.
        self.components = lambda: [
            ops.cast(moment, "float32") for moment in encoder(ops.clip(self.pseudo_inputs, 0, 1))
        ]

    def adapt(self, images):
        self.pseudo_inputs.assign(
            images[ops.arange(self.num_inputs) * len(images) // self.num_inputs]
        )

    def log_prob(self, z):
        # Matrix products, because the differences of all codes and components take too much memory.
        mean, log_var = self.components()
        precision = ops.exp(-log_var)
        squares = ops.matmul(ops.square(z), ops.transpose(precision))
        squares -= 2 * ops.matmul(z, ops.transpose(mean * precision))
        constant = ops.sum(mean * mean * precision + log_var + math.log(2 * math.pi), axis=-1)
        log_probs = -0.5 * (squares + constant)
        return ops.logsumexp(log_probs, axis=-1) - math.log(self.num_inputs)

    def sample(self, num_codes, draw):
        # Each of K independent draws is equally likely to be the largest.
        chosen = ops.argmax(self._noise(num_codes, draw, self.num_inputs), axis=-1)
        return draw([ops.take(moment, chosen, axis=0) for moment in self.components()])

    def get_config(self):
        return {**super().get_config(), "num_inputs": self.num_inputs}


@keras.saving.register_keras_serializable(package="vae_keras")
class FlowPrior(Prior):
    """A standard normal distribution, transformed by a `CouplingFlow`.

    Args:
        num_couplings: number of coupling layers.
        hidden_units: hidden units of the network in each layer.

    Reference:
        Dinh et al., 2017, "Density Estimation Using Real NVP", section 3.
    """

    def __init__(self, num_couplings=4, hidden_units=128, **kwargs):
        super().__init__(**kwargs)
        self.flow = CouplingFlow(num_couplings, hidden_units)

    def attach(self, encoder):
        super().attach(encoder)
        self.flow.build((None, self.latent_dim))

    def log_prob(self, z):
        noise, log_det = self.flow(z)
        return log_normal(noise, ops.zeros_like(z), ops.zeros_like(z)) + log_det

    def sample(self, num_codes, draw):
        return self.flow.invert(self._noise(num_codes, draw))

    def get_config(self):
        return {**super().get_config(), **self.flow.sizes}
