import keras
import numpy as np
import pytest
import tensorflow as tf

from vae_keras.losses import kl_divergence
from vae_keras.vae import VAE

SHAPE = (8, 8, 1)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, *SHAPE), dtype=np.uint8)
LABELS = np.arange(40) % 3


def small_vae(**arguments):
    keras.utils.set_random_seed(0)
    vae = VAE(SHAPE, 2, **{"architecture": "plain", **arguments})
    vae.compile(optimizer=keras.optimizers.Adam(1e-3))
    return vae


def without_noise(vae):
    """Makes the posterior so narrow that a draw is its mean."""
    vae.encoder.get_layer("z_log_var").kernel.assign(np.zeros((256, 2)))
    vae.encoder.get_layer("z_log_var").bias.assign([-60.0, -60.0])
    return vae


def test_shapes_and_ranges():
    vae = small_vae()
    z_mean, z_log_var = vae.encode(IMAGES)
    assert z_mean.shape == z_log_var.shape == (40, 2)
    for images in (vae.decode(z_mean), vae.reconstruct(IMAGES), vae.sample(40)):
        assert images.shape == (40, *SHAPE)
        assert np.min(images) >= 0 and np.max(images) <= 1
    assert vae.predict(IMAGES, verbose=0).shape == IMAGES.shape


def test_uint8_and_unit_range_are_the_same_images():
    vae = small_vae()
    floats = (IMAGES / 255).astype("float32")
    np.testing.assert_allclose(vae.reconstruct(IMAGES), vae.reconstruct(floats), atol=1e-6)


@pytest.mark.parametrize("likelihood", ["bce", "mse"])
def test_terms_match_numpy(likelihood):
    vae = without_noise(small_vae(likelihood=likelihood, beta=3.0))
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
def test_the_scale_is_learned_and_saved(likelihood, tmp_path):
    vae = small_vae(likelihood=likelihood)
    before = float(vae.log_scale)
    vae.fit(np.full_like(IMAGES, 128), epochs=3, batch_size=8, verbose=0)
    assert float(vae.log_scale) < before  # flat images: the decoder is nearly right from the start
    vae.save(tmp_path / "model.keras")
    assert float(keras.models.load_model(tmp_path / "model.keras").log_scale) == float(
        vae.log_scale
    )


def test_fixed_scales_are_no_weights():
    assert small_vae(likelihood="mse").log_scale is None
    assert len(small_vae().trainable_weights) + 1 == len(
        small_vae(likelihood="sigma").trainable_weights
    )


def test_a_split_set_evaluates_as_the_whole():
    vae = without_noise(small_vae())
    whole = vae.evaluate(IMAGES, batch_size=40, verbose=0, return_dict=True)
    split = vae.evaluate(IMAGES, batch_size=16, verbose=0, return_dict=True)  # 16, 16, 8
    np.testing.assert_allclose(list(split.values()), list(whole.values()), rtol=1e-6)


def test_training_and_validation_have_the_same_objective():
    vae = without_noise(small_vae(beta=0.5, free_bits=0.1))
    vae.compile(optimizer=keras.optimizers.SGD(0.0))
    history = vae.fit(IMAGES, validation_data=(IMAGES,), batch_size=40, verbose=0).history
    for name in ("loss", "reconstruction_loss", "kl_divergence"):
        np.testing.assert_allclose(history[name], history[f"val_{name}"], rtol=1e-6)


def test_evaluation_draws_z():
    vae = small_vae()
    losses = {vae.evaluate(IMAGES, verbose=0, return_dict=True)["loss"] for _ in range(3)}
    assert len(losses) == 3


def test_training_lowers_the_loss_and_is_reproducible():
    histories = []
    for _ in range(2):
        vae = small_vae()
        history = vae.fit(np.sort(IMAGES, axis=1), epochs=8, batch_size=8, verbose=0).history
        histories.append(history["loss"])
    assert histories[0][-1] < histories[0][0] - 4  # the images' rows get brighter: learnt at once
    np.testing.assert_allclose(histories[0], histories[1], rtol=1e-5)


def test_kl_weight_is_read_in_every_step():
    vae = without_noise(small_vae())
    vae.compile(optimizer=keras.optimizers.SGD(0.0))
    losses = []
    for weight in (0.0, 1.0):
        vae.kl_weight.assign(weight)
        losses.append(vae.fit(IMAGES, batch_size=40, verbose=0).history["loss"][0])
    kl = np.mean(kl_divergence(*vae.encode(IMAGES)))
    np.testing.assert_allclose(losses[1] - losses[0], kl, rtol=1e-3)


