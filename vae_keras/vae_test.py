import keras
import numpy as np
import pytest
import tensorflow as tf

from vae_keras.losses import kl_divergence
from vae_keras.networks import build_networks
from vae_keras.recipe import build_optimizer
from vae_keras.runtime import dtype_policy
from vae_keras.vae import VAE

SHAPE = (8, 8, 1)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, *SHAPE), dtype=np.uint8)
LABELS = np.arange(40) % 3


def without_noise(vae):
    """Makes the posterior so narrow that a draw is its mean."""
    layer = vae.encoder.get_layer("z_log_var")
    layer.kernel.assign(np.zeros(layer.kernel.shape))
    layer.bias.assign([-60.0, -60.0])
    return vae


def test_shapes_and_ranges(build_vae):
    vae = build_vae()
    z_mean, z_log_var = vae.encode(IMAGES)
    assert z_mean.shape == z_log_var.shape == (40, 2)
    for images in (vae.decode(z_mean), vae.reconstruct(IMAGES), vae.sample(40)):
        assert images.shape == (40, *SHAPE)
        assert np.min(images) >= 0 and np.max(images) <= 1
    assert vae.predict(IMAGES, verbose=0).shape == IMAGES.shape


def test_uint8_and_unit_range_are_the_same_images(build_vae):
    vae = build_vae()
    floats = (IMAGES / 255).astype("float32")
    np.testing.assert_allclose(vae.reconstruct(IMAGES), vae.reconstruct(floats), atol=1e-6)


@pytest.mark.parametrize("likelihood", ["bce", "mse"])
def test_terms_match_numpy(build_vae, likelihood):
    vae = without_noise(build_vae(likelihood=likelihood, beta=3.0))
    logs = vae.evaluate(IMAGES, batch_size=40, verbose=0, return_dict=True)
    x, z_mean = IMAGES / 255, np.asarray(vae.encode(IMAGES)[0], "float64")
    p = np.asarray(vae.decode(z_mean), "float64")
    per_pixel = {
        "bce": -(x * np.log(p) + (1 - x) * np.log(1 - p)),
        "mse": 0.5 * (x - p) ** 2,
    }[likelihood]
    reconstruction_loss = per_pixel.sum(axis=(1, 2, 3)).mean()
    kl = 0.5 * (z_mean**2 + np.exp(-60.0) + 60.0 - 1).sum(axis=1).mean()
    np.testing.assert_allclose(logs["reconstruction_loss"], reconstruction_loss, rtol=1e-5)
    np.testing.assert_allclose(logs["kl_divergence"], kl, rtol=1e-5)
    np.testing.assert_allclose(logs["loss"], reconstruction_loss + 3 * kl, rtol=1e-5)


@pytest.mark.parametrize("likelihood", ["sigma", "logistic"])
def test_the_scale_is_learned_and_saved(build_vae, likelihood, tmp_path):
    vae = build_vae(likelihood=likelihood)
    before = float(vae.log_scale)
    vae.fit(np.full_like(IMAGES, 128), epochs=3, batch_size=8, verbose=0)
    assert float(vae.log_scale) < before  # flat images: the decoder is nearly right from the start
    vae.save(tmp_path / "model.keras")
    assert float(keras.models.load_model(tmp_path / "model.keras").log_scale) == float(
        vae.log_scale
    )


def test_only_learned_scales_are_weights(build_vae):
    assert build_vae(likelihood="mse").log_scale is None
    assert len(build_vae().trainable_weights) + 1 == len(
        build_vae(likelihood="sigma").trainable_weights
    )


def test_a_split_set_evaluates_as_the_whole(build_vae):
    vae = without_noise(build_vae())
    whole = vae.evaluate(IMAGES, batch_size=40, verbose=0, return_dict=True)
    split = vae.evaluate(IMAGES, batch_size=16, verbose=0, return_dict=True)  # 16, 16, 8
    np.testing.assert_allclose(list(split.values()), list(whole.values()), rtol=1e-6)


def test_training_and_validation_have_the_same_objective(build_vae):
    vae = without_noise(build_vae(beta=0.5, free_bits=0.1))
    vae.compile(optimizer=keras.optimizers.SGD(0.0))
    history = vae.fit(IMAGES, validation_data=(IMAGES,), batch_size=40, verbose=0).history
    for name in ("loss", "reconstruction_loss", "kl_divergence"):
        np.testing.assert_allclose(history[name], history[f"val_{name}"], rtol=1e-6)


