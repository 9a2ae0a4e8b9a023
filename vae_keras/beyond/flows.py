"""An invertible network with a known Jacobian determinant."""

from vae_keras.runtime import keras, ops


@keras.saving.register_keras_serializable(package="vae_keras")
class CouplingFlow(keras.layers.Layer):
    """Affine coupling layers: each scales and shifts half of the dimensions, given the other half.

    The halves swap after each layer. The flow starts as the identity, up to the order of the
    dimensions. Logarithms of scales stay within (-1, 1) in each layer.

    Args:
        num_couplings: number of layers; two or more change every dimension.
        hidden_units: hidden units of the network in each layer.

    Call arguments:
        z: `(batch_size, dim)`, two dimensions or more.
        context: further inputs of the networks, `(batch_size, context_dim)`, or None.

    Returns:
        The transformed `z`, of the same shape, and the logarithm of the absolute determinant of
        the Jacobian at `z`, `(batch_size,)`.

    Raises:
        ValueError: if there are fewer than two dimensions.

    Reference:
        Dinh et al., 2017, "Density Estimation Using Real NVP", sections 3.2 to 3.5.
    """

    def __init__(self, num_couplings=4, hidden_units=128, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.num_couplings = num_couplings
        self.hidden_units = hidden_units

    def build(self, z_shape, context_shape=None):
        dim = z_shape[-1]
        if dim < 2:
            raise ValueError(f"a `CouplingFlow` needs two dimensions or more. Received: {dim}")
        self.num_kept = dim // 2
        num_moved = dim - self.num_kept
        num_inputs = self.num_kept + (context_shape[-1] if context_shape else 0)
        self.networks = []
        for _ in range(self.num_couplings):
            layers = [
                keras.layers.Dense(self.hidden_units, "relu", dtype="float32"),
                keras.layers.Dense(2 * num_moved, kernel_initializer="zeros", dtype="float32"),
            ]
            network = keras.Sequential(layers, name="coupling")
            network.build((None, num_inputs))
            self.networks.append(network)

    def call(self, z, context=None):
        log_det = 0.0
        for network in self.networks:
            kept, moved = z[..., : self.num_kept], z[..., self.num_kept :]
            shift, log_scale = self._coupling(network, kept, context)
            z = ops.concatenate([moved * ops.exp(log_scale) + shift, kept], axis=-1)
            log_det += ops.sum(log_scale, axis=-1)
        return z, log_det

    def invert(self, z, context=None):
        """Returns the input that the flow maps to `z`, of the same shape."""
        for network in reversed(self.networks):
            moved, kept = z[..., : -self.num_kept], z[..., -self.num_kept :]
            shift, log_scale = self._coupling(network, kept, context)
            z = ops.concatenate([kept, (moved - shift) * ops.exp(-log_scale)], axis=-1)
        return z

    def _coupling(self, network, kept, context):
        inputs = kept if context is None else ops.concatenate([kept, context], axis=-1)
        shift, log_scale = ops.split(network(inputs), 2, axis=-1)
        return shift, ops.tanh(log_scale)

    @property
    def sizes(self):
        """The constructor's arguments, for the configuration of the prior or posterior."""
        return {"num_couplings": self.num_couplings, "hidden_units": self.hidden_units}

    def get_config(self):
        return {**super().get_config(), **self.sizes}
