"""The variational autoencoder: a Keras model with its own training step."""

import keras
import tensorflow as tf
from keras import ops

from vae_keras.layers import Sampler
from vae_keras.losses import (
    INITIAL_LOG_SCALE,
    LIKELIHOODS,
    free_bits_divergence,
    kl_divergence,
)
from vae_keras.networks import build_decoder, build_encoder
from vae_keras.parameters import check


@keras.saving.register_keras_serializable(package="vae_keras")
class VAE(keras.Model):
    """Variational autoencoder with a standard normal prior and a diagonal normal posterior.

    Images are uint8, or floats in [0, 1]; a conditional model takes pairs of images and integer
    labels. Trained on `reconstruction_loss + kl_weight * kl_divergence`, in nats per image;
    `kl_weight` is a variable that starts at `beta` and that a schedule may move.

    >>> vae = VAE((28, 28, 1), latent_dim=2)
    >>> vae.compile(optimizer="adam")
    >>> vae.fit(images, epochs=10, batch_size=128)  # uint8, (num_images, 28, 28, 1)
    >>> vae.sample(16)  # (16, 28, 28, 1), in [0, 1]

    Networks of one's own are passed as Keras models, the encoder from images to
    `(z_mean, z_log_var)`, the decoder from `z` to logits of the images' shape:

    >>> images = keras.Input((28, 28, 1))
    >>> hidden = keras.layers.Dense(64, activation="relu")(keras.layers.Flatten()(images))
    >>> encoder = keras.Model(images, [keras.layers.Dense(2)(hidden), keras.layers.Dense(2)(hidden)])
    >>> decoder = keras.Sequential(
    ...     [keras.Input((2,)), keras.layers.Dense(784), keras.layers.Reshape((28, 28, 1))]
    ... )
    >>> vae = VAE((28, 28, 1), latent_dim=2, encoder=encoder, decoder=decoder)

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latent dimensions.
        beta: weight of the KL divergence in the training loss, at least 0.
        likelihood: "bce", "mse", "sigma" or "logistic", see `vae_keras.losses`; the last two learn
            their scale, the weight `log_scale`.
        architecture: "residual", "plain", "wide", "small", "mlp" or "deep_mlp", see
            `vae_keras.networks`; not used for a network that is passed.
        free_bits: nats of KL divergence per latent dimension that cost nothing.
        num_classes: if above 0, the model is conditional on a label in `[0, num_classes)`.
        hidden_units: units of the encoder's dense layer; 0 for those of the architecture.
        encoder_shift: pixels by which the images that the encoder is given in training are moved at
            random, at most; those of the loss stay where they are.
        encoder: a `keras.Model` in place of the architecture's encoder.
        decoder: a `keras.Model` in place of the architecture's decoder.
        **kwargs: `name` and `dtype`, the dtype policy of the hidden layers.

    Raises:
        ValueError: if an argument is unknown or out of its range, or a passed network has other
            shapes than `image_shape` and `latent_dim` say.

    Reference:
        Kingma & Welling, 2014, "Auto-Encoding Variational Bayes"; for beta: Higgins et al., 2017,
        "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework".
    """

    def __init__(
        self,
        image_shape,
        latent_dim,
        beta=1.0,
        likelihood="bce",
        architecture="residual",
        free_bits=0.0,
        num_classes=0,
        hidden_units=0,
        encoder_shift=0,
        encoder=None,
        decoder=None,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)
        check(latent_dim=latent_dim, beta=beta, likelihood=likelihood)
        check(architecture=architecture, free_bits=free_bits)
        self.image_shape = tuple(image_shape)
        self.latent_dim = latent_dim
        self.beta = beta
        self.likelihood = likelihood
        self.architecture = architecture
        self.free_bits = free_bits
        self.num_classes = num_classes
        self.hidden_units = hidden_units
        self.encoder_shift = encoder_shift
        self._own_networks = {"encoder": encoder is not None, "decoder": decoder is not None}
        network = (architecture, self.image_shape, latent_dim, num_classes, self.dtype_policy)
        if encoder is None:
            encoder = build_encoder(*network, hidden_units, encoder_shift)
        self.encoder = encoder
        self.decoder = decoder if decoder is not None else build_decoder(*network)
        self._check_networks()
        self.sampler = Sampler(dtype="float32", name="z")
        self.kl_weight = self.add_weight(
            shape=(), initializer="zeros", trainable=False, dtype="float32", name="kl_weight"
        )
        self.kl_weight.assign(beta)
        self.log_scale = None
        if likelihood in INITIAL_LOG_SCALE:
            self.log_scale = self.add_weight(
                shape=(), initializer="zeros", dtype="float32", name="log_scale"
            )
            self.log_scale.assign(INITIAL_LOG_SCALE[likelihood])
        self.trackers = [
            keras.metrics.Mean(name=name)
            for name in ("loss", "reconstruction_loss", "kl_divergence")
        ]
        self.built = True

    def encode(self, images, labels=None, training=False):
        """Maps images to the parameters of their posteriors.

        Args:
            images: uint8, or floats in [0, 1], `(batch_size, height, width, channels)`.
            labels: integers, `(batch_size,)`; of a conditional model only.
            training: whether layers that differ in training, such as dropout, do as in training.

        Returns:
            Pair `(z_mean, z_log_var)`, each `(batch_size, latent_dim)`.
        """
        inputs = self._with_labels(_to_unit_range(images), labels)
        z_mean, z_log_var = self.encoder(inputs, training=training)
        return ops.cast(z_mean, "float32"), ops.cast(z_log_var, "float32")

    def decode(self, z, labels=None):
        """Maps latent codes to images.

        Args:
            z: latent codes, `(batch_size, latent_dim)`.
            labels: integers, `(batch_size,)`; of a conditional model only.

        Returns:
            Images in [0, 1], `(batch_size, height, width, channels)`.
        """
        return ops.sigmoid(self._logits(z, labels))

    def reconstruct(self, images, labels=None):
        """Decodes the posteriors' means of images.

        Args:
            images: uint8, or floats in [0, 1], `(batch_size, height, width, channels)`.
            labels: integers, `(batch_size,)`; of a conditional model only.

        Returns:
            Images in [0, 1], `(batch_size, height, width, channels)`.
        """
        return self.decode(self.encode(images, labels)[0], labels)

    def sample(self, num_images, labels=None):
        """Decodes draws from the prior.

        Args:
            num_images: number of images, at least 1.
            labels: integers, `(num_images,)`; of a conditional model only.

        Returns:
            Images in [0, 1], `(num_images, height, width, channels)`.
        """
        prior = ops.zeros((num_images, self.latent_dim))
        return self.decode(self.sampler((prior, prior)), labels)

    def call(self, inputs):
        """Reconstructs images, or pairs of images and labels, from the posteriors' means."""
        return self.reconstruct(*keras.utils.unpack_x_y_sample_weight(inputs)[:2])

    def reconstruction_loss(self, images, z, labels=None, training=False):
        """Computes the negative log-likelihood of images, given their latent codes.

        Args:
            images: uint8, or floats in [0, 1], `(batch_size, height, width, channels)`.
            z: latent codes, `(batch_size, latent_dim)`.
            labels: integers, `(batch_size,)`; of a conditional model only.
            training: as for `encode`.

        Returns:
            Nats per image, `(batch_size,)`, summed over pixels and channels.
        """
        logits = self._logits(z, labels, training)
        scale = () if self.log_scale is None else (self.log_scale,)
        return LIKELIHOODS[self.likelihood](_to_unit_range(images), logits, *scale)

    @property
    def metrics(self):
        return self.trackers

    def train_step(self, data):
        with tf.GradientTape() as tape:
            terms = self._terms(data, training=True)
            loss = ops.mean(terms["loss"])
            # Keras adds up the gradients of all replicas.
            loss = loss / tf.distribute.get_strategy().num_replicas_in_sync
            loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights))
        return self._track(terms)

    def test_step(self, data):
        return self._track(self._terms(data))

    def get_config(self):
        config = super().get_config()
        for name, own in self._own_networks.items():
            network = getattr(self, name) if own else None
            config[name] = keras.saving.serialize_keras_object(network)
        return {
            **config,
            "image_shape": self.image_shape,
            "latent_dim": self.latent_dim,
            "beta": self.beta,
            "likelihood": self.likelihood,
            "architecture": self.architecture,
            "free_bits": self.free_bits,
            "num_classes": self.num_classes,
            "hidden_units": self.hidden_units,
            "encoder_shift": self.encoder_shift,
        }

    @classmethod
    def from_config(cls, config):
        for name in ("encoder", "decoder"):
            config[name] = keras.saving.deserialize_keras_object(config[name])
        return cls(**config)

    def _terms(self, data, training=False):
        """Computes what is minimised and tracked, `(batch_size,)` each, from one draw of z."""
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        posterior = self.encode(images, labels, training)
        z = self.sampler(posterior)
        reconstruction_loss = self.reconstruction_loss(images, z, labels, training)
        kl = kl_divergence(*posterior)
        rate = free_bits_divergence(*posterior, self.free_bits) if self.free_bits else kl
        return {
            "loss": reconstruction_loss + self.kl_weight * rate,
            "reconstruction_loss": reconstruction_loss,
            "kl_divergence": kl,
        }

    def _track(self, terms):
        for tracker in self.trackers:
            tracker.update_state(terms[tracker.name])
        return self.get_metrics_result()

    def _logits(self, z, labels, training=False):
        return ops.cast(self.decoder(self._with_labels(z, labels), training=training), "float32")

    def _with_labels(self, inputs, labels):
        if not self.num_classes:
            return inputs
        if labels is None:
            raise ValueError(
                f"`labels` must be given to a conditional model: integers from 0 to "
                f"{self.num_classes - 1}, one for each image. Received: None"
            )
        return [ops.convert_to_tensor(inputs), ops.one_hot(labels, self.num_classes)]

    def _check_networks(self):
        expected = {
            "encoder": [(None, self.latent_dim)] * 2,
            "decoder": [(None, *self.image_shape)],
        }
        for name, shapes in expected.items():
            received = [tuple(output.shape) for output in getattr(self, name).outputs]
            if received != shapes:
                raise ValueError(
                    f"`{name}` must have outputs of the shapes {shapes}, as `image_shape` and "
                    f"`latent_dim` say. Received: {received}"
                )


def _to_unit_range(images):
    """Converts uint8 images to floats in [0, 1]; floats are there already."""
    if keras.backend.standardize_dtype(images.dtype) == "uint8":
        return ops.cast(images, "float32") / 255.0
    return ops.cast(images, "float32")