def test_evaluation_draws_z(build_vae):
    vae = build_vae()
    losses = {vae.evaluate(IMAGES, verbose=0, return_dict=True)["loss"] for _ in range(3)}
    assert len(losses) == 3


def test_training_lowers_the_loss_and_is_reproducible(build_vae):
    histories = []
    for _ in range(2):
        vae = build_vae()
        history = vae.fit(np.sort(IMAGES, axis=1), epochs=8, batch_size=8, verbose=0).history
        histories.append(history["loss"])
    assert histories[0][-1] < histories[0][0] - 4  # rows get brighter downwards: quick to learn
    np.testing.assert_allclose(histories[0], histories[1], rtol=1e-5)


def test_kl_weight_is_read_in_every_step(build_vae):
    vae = without_noise(build_vae())
    vae.compile(optimizer=keras.optimizers.SGD(0.0))
    losses = []
    for weight in (0.0, 1.0):
        vae.kl_weight.assign(weight)
        losses.append(vae.fit(IMAGES, batch_size=40, verbose=0).history["loss"][0])
    kl = np.mean(kl_divergence(*vae.encode(IMAGES)))
    np.testing.assert_allclose(losses[1] - losses[0], kl, rtol=1e-3)


def test_free_bits_change_the_loss_but_not_the_terms(build_vae):
    terms = []
    for free_bits in (0.0, 50.0):
        vae = without_noise(build_vae(free_bits=free_bits))
        terms.append(vae.evaluate(IMAGES, batch_size=40, verbose=0, return_dict=True))
    assert terms[0]["kl_divergence"] == terms[1]["kl_divergence"]
    np.testing.assert_allclose(
        terms[1]["loss"], terms[1]["reconstruction_loss"] + 2 * 50, rtol=1e-6
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"beta": 4.0, "likelihood": "mse", "architecture": "residual", "free_bits": 0.5},
        {"architecture": "mlp", "num_classes": 3},
        {"architecture": "plain", "likelihood": "logistic"},
    ],
)
@pytest.mark.parametrize("later_policy", ["float32", "mixed_bfloat16"])
def test_a_loaded_model_gives_identical_outputs(build_vae, arguments, later_policy, tmp_path):
    vae = build_vae(**arguments)
    vae.fit(IMAGES, LABELS, batch_size=16, verbose=0)
    vae.save(tmp_path / "model.keras")
    with dtype_policy(later_policy):
        loaded = keras.models.load_model(tmp_path / "model.keras")
    labels = LABELS if vae.num_classes else None
    np.testing.assert_array_equal(loaded.encode(IMAGES, labels), vae.encode(IMAGES, labels))
    np.testing.assert_array_equal(
        loaded.reconstruct(IMAGES, labels), vae.reconstruct(IMAGES, labels)
    )
    z = np.ones((40, 2), "float32")
    np.testing.assert_array_equal(loaded.decode(z, labels), vae.decode(z, labels))
    settings = ("likelihood", "beta", "free_bits", "image_shape", "latent_dim", "num_classes")
    assert all(getattr(loaded, name) == getattr(vae, name) for name in settings)
    assert int(loaded.optimizer.iterations) == int(vae.optimizer.iterations) == 3
    loaded.fit(IMAGES, LABELS, batch_size=16, verbose=0)


def own_networks():
    images = keras.Input(SHAPE)
    hidden = keras.layers.Flatten()(images)
    posterior = [keras.layers.Dense(2, name=name)(hidden) for name in ("z_mean", "z_log_var")]
    decoder = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(64), keras.layers.Reshape(SHAPE)]
    )
    return keras.Model(images, posterior), decoder


def compiled(*networks):
    vae = VAE(*networks)
    vae.compile(optimizer="adam")
    return vae


def test_own_networks_train_and_load(tmp_path):
    vae = compiled(*own_networks())
    vae.adapt(IMAGES)
    vae.fit(IMAGES, verbose=0)
    vae.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.reconstruct(IMAGES), vae.reconstruct(IMAGES))
    assert loaded.count_params() == vae.count_params() == 2 * 130 + 192 + 1  # kl_weight


def test_own_networks_receive_the_training_flag():
    flags = []

    @keras.saving.register_keras_serializable()
    class Listener(keras.layers.Layer):
        def call(self, inputs, training=None):
            flags.append(training)
            return inputs

    encoder, decoder = own_networks()
    vae = compiled(encoder, keras.Sequential([keras.Input((2,)), Listener(), decoder]))
    vae.run_eagerly = True
    for train, expected in ((vae.train_on_batch, True), (vae.test_on_batch, False)):
        flags.clear()
        train(IMAGES)
        assert flags == [expected]
    flags.clear()
    vae.decode(np.zeros((1, 2), "float32"))
    assert flags == [False]


