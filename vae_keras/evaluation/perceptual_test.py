import keras
import numpy as np
import pytest
import tensorflow as tf

from vae_keras.data import download
from vae_keras.data.load import load_images
from vae_keras.evaluation import perceptual
from vae_keras.evaluation.perceptual import build_vgg, load_features


def test_features_of_the_judge_have_a_gradient_and_reflect_content():
    images = (load_images("digits", "test")[0] / 255).astype("float32")
    features = load_features("digits", images.shape[1:])
    maps = features(images)
    assert [tuple(part.shape[1:3]) for part in maps] == [(8, 8), (4, 4)]
    with tf.GradientTape() as tape:
        inputs = tf.constant(images[:2])
        tape.watch(inputs)
        outputs = sum(tf.reduce_sum(tf.square(part)) for part in features(inputs))
    assert np.abs(tape.gradient(outputs, inputs)).max() > 0
    # Moved by a pixel an image is farther away in pixels than in features, relative to another one.
    moved, other = np.roll(images, 1, axis=1), np.roll(images, 1, axis=0)
    in_pixels, in_features = (
        np.mean(np.square(part(images) - part(moved)))
        / np.mean(np.square(part(images) - part(other)))
        for part in (lambda x: x, lambda x: np.asarray(features(x)[1]))
    )
    assert in_features < in_pixels


def test_the_judge_is_copied_with_its_weights():
    from vae_keras.published import registry

    judge = keras.models.load_model(registry.fetch("judges/digits.keras"), compile=False)
    images = load_images("digits", "test")[0][:5]
    layer = [layer for layer in judge.layers if isinstance(layer, keras.layers.Add)][0]
    expected = keras.Model(judge.input, layer.output)(images)
    found = load_features("digits", (8, 8, 1))(images / np.float32(255))[1]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("image_shape", [(28, 28, 1), (32, 32, 3)])
def test_vgg_takes_images_of_any_size_and_one_or_three_channels(image_shape):
    vgg = build_vgg(image_shape, weights=None)
    images = np.random.default_rng(0).random((2, *image_shape), "float32")
    side = image_shape[0]
    shapes = [tuple(part.shape) for part in vgg(images)]
    assert shapes == [
        (2, side, side, 64),
        (2, side // 2, side // 2, 128),
        (2, side // 4, side // 4, 256),
    ]
    # Keras's own preprocessing is inside: the same model fed with its result gives the same maps.
    inner = [layer for layer in vgg.layers if isinstance(layer, keras.Model)][0]
    colours = 255 * np.broadcast_to(images, (*images.shape[:3], 3)).copy()
    expected = inner(keras.applications.vgg16.preprocess_input(colours))
    for found, wanted in zip(vgg(images), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)


def test_data_sets_without_a_judge_use_vgg_from_the_cache(monkeypatch, tmp_path):
    weights = tmp_path / "vgg.weights.h5"
    keras.applications.VGG16(include_top=False, weights=None).save_weights(weights)
    asked = []
    monkeypatch.setattr(download, "fetch", lambda *place: asked.append(place) or weights)
    maps = load_features("photos", (32, 32, 3))(np.zeros((1, 32, 32, 3), "float32"))
    assert [part.shape[-1] for part in maps] == [64, 128, 256]
    ((url, checksum, place),) = asked
    assert (url, checksum) == (perceptual.VGG_URL, f"md5:{perceptual.VGG_MD5}")
    assert place == "models/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"  # as Keras's own