def test_free_bits_change_the_loss_but_not_the_terms():
    terms = []
    for free_bits in (0.0, 50.0):
        vae = without_noise(small_vae(free_bits=free_bits))
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
        {"architecture": "plain", "dtype": "mixed_bfloat16", "hidden_units": 20},
        {"architecture": "mlp", "encoder_shift": 1},
    ],
)
@pytest.mark.parametrize("later_policy", ["float32", "mixed_bfloat16"])
def test_a_loaded_model_gives_identical_outputs(arguments, later_policy, tmp_path):
    vae = small_vae(**arguments)
    vae.fit(IMAGES, LABELS, batch_size=16, verbose=0)
    vae.save(tmp_path / "model.keras")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(later_policy)
    try:
        loaded = keras.models.load_model(tmp_path / "model.keras")
    finally:
        keras.config.set_dtype_policy(before)
    labels = LABELS if vae.num_classes else None
    np.testing.assert_array_equal(loaded.encode(IMAGES, labels), vae.encode(IMAGES, labels))
    np.testing.assert_array_equal(
        loaded.reconstruct(IMAGES, labels), vae.reconstruct(IMAGES, labels)
    )
    z = np.ones((40, 2), "float32")
    np.testing.assert_array_equal(loaded.decode(z, labels), vae.decode(z, labels))
    assert loaded.get_config() == vae.get_config()
    assert int(loaded.optimizer.iterations) == int(vae.optimizer.iterations) == 3
    loaded.fit(IMAGES, LABELS, batch_size=16, verbose=0)


def own_networks():
    images = keras.Input(SHAPE)
    hidden = keras.layers.Flatten()(images)
    posterior = [keras.layers.Dense(2, name=name)(hidden) for name in ("z_mean", "z_log_var")]
    decoder = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(64), keras.layers.Reshape(SHAPE)]
    )
    return {"encoder": keras.Model(images, posterior), "decoder": decoder}


def test_own_networks_train_and_load(tmp_path):
    vae = small_vae(**own_networks())
    vae.fit(IMAGES, verbose=0)
    vae.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.reconstruct(IMAGES), vae.reconstruct(IMAGES))
    assert loaded.count_params() == vae.count_params() == 2 * 130 + 192 + 1  # kl_weight


def test_own_networks_are_told_when_they_are_trained():
    told = []

    @keras.saving.register_keras_serializable()
    class Listener(keras.layers.Layer):
        def call(self, inputs, training=None):
            told.append(training)
            return inputs

    networks = {
        name: keras.Sequential([Listener(), network]) if name == "decoder" else network
        for name, network in own_networks().items()
    }
    networks["decoder"].build((None, 2))
    vae = small_vae(**networks)
    vae.run_eagerly = True
    for train, expected in ((vae.train_on_batch, True), (vae.test_on_batch, False)):
        told.clear()
        train(IMAGES)
        assert told == [expected]
    told.clear()
    vae.decode(np.zeros((1, 2), "float32"))
    assert told == [False]


def test_only_the_encoder_is_given_moved_images():
    vae = small_vae(architecture="mlp", encoder_shift=2)
    terms = [vae._terms(IMAGES, training=training) for training in (False, True)]
    assert not np.allclose(terms[0]["kl_divergence"], terms[1]["kl_divergence"])
    z = np.zeros((40, 2), "float32")
    losses = [vae.reconstruction_loss(IMAGES, z, training=training) for training in (False, True)]
    np.testing.assert_array_equal(*losses)


def test_own_networks_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"`encoder` must have outputs of the shapes.*None, 3"):
        VAE(SHAPE, 3, encoder=own_networks()["encoder"])
    with pytest.raises(ValueError, match="`decoder` must have outputs of the shapes"):
        VAE((8, 8, 3), 2, decoder=own_networks()["decoder"])


def test_conditional_outputs_depend_on_the_label():
    vae = small_vae(num_classes=3)
    vae.fit(IMAGES, LABELS, batch_size=16, verbose=0)
    z = np.zeros((3, 2), "float32")
    decoded = np.asarray(vae.decode(z, labels=np.arange(3)))
    assert not np.allclose(decoded[0], decoded[1])
    with pytest.raises(ValueError, match="`labels` must be given to a conditional model"):
        vae.sample(3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"latent_dim": 0}, "`latent_dim` must be a whole number"),
        ({"latent_dim": 2.5}, "`latent_dim` must be a whole number"),
        ({"beta": -1.0}, "`beta` must be a finite number, at least 0"),
        ({"beta": float("nan")}, "`beta` must be a finite number"),
        ({"likelihood": "poisson"}, "unknown likelihood 'poisson'.*bce, mse, sigma, logistic"),
        ({"architecture": "vgg"}, "unknown architecture 'vgg'"),
        ({"image_shape": (30, 30, 1)}, "divisible by 4"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        VAE(**{"image_shape": SHAPE, "latent_dim": 2, **arguments})


def test_two_replicas_take_the_same_step_as_one():
    devices = tf.config.list_logical_devices("CPU")
    if len(devices) < 2:
        pytest.skip("needs two logical devices, see conftest.py")
    images = tf.data.Dataset.from_tensor_slices(IMAGES).batch(40)
    kernels = []
    for strategy in (
        tf.distribute.get_strategy(),
        tf.distribute.MirroredStrategy([device.name for device in devices[:2]]),
    ):
        with strategy.scope():
            vae = without_noise(small_vae())
            vae.compile(optimizer=keras.optimizers.SGD(1e-3))
        vae.fit(images, shuffle=False, verbose=0)
        kernels.append(np.asarray(vae.encoder.get_layer("z_mean").kernel))
    np.testing.assert_allclose(kernels[0], kernels[1], atol=1e-6)