class Subclassed(keras.Model):
    def call(self, inputs):
        return keras.ops.zeros((1, 64)) + inputs[:, :1]


def test_networks_that_do_not_fit_together_are_refused():
    encoder, decoder = own_networks()
    grey, colour = build_networks("mlp", SHAPE, 3), build_networks("mlp", (8, 8, 3), 2)
    maps = keras.Sequential([keras.Input(SHAPE), keras.layers.Conv2D(4, 3)])
    maps = keras.Model(maps.inputs, [maps.outputs[0]] * 2)
    spatial = keras.Sequential([keras.Input((6, 6, 4)), keras.layers.Conv2DTranspose(1, 3)])
    for pair in ((encoder, grey[1]), (encoder, colour[1]), (decoder, encoder), (maps, spatial)):
        with pytest.raises(ValueError, match="`encoder` must map images"):
            VAE(*pair)
    with pytest.raises(ValueError, match="must both take one-hot labels"):
        VAE(encoder, build_networks("mlp", SHAPE, 2, num_classes=3)[1])
    subclassed = Subclassed()
    subclassed(np.zeros((1, 2), "float32"))
    for unknown in (keras.Sequential([keras.layers.Dense(64)]), subclassed):
        with pytest.raises(ValueError, match="`decoder` must be a functional or sequential"):
            VAE(encoder, unknown)


def test_conditional_outputs_depend_on_the_label(build_vae):
    vae = build_vae(num_classes=3)
    vae.fit(IMAGES, LABELS, batch_size=16, verbose=0)
    z = np.zeros((3, 2), "float32")
    decoded = np.asarray(vae.decode(z, labels=np.arange(3)))
    assert not np.allclose(decoded[0], decoded[1])
    for labels in (None, [0, 1, 3], [0, -1, 2], [0.0, 1.0, 2.0], [[0], [1], [2]], [0, 1]):
        with pytest.raises(ValueError, match="a conditional model needs `labels`"):
            vae.sample(3, labels)
    with pytest.raises(ValueError, match="from 0 to 2, one for each image. Received: from 0 to 3"):
        vae.fit(IMAGES[:2], np.array([0, 3]), verbose=0)
    pairs = tf.data.Dataset.from_tensors((IMAGES[:2], np.array([0, 3])))
    with pytest.raises(ValueError, match="Received: from 0 to 3"):
        vae.evaluate(pairs, verbose=0)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"beta": -1.0}, "`beta` must be a finite number, at least 0"),
        ({"beta": float("nan")}, "`beta` must be a finite number"),
        ({"free_bits": -0.1}, "`free_bits` must be a finite number"),
        ({"likelihood": "poisson"}, "`likelihood` must be one of bce, mse, sigma, logistic"),
    ],
)
def test_bad_arguments(build_vae, arguments, message):
    with pytest.raises(ValueError, match=message):
        build_vae(**arguments)


@pytest.mark.parametrize("use", ["fit", "evaluate", "encode", "reconstruct", "adapt"])
@pytest.mark.parametrize(
    "images, message",
    [
        (255.0 * np.ones((4, *SHAPE), "float32"), "divide grey levels by 255.*from 255 to 255"),
        (np.full((4, *SHAPE), np.nan, "float32"), "floats in .0, 1."),
        (IMAGES[:4].astype("int64"), "Received: int64"),
        (IMAGES[:4, ..., 0], "Add the channel axis"),
        (np.zeros((4, 8, 8, 3), "uint8"), r"must have the shape \(num_images, 8, 8, 1\)"),
        ([[[[0.5]]]], "must be an array or a tensor. Received: list"),
    ],
)
def test_wrong_images_are_refused(small_vae, use, images, message):
    with pytest.raises(ValueError, match=message):
        getattr(small_vae, use)(images)


def test_wrong_images_of_a_pipeline_are_refused(small_vae):
    good, bad = (np.full((8, *SHAPE), level, "float32") for level in (0.5, 2.0))
    for images in (bad, IMAGES.astype("int32"), IMAGES[..., 0]):
        with pytest.raises(ValueError, match="images must"):
            small_vae.fit(
                tf.data.Dataset.from_tensor_slices(images).batch(8), shuffle=False, verbose=0
            )
    later = tf.data.Dataset.from_tensor_slices(np.concatenate([good, bad])).batch(8)
    with pytest.raises(tf.errors.InvalidArgumentError, match="divide grey levels by 255"):
        small_vae.fit(later, shuffle=False, verbose=0)


