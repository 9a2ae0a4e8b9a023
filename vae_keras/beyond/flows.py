"""An invertible network whose Jacobian determinant is known."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="vae_keras")
class CouplingFlow(keras.layers.Layer):
    """Affine coupling layers: each scales and shifts one half of the numbers, given the other.

    The halves change places after each layer. It starts as the identity, up to the order of the
    dimensions. Logarithms of scales stay within (-1, 1) in each layer.

    Args:
        num_couplings: number of layers; with two or more every dimension is changed.
        hidden_units: units of the network in each of them.

    Call arguments:
        z: `(batch_size, dim)`, two dimensions or more.
        context: what the networks also read, `(batch_size, context_dim)`, or None.

    Returns:
        Pair of the images of `z`, of the same shape, and of the logarithm of the absolute
        determinant of the Jacobian there, `(batch_size,)`.

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
        layer, self.networks = keras.layers.Dense, []
        for _ in range(self.num_couplings):
            last = layer(2 * (dim - self.num_kept), kernel_initializer="zeros", dtype="float32")
            network = keras.Sequential(
                [layer(self.hidden_units, "relu", dtype="float32"), last], name="coupling"
            )
            network.build((None, self.num_kept + (context_shape[-1] if context_shape else 0)))
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
        """Returns what the flow maps to `z`, of the same shape."""
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
        """The arguments of the constructor, for the configuration of whatever holds the flow."""
        return {"num_couplings": self.num_couplings, "hidden_units": self.hidden_units}

    def get_config(self):
        return {**super().get_config(), **self.sizes}
