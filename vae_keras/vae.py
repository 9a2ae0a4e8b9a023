"""The variational autoencoder: a Keras model with its own training step."""

import math
import numbers

import numpy as np

from vae_keras import beyond  # noqa: F401, for saved models: registers its classes
from vae_keras.checks import (
    check_compiled,
    check_images,
    check_labels,
    check_networks,
    check_schedule,
    last_layer,
)
from vae_keras.layers import Sampler
from vae_keras.losses import LIKELIHOODS, SCALES
from vae_keras.objectives import ELBO, Draw
from vae_keras.posteriors import DiagonalNormal
from vae_keras.priors import Prior, StandardNormal
from vae_keras.published import pretrained
from vae_keras.runtime import keras, ops, tf

NUM_ADAPTED = 10_000  # `adapt` thins out larger sets, to no fewer images than this
PARTS = ("encoder", "decoder", "prior", "posterior", "objective")


@keras.saving.register_keras_serializable(package="vae_keras")
class VAE(keras.Model):
    """Variational autoencoder, by default with standard normal prior and diagonal normal posterior.

    It minimises `reconstruction_loss + kl_weight * kl_divergence`, in nats per image, plus the
    networks' regularizers. `kl_weight` is a variable that starts at `beta`; `KLSchedule` changes
    it. The image shape, the latent size and the number of classes follow from the two networks.

    >>> vae = VAE(*build_networks("residual", (28, 28, 1), latent_dim=32))
    >>> vae.adapt(images)  # uint8, (num_images, 28, 28, 1)
    >>> vae.compile(optimizer="adam")
    >>> vae.fit(images, epochs=10, batch_size=64)
    >>> vae.sample(16)  # (16, 28, 28, 1), in [0, 1]

    A conditional model is fitted to images and integer labels: `vae.fit(images, labels)`.

    Args:
        encoder: `keras.Model` that maps images in [0, 1], `(batch_size, height, width, channels)`,
            to the list `[z_mean, z_log_var]`, each `(batch_size, latent_dim)`.
        decoder: `keras.Model` that maps codes, `(batch_size, latent_dim)`, to logits of the images'
            shape. Both may take one-hot labels, `(batch_size, num_classes)`, as a second input.
        likelihood: `"bce"`, `"mse"`, `"sigma"` or `"logistic"`, see `vae_keras.losses`. The last
            two learn their scale, the weight `log_scale`.
        beta: weight of the KL divergence in the training loss, at least 0.
        free_bits: free nats of KL divergence per latent dimension, at least 0.
        prior: a `Prior`, by default `StandardNormal()`; `vae_keras.beyond.priors` has others.
        posterior: by default `DiagonalNormal()`; `vae_keras.beyond.posteriors` has another.
        objective: by default `ELBO()`; `vae_keras.beyond.objectives` has others.
        **kwargs: `name` and `dtype` of the model.

    Raises:
        ValueError: if the networks do not fit together, or another argument is out of range.

    Reference:
        Kingma & Welling, 2014, "Auto-Encoding Variational Bayes"; for beta: Higgins et al., 2017,
        "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework".
    """

    def __init__(
        self,
        encoder,
        decoder,
        likelihood="bce",
        beta=1.0,
        free_bits=0.0,
        prior=None,
        posterior=None,
        objective=None,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)
        if likelihood not in LIKELIHOODS:
            raise ValueError(
                f"`likelihood` must be one of {', '.join(LIKELIHOODS)}. Received: {likelihood!r}"
            )
        for name, value in (("beta", beta), ("free_bits", free_bits)):
            if not isinstance(value, numbers.Real) or not 0 <= value < math.inf:
                raise ValueError(
                    f"`{name}` must be a finite number, at least 0. Received: {value!r}"
                )
        self.image_shape, self.latent_dim, self.num_classes = check_networks(encoder, decoder)
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood
        self.free_bits = free_bits
        self.sampler = Sampler(dtype="float32", name="z")
        self.prior = prior or StandardNormal()
        self.posterior = posterior or DiagonalNormal()
        self.objective = objective or ELBO()
        for name, base in (("prior", Prior), ("posterior", DiagonalNormal), ("objective", ELBO)):
            if not isinstance(getattr(self, name), base):
                raise ValueError(
                    f"`{name}` must be an instance of a subclass of `{base.__name__}`. "
                    f"Received: {getattr(self, name)!r}"
                )
        self.prior.attach(encoder)
        self.posterior.attach(encoder)
        self.kl_weight = self.add_weight(
            shape=(), initializer="zeros", trainable=False, dtype="float32", name="kl_weight"
        )
        self.beta = beta
        self.log_scale = None
        if likelihood in SCALES:
            self.log_scale = self.add_weight(
                shape=(), initializer="zeros", dtype="float32", name="log_scale"
            )
            self.log_scale.assign(math.log(0.25 * SCALES[likelihood]))
        self.trackers = [
            keras.metrics.Mean(name=name)
            for name in ("loss", "reconstruction_loss", "kl_divergence")
        ]
        self.built = True

    @property
    def beta(self):
        """Weight of the KL divergence; a new value is assigned to `kl_weight`, too."""
        return self._beta

    @beta.setter
    def beta(self, value):
        self._beta = value
        self.kl_weight.assign(value)

    def adapt(self, images):
        """Initialises the model from statistics of its data; call it once, before training.

        Sets the bias of the decoder's logits to the mean grey level of each channel, a learned
        scale to the deviation of the pixels around it, and a prior's pseudo-inputs to images.

        Args:
            images: uint8, or floats in [0, 1], `(num_images, height, width, channels)`; large sets
                are thinned out evenly, to no fewer than 10,000.

        Raises:
            ValueError: if the decoder's last layer with weights has no bias for each channel, or
                there are no images, or they are of another shape or range.
        """
        check_images(images, self.image_shape)
        if not len(images):
            raise ValueError("`adapt` needs at least one image. Received: none")
        pixels = np.asarray(images[:: max(1, len(images) // NUM_ADAPTED)])
        scale = 255 if pixels.dtype == "uint8" else 1
        pixels = pixels.astype("float32") / np.float32(scale)  # not on a GPU: it is too large
        self.prior.adapt(pixels)
        mean = np.clip(pixels.mean(axis=(0, 1, 2), dtype="float64"), 1 / 512, 1 - 1 / 512)
        bias = getattr(last_layer(self.decoder, lambda layer: layer.weights), "bias", None)
        if bias is None or math.prod(bias.shape) % len(mean):
            raise ValueError(
                "`adapt` needs a decoder whose last layer with weights has a bias for each "
                f"channel, {len(mean)}. Received: a bias of shape {getattr(bias, 'shape', None)}. "
                "Train without `adapt`, or give that layer a bias"
            )
        bias.assign(np.resize(np.log(mean / (1 - mean)), bias.shape))
        if self.log_scale is not None:
            deviation = math.sqrt(pixels.var(axis=(0, 1, 2), dtype="float64").mean())
            self.log_scale.assign(math.log(max(deviation, 1 / 512) * SCALES[self.likelihood]))

    def fit(self, x=None, y=None, *args, **kwargs):
        self._check_inputs(x, y, **kwargs)
        if kwargs.get("epochs", 1) > kwargs.get("initial_epoch", 0):
            check_schedule(self)
        if isinstance(x, tf.data.Dataset):
            kwargs.setdefault("shuffle", False)  # Keras's default only gives a warning
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        self._check_inputs(x, y, **kwargs)
        return super().evaluate(x, y, *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        self._check_inputs(*keras.utils.unpack_x_y_sample_weight(x))
        return super().predict(x, *args, **kwargs)

    def export(self, filepath, format="tf_saved_model", input_signature=None, **kwargs):
        if input_signature is None:
            images = keras.InputSpec("uint8", (None, *self.image_shape))
            labels = keras.InputSpec("int32", (None,))
            input_signature = [(images, labels) if self.num_classes else images]
        return super().export(filepath, format, input_signature=input_signature, **kwargs)

    def encode(self, images, labels=None):
        """Maps images to the means and logarithms of variances of their posteriors.

        Args:
            images: uint8, or floats in [0, 1], `(batch_size, height, width, channels)`.
            labels: integers, `(batch_size,)`; an unconditional model ignores them.

        Returns:
            The pair `(z_mean, z_log_var)`, each `(batch_size, latent_dim)`; with another posterior,
            see its `center`.

        Raises:
            ValueError: if the images are of another type, shape or range, or labels are missing or
                out of range.
        """
        return self.posterior.center(self.moments(images, labels), self.prior)

    def moments(self, images, labels=None):
        """Returns the encoder's outputs, the input of `posterior`; arguments as for `encode`."""
        return self._moments(self._to_unit_range(images), labels)

    def _moments(self, images, labels, training=False):
        z_mean, z_log_var = self.encoder(self._with_labels(images, labels), training=training)
        return ops.cast(z_mean, "float32"), ops.cast(z_log_var, "float32")

    def draw(self, moments):
        """Draws a code from the posterior of each image.

        Args:
            moments: the result of `moments`.

        Returns:
            The codes, `(batch_size, latent_dim)`; their log q(z given x) in nats, `(batch_size,)`;
            and the parts of the KL divergence, see `Prior.kl_parts`.
        """
        z, log_q = self.posterior.sample(moments, self.prior, self.sampler)
        return z, log_q, self.posterior.kl_parts(moments, z, log_q, self.prior)

    def logits(self, z, labels=None, training=False):
        """Maps latent codes to logits, `(batch_size, height, width, channels)`.

        Args:
            z: latent codes, `(batch_size, latent_dim)`.
            labels: integers, `(batch_size,)`; an unconditional model ignores them.
            training: whether to run layers such as dropout in training mode.

        Raises:
            ValueError: if labels are missing or out of range.
        """
        return ops.cast(self.decoder(self._with_labels(z, labels), training=training), "float32")

    def decode(self, z, labels=None):
        """Maps latent codes to images in [0, 1]; arguments and shapes as for `logits`."""
        return ops.sigmoid(self.logits(z, labels))

    def reconstruct(self, images, labels=None):
        """Decodes the posterior means of images, to [0, 1]; arguments as for `encode`."""
        return self.decode(self.encode(images, labels)[0], labels)

    def sample(self, num_images, labels=None, codes=None):
        """Decodes draws from the prior.

        Args:
            num_images: number of images, at least 1.
            labels: integers, `(num_images,)`; an unconditional model ignores them.
            codes: distribution of the codes in place of the model's prior: another `Prior`, or one
                fitted to training codes, such as `evaluation.fitted.Mixture`.

        Returns:
            Images in [0, 1], `(num_images, height, width, channels)`.

        Raises:
            ValueError: if `num_images` is out of range, or labels are missing or out of range.
        """
        if not isinstance(num_images, numbers.Integral) or num_images < 1:
            raise ValueError(
                f"`num_images` must be a whole number, at least 1. Received: {num_images!r}"
            )
        return self.decode((codes or self.prior).sample(num_images, self.sampler), labels)

    def call(self, inputs):
        """Reconstructs images, or pairs of images and labels, from their posterior means."""
        return self.reconstruct(*keras.utils.unpack_x_y_sample_weight(inputs)[:2])

    def reconstruction_loss(self, images, z, labels=None):
        """Computes the negative log-likelihood of images, given their latent codes.

        Args:
            images: see `encode`.
            z: latent codes, `(batch_size, latent_dim)`.
            labels: see `encode`.

        Returns:
            Nats per image, `(batch_size,)`, summed over pixels and channels.
        """
        return self._likelihood(self._to_unit_range(images), self.logits(z, labels))

    @classmethod
    def from_pretrained(cls, source):
        """Loads a trained model, without executing code that comes with it.

        >>> VAE.from_pretrained("fashion_mnist-z32").sample(16)

        Args:
            source: name of a published model, whose files are checked by their SHA-256; path of a
                folder or a `.keras` file; or `hf://user/name` on the Hugging Face Hub.

        Raises:
            ValueError: if there is no such model, or it is not a `VAE`.
            OSError: if a download fails, or a published file is damaged.
            ImportError: if `hf://` needs `huggingface_hub`, and it is not installed.
        """
        model = pretrained.load(source)
        if not isinstance(model, cls):
            raise ValueError(f"`source` must be a `VAE`. Received: {type(model).__name__}")
        return model

    def save_pretrained(self, folder):
        """Writes the model for `from_pretrained`: float16 weights and a short model card.

        Args:
            folder: path of the folder; files in it are overwritten.

        Raises:
            ValueError: if a weight is not finite, or too large for float16.
        """
        pretrained.save(self, folder)

    @property
    def metrics(self):
        return self.trackers

    def train_step(self, data):
        with tf.GradientTape() as tape:
            terms = self._terms(data, training=True)
            loss = _global_mean(terms["loss"])
            loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        return self._track(terms)

    def test_step(self, data):
        return self._track(self._terms(data))

    def get_config(self):
        return {
            **super().get_config(),
            "likelihood": self.likelihood,
            "beta": self.beta,
            "free_bits": self.free_bits,
            **{part: keras.saving.serialize_keras_object(getattr(self, part)) for part in PARTS},
        }

    @classmethod
    def from_config(cls, config):
        parts = {part: keras.saving.deserialize_keras_object(config[part]) for part in PARTS}
        return cls(**{**config, **parts})

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Only the optimizer is left to build. Keras would build it from the mean image of all
        # replicas, which fails for uint8 across hosts and for batches that do not divide evenly.
        if self.optimizer is not None and not self.optimizer.built:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)

    def _terms(self, data, training=False):
        """Computes the loss and the other tracked terms, `(batch_size,)` each."""
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        images = self._to_unit_range(images)
        moments = self._moments(images, labels, training)
        draws = [
            self._draw(images, labels, moments, training) for _ in range(self.objective.num_draws)
        ]
        kl_divergences = [ops.sum(draw.kl_parts, axis=-1) for draw in draws]
        loss = self.objective.loss(self, images, moments, draws)
        for regularizer in self.losses:  # of the networks
            loss += ops.cast(regularizer, "float32")
        return {
            "loss": loss,
            "reconstruction_loss": sum(draw.reconstruction_loss for draw in draws) / len(draws),
            "kl_divergence": sum(kl_divergences) / len(draws),
        }

    def _draw(self, images, labels, moments, training):
        z, log_q, kl_parts = self.draw(moments)
        logits = self.logits(z, labels, training)
        return Draw(z, log_q, kl_parts, logits, self._likelihood(images, logits))

    def _likelihood(self, images, logits):
        scale = () if self.log_scale is None else (self.log_scale,)
        return LIKELIHOODS[self.likelihood](images, logits, *scale)

    def _track(self, terms):
        for tracker in self.trackers:
            tracker.update_state(terms[tracker.name])
        logs = self.get_metrics_result()
        if isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy):
            logs = {name: value[None] for name, value in logs.items()}  # Keras takes a mean of them
        return logs

    def _with_labels(self, inputs, labels):
        if not self.num_classes:
            return inputs
        check_labels(labels, self.num_classes, inputs.shape[0])
        return [ops.convert_to_tensor(inputs), ops.one_hot(labels, self.num_classes)]

    def _to_unit_range(self, images):
        check_images(images, self.image_shape)
        images = ops.convert_to_tensor(images)
        if tf.is_tensor(images):
            images.set_shape((None, *self.image_shape))
        if keras.backend.standardize_dtype(images.dtype) == "uint8":
            return ops.cast(images, "float32") / 255.0
        images = ops.cast(images, "float32")
        # XLA, which Keras uses on a GPU, skips the assertion in `check_images`.
        return ops.where((images >= 0) & (images <= 1), images, math.nan)

    def _check_inputs(self, x, y, sample_weight=None, class_weight=None, **_):
        """Checks the arrays or the first batch of `fit`, `evaluate` or `predict`, and `compile`."""
        check_compiled(self)
        if isinstance(x, tf.data.Dataset):
            first = next(iter(x.take(1)), None)
            x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(first)
        if sample_weight is not None or class_weight is not None:
            raise ValueError("weights of samples or classes are not supported")
        if hasattr(x, "dtype") or isinstance(x, (tuple, list, dict)):
            check_images(x, self.image_shape)
            if self.num_classes:
                check_labels(y, self.num_classes, len(x))


def _global_mean(values):
    """Returns this replica's part of the mean over the images of all replicas.

    Keras sums the gradients of all replicas. In the last batch they may get unequal numbers of
    images, or none.
    """
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return ops.mean(values)
    num_images = tf.cast(tf.size(values), values.dtype)
    replica = tf.distribute.get_replica_context()
    return ops.sum(values) / replica.all_reduce(tf.distribute.ReduceOp.SUM, num_images)