def test_shapes_that_a_pipeline_does_not_state_are_checked_later(small_vae):
    def without_shape(images):
        return tf.ensure_shape(tf.py_function(lambda image: image, [images], tf.uint8), None)

    for images in (IMAGES, np.concatenate([IMAGES[:8], IMAGES[:8]], axis=2)):
        pipeline = tf.data.Dataset.from_tensor_slices(images).batch(8).map(without_shape)
        if images is IMAGES:
            small_vae.fit(pipeline, shuffle=False, verbose=0)
            continue
        with pytest.raises(ValueError, match="must have the shape"):
            small_vae.fit(pipeline, shuffle=False, verbose=0)


def test_wrong_images_give_nan_where_xla_skips_the_check(small_vae):
    small_vae.compile(optimizer="adam", jit_compile=True)
    good, bad = (np.full((8, *SHAPE), level, "float32") for level in (0.5, 2.0))
    assert np.isfinite(small_vae.train_on_batch(good)).all()
    assert np.isnan(small_vae.train_on_batch(bad)).any()


@pytest.mark.parametrize("architecture", ["mlp", "plain"])
def test_adapt_starts_at_the_mean_of_each_channel(build_vae, architecture):
    vae = build_vae(architecture, (8, 8, 3), likelihood="sigma")
    images = np.zeros((40, 8, 8, 3), "uint8")
    images[..., 0], images[..., 1], images[::2, ..., 2] = 51, 102, 255
    for floats in (False, True):
        vae.adapt(images / np.float32(255) if floats else images)
        decoded = np.asarray(vae.decode(np.zeros((1, 2), "float32")))
        np.testing.assert_allclose(decoded[0], np.broadcast_to([0.2, 0.4, 0.5], (8, 8, 3)), 1e-5)
        # Only the last channel varies, by 0.5.
        np.testing.assert_allclose(float(vae.log_scale), np.log(np.sqrt(0.25 / 3)), rtol=1e-5)


def test_weights_of_samples_are_refused(small_vae):
    small_vae.compile(optimizer="sgd")
    ones, error = np.ones(len(IMAGES)), "weights of samples or classes are not supported"
    for method in (small_vae.fit, small_vae.evaluate):
        with pytest.raises(ValueError, match=error):
            method(IMAGES, sample_weight=ones)
    with pytest.raises(ValueError, match=error):
        small_vae.fit(IMAGES, class_weight={0: 1.0})
    with pytest.raises(ValueError, match=error):
        small_vae.fit(tf.data.Dataset.from_tensors((IMAGES, ones, ones)))


def test_a_prior_belongs_to_one_model(small_vae):
    with pytest.raises(ValueError, match="`prior` is part of another `VAE`"):
        VAE(small_vae.encoder, small_vae.decoder, prior=small_vae.prior)


def test_adapt_needs_a_bias():
    encoder, _ = own_networks()
    layers = [keras.Input((2,)), keras.layers.Dense(64, use_bias=False)]
    decoder = keras.Sequential([*layers, keras.layers.Reshape(SHAPE)])
    with pytest.raises(ValueError, match="`adapt` needs a decoder whose last layer"):
        VAE(encoder, decoder).adapt(IMAGES)


