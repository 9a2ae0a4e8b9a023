"""A posterior that is more flexible than a diagonal normal distribution."""

from vae_keras.beyond.flows import CouplingFlow
from vae_keras.posteriors import DiagonalNormal
from vae_keras.priors import Prior
from vae_keras.runtime import keras, ops


@keras.saving.register_keras_serializable(package="vae_keras")
class FlowPosterior(DiagonalNormal):
    """A diagonal normal, transformed by a `CouplingFlow` with the encoder's outputs as context.

    Args:
        num_couplings: number of coupling layers.
        hidden_units: hidden units of the network in each layer.

    References:
        Rezende & Mohamed, 2015, "Variational Inference with Normalizing Flows", section 4; for the
        context: Kingma et al., 2016, "Improved Variational Inference with Inverse Autoregressive
        Flow", section 3.
    """

    def __init__(self, num_couplings=4, hidden_units=128, **kwargs):
        super().__init__(**kwargs)
        self.flow = CouplingFlow(num_couplings, hidden_units)

    def attach(self, encoder):
        latent_dim = encoder.outputs[0].shape[-1]
        self.flow.build((None, latent_dim), (None, 2 * latent_dim))

    def center(self, moments, prior):
        z, log_det = self.flow(moments[0], ops.concatenate(moments, axis=-1))
        # Spreads the change of volume evenly over the dimensions.
        return z, moments[1] + 2 * log_det[:, None] / z.shape[-1]

    def sample(self, moments, prior, draw):
        noise, log_q = super().sample(moments, prior, draw)
        z, log_det = self.flow(noise, ops.concatenate(moments, axis=-1))
        return z, log_q - log_det

    def kl_parts(self, moments, z, log_q, prior):
        return Prior.kl_parts(prior, moments, z, log_q)  # from one draw, with any prior

    def get_config(self):
        return {**super().get_config(), **self.flow.sizes}
