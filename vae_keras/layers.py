"""Keras layers: a sampler of codes, and the residual block."""

from vae_keras.runtime import keras, ops


@keras.saving.register_keras_serializable(package="vae_keras")
class Sampler(keras.layers.Layer):
    """Draws `z = z_mean + exp(z_log_var / 2) * noise` with standard normal noise.

    Args:
        seed: integer seed of the noise; `None` derives one from Keras's global seed.

    Call arguments:
        inputs: pair `(z_mean, z_log_var)`, each `(batch_size, latent_dim)`.

    Output shape:
        `(batch_size, latent_dim)`, in the dtype of `z_mean`.

    Reference:
        Kingma & Welling, 2014, "Auto-Encoding Variational Bayes", section 2.4.
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs):
        z_mean, z_log_var = inputs
        noise = keras.random.normal(ops.shape(z_mean), dtype=z_mean.dtype, seed=self.seed_generator)
        return z_mean + ops.exp(0.5 * z_log_var) * noise

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable(package="vae_keras")
class ResidualBlock(keras.layers.Layer):
    """Adds the output of two convolutions to the input: `relu(x + conv(relu(conv(x))))`.

    Args:
        filters: channels of the input and the output.
        kernel_size: side of the square kernels.

    Call arguments:
        inputs: feature maps, `(batch_size, height, width, filters)`.

    Output shape:
        Same as the input.

    Raises:
        ValueError: if the input does not have `filters` channels.

    Reference:
        He et al., 2016, "Deep Residual Learning for Image Recognition", figure 2.
    """

    def __init__(self, filters, kernel_size=3, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        settings = dict(padding="same", dtype=self.dtype_policy)
        self.conv_1 = keras.layers.Conv2D(filters, kernel_size, activation="relu", **settings)
        self.conv_2 = keras.layers.Conv2D(filters, kernel_size, **settings)

    def build(self, input_shape):
        if input_shape[-1] != self.filters:
            raise ValueError(
                f"`filters` must equal the channels of the input, {input_shape[-1]}. "
                f"Received: {self.filters}"
            )
        self.conv_1.build(input_shape)
        self.conv_2.build(input_shape)

    def call(self, inputs):
        return ops.relu(inputs + self.conv_2(self.conv_1(inputs)))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
        }