def test_two_replicas_take_the_same_step_as_one(build_vae, mirrored):
    # The last batch has one image: one of the replicas gets none.
    images = tf.data.Dataset.from_tensor_slices(IMAGES[:31]).batch(30)
    losses, weights = [], []
    for strategy in (tf.distribute.get_strategy(), mirrored):
        with strategy.scope():
            vae = without_noise(build_vae(likelihood="sigma"))
            vae.compile(optimizer=keras.optimizers.SGD(1e-3))
        history = vae.fit(images, validation_data=images, epochs=2, shuffle=False, verbose=0)
        losses.append([history.history[name] for name in sorted(history.history)])
        weights.append([weight.numpy() for weight in vae.weights])
    np.testing.assert_allclose(*losses, rtol=1e-5)
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_regularizers_of_the_networks_are_part_of_the_loss():
    for regularizer in ("kernel_regularizer", "activity_regularizer"):
        encoder, _ = own_networks()
        code = keras.Input((2,))
        pixels = keras.layers.Dense(64, **{regularizer: "l2"})(code)
        decoder = keras.Model(code, keras.layers.Reshape(SHAPE)(pixels))
        vae = VAE(encoder, decoder)
        vae.compile(optimizer=keras.optimizers.SGD(1e-3))
        logs = vae.evaluate(IMAGES, batch_size=len(IMAGES), return_dict=True, verbose=0)
        extra = logs["loss"] - logs["reconstruction_loss"] - logs["kl_divergence"]
        kernel = np.asarray(decoder.layers[1].kernel)
        if regularizer == "kernel_regularizer":
            assert extra == pytest.approx(0.01 * np.square(kernel).sum(), rel=1e-3)
        else:
            assert extra > 1e-3
        vae.fit(IMAGES, epochs=1, verbose=0)  # and has a gradient
        assert not np.array_equal(kernel, decoder.layers[1].kernel)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"activation": "sigmoid"}, "must return logits"),
        ({"dtype": "uint8"}, "must take floats"),
        ({"outputs": dict}, "not a dict"),
    ],
)
def test_networks_that_would_train_on_the_wrong_range_are_refused(change, message):
    encoder, decoder = own_networks()
    if "activation" in change:
        code = keras.Input((2,))
        pixels = keras.layers.Dense(64, activation="sigmoid")(code)
        decoder = keras.Model(code, keras.layers.Reshape(SHAPE)(pixels))
    else:
        image = keras.Input(SHAPE, dtype=change.get("dtype"))
        hidden = keras.layers.Flatten()(keras.layers.Rescaling(1.0)(image))
        outputs = [keras.layers.Dense(2)(hidden) for _ in range(2)]
        if "outputs" in change:
            outputs = dict(zip(("z_mean", "z_log_var"), outputs, strict=True))
        encoder = keras.Model(image, outputs)
    with pytest.raises(ValueError, match=message):
        VAE(encoder, decoder)


def test_a_new_beta_counts_from_the_next_step(small_vae):
    small_vae.beta = 3.0
    assert float(small_vae.kl_weight) == 3.0 and small_vae.get_config()["beta"] == 3.0


def test_labels_of_later_batches_are_checked(build_vae):
    labels = np.arange(len(IMAGES)) % 4  # 3 is out of range
    labels[:8] = 0
    pairs = tf.data.Dataset.from_tensor_slices((IMAGES, labels)).batch(8)
    with pytest.raises(tf.errors.InvalidArgumentError, match="a conditional model needs `labels`"):
        build_vae(num_classes=3).fit(pairs, verbose=0)


def test_arguments_of_compile_that_would_be_ignored_are_refused(small_vae):
    small_vae.compile(optimizer="sgd", metrics=["mse"])
    with pytest.raises(ValueError, match="`compile` takes no metrics"):
        small_vae.fit(IMAGES, verbose=0)


def test_a_schedule_that_has_ended_is_refused(small_vae):
    small_vae.compile(optimizer=build_optimizer(2))
    small_vae.fit(IMAGES, batch_size=len(IMAGES), epochs=2, verbose=0)
    with pytest.raises(ValueError, match="Compile the model again"):
        small_vae.fit(IMAGES, epochs=1, verbose=0)
    small_vae.fit(IMAGES, epochs=2, initial_epoch=2, verbose=0)  # resumes after the last epoch


def test_an_exported_model_reconstructs(build_vae, tmp_path):
    for num_classes in (0, 3):
        vae = build_vae(num_classes=num_classes)
        vae.export(str(tmp_path / f"{num_classes}"), verbose=False)
        inputs = IMAGES, np.arange(len(IMAGES), dtype="int32") % 3
        loaded = tf.saved_model.load(str(tmp_path / f"{num_classes}"))
        served = loaded.serve(inputs if num_classes else IMAGES)
        np.testing.assert_allclose(served, vae.reconstruct(*inputs), atol=1e-5)


@pytest.mark.parametrize("part", ["prior", "posterior", "objective"])
def test_names_in_place_of_parts_are_refused(part):
    with pytest.raises(ValueError, match=f"`{part}` must be an instance of a subclass of"):
        VAE(*own_networks(), **{part: "vamp"})


def test_wrong_numbers_of_samples_are_refused(small_vae):
    for number in (0, -1, 2.5, "2"):
        with pytest.raises(ValueError, match="`num_images` must be a whole number"):
            small_vae.sample(number)
    with pytest.raises(ValueError, match="divide grey levels by 255"):
        small_vae.predict(255 * np.ones((4, *SHAPE), "float32"), verbose=0)
    with pytest.raises(ValueError, match="at least one image"):
        small_vae.adapt(IMAGES[:0])
