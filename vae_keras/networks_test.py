import keras
import numpy as np
import pytest

from vae_keras.networks import build_decoder, build_encoder
from vae_keras.parameters import CHOICES

ARCHITECTURES = CHOICES["architecture"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("image_shape", [(8, 8, 1), (28, 28, 1), (32, 24, 3), (12, 12, 5)])
@pytest.mark.parametrize("num_classes", [0, 10])
def test_shapes_and_names(architecture, image_shape, num_classes):
    if architecture == "wide" and min(image_shape[:2]) < 12:
        pytest.skip("too small for its kernels")
    encoder = build_encoder(architecture, image_shape, 7, num_classes)
    decoder = build_decoder(architecture, image_shape, 7, num_classes)
    images, codes = np.zeros((2, *image_shape), "float32"), np.zeros((2, 7), "float32")
    labels = np.eye(num_classes, dtype="float32")[:2]
    posterior = encoder([images, labels] if num_classes else images)
    assert [tuple(output.shape) for output in posterior] == [(2, 7), (2, 7)]
    assert encoder.get_layer("z_mean") is not encoder.get_layer("z_log_var")
    logits = decoder([codes, labels] if num_classes else codes)
    assert logits.shape == (2, *image_shape)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_outputs_stay_in_float32(architecture):
    encoder = build_encoder(architecture, (12, 12, 1), 2, dtype="mixed_bfloat16")
    decoder = build_decoder(architecture, (12, 12, 1), 2, dtype="mixed_bfloat16")
    posterior = encoder(np.zeros((1, 12, 12, 1), "float32"))
    assert {output.dtype.name for output in posterior} == {"float32"}
    assert decoder(np.zeros((1, 2), "float32")).dtype == "float32"
    assert "bfloat16" in {layer.compute_dtype for layer in encoder.layers}


def test_number_of_parameters_worked_out_by_hand():
    # Convolutions 1-32-64-128, then 7 * 7 * 128 -> 256 -> twice 2.
    encoder = 320 + 18_496 + 73_856 + (6272 * 256 + 256) + 2 * (256 * 2 + 2)
    # 2 -> 6272, transposed convolutions 128-32-16, convolution 16-1.
    plain = (2 * 6272 + 6272) + (9 * 128 * 32 + 32) + (9 * 32 * 16 + 16) + (9 * 16 + 1)
    blocks = 2 * (9 * 32 * 32 + 32) + 2 * (9 * 16 * 16 + 16)
    assert build_encoder("residual", (28, 28, 1), 2).count_params() == encoder
    assert build_decoder("plain", (28, 28, 1), 2).count_params() == plain
    assert build_decoder("residual", (28, 28, 1), 2).count_params() == plain + blocks


def test_wide_is_that_of_the_published_grid():
    # 28 -> 24 -> 20 -> 18 pixels, and back.
    convolutions = (49 * 128 + 128) + (49 * 128 * 256 + 256) + (25 * 256 * 512 + 512)
    encoder = build_encoder("wide", (28, 28, 1), 8)
    assert encoder.count_params() == convolutions + 2 * (18 * 18 * 512 * 8 + 8)
    mirrored = (25 * 512 * 256 + 256) + (49 * 256 * 128 + 128) + (49 * 128 + 1)
    decoder = build_decoder("wide", (28, 28, 1), 8)
    assert decoder.count_params() == (8 + 1) * 18 * 18 * 512 + mirrored
    shapes = [layer.output.shape[1:] for layer in decoder.layers if "conv" in layer.name]
    assert shapes == [(20, 20, 256), (24, 24, 128)]
    with pytest.raises(ValueError, match="at least 12"):
        build_encoder("wide", (8, 8, 1), 8)


def test_small_is_that_of_the_published_example():
    # keras.io/examples/generative/vae prints 69,076 and 65,089 parameters.
    assert build_encoder("small", (28, 28, 1), 2).count_params() == 69_076
    assert build_decoder("small", (28, 28, 1), 2).count_params() == 65_089


def test_deep_mlp_has_two_layers_and_three():
    encoder = build_encoder("deep_mlp", (28, 28, 1), 2).count_params()
    assert encoder == 785 * 512 + 513 * 512 + 2 * (513 * 2)
    decoder = build_decoder("deep_mlp", (28, 28, 1), 2).count_params()
    assert decoder == 3 * 512 + 2 * (513 * 512) + 513 * 784


def test_hidden_units_replace_those_of_the_architecture():
    for architecture, usual, inputs in (("residual", 256, 6272), ("mlp", 400, 784)):
        small, large = (
            build_encoder(architecture, (28, 28, 1), 2, hidden_units=units).count_params()
            for units in (0, 1024)
        )
        assert large - small == (1024 - usual) * (inputs + 1 + 2 * 2)
    with pytest.raises(ValueError, match="`hidden_units` must be 0 for the architecture 'wide'"):
        build_encoder("wide", (28, 28, 1), 2, hidden_units=10)


def test_the_encoder_is_given_moved_images_in_training_only():
    keras.utils.set_random_seed(0)
    encoder = build_encoder("mlp", (8, 8, 1), 2, encoder_shift=2)
    moved = keras.Model(encoder.input, encoder.get_layer("moved").output)
    images = np.zeros((500, 8, 8, 1), "float32")
    images[:, 3, 4] = 1.0
    np.testing.assert_array_equal(moved(images, training=False), images)
    positions = np.argwhere(np.asarray(moved(images, training=True)).reshape(500, 8, 8))[:, 1:]
    shifts, counts = np.unique(positions - (3, 4), axis=0, return_counts=True)
    assert len(positions) == 500
    np.testing.assert_array_equal(shifts, [(y, x) for y in range(-2, 3) for x in range(-2, 3)])
    assert counts.min() > 6  # 20 each on the average
    with pytest.raises(ValueError, match="`encoder_shift` must be less than the images' height"):
        build_encoder("mlp", (8, 8, 1), 2, encoder_shift=8)


def test_mlp_is_that_of_the_published_example():
    num_params = build_encoder("mlp", (28, 28, 1), 20).count_params()
    num_params += build_decoder("mlp", (28, 28, 1), 20).count_params()
    assert num_params == 652_824  # torch's examples/vae: 784-400-20 and back


def test_labels_change_both_outputs():
    images, codes = np.ones((2, 8, 8, 1), "float32"), np.ones((2, 2), "float32")
    labels = np.eye(3, dtype="float32")[:2]
    for network, inputs in (
        (build_encoder("plain", (8, 8, 1), 2, 3), images),
        (build_decoder("plain", (8, 8, 1), 2, 3), codes),
    ):
        output = np.asarray(network([inputs, labels])).reshape(-1, 2, 2 if inputs is images else 64)
        assert not np.allclose(output[:, 0], output[:, 1])


@pytest.mark.parametrize("build", [build_encoder, build_decoder])
@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ("vgg", (8, 8, 1), 2),
            "unknown architecture 'vgg'.*residual, plain, wide, small, mlp, deep_mlp",
        ),
        (("plain", (30, 30, 1), 2), r"divisible by 4.*Received: \(30, 30, 1\)"),
        (("plain", (28, 28), 2), "must be .height, width, channels."),
        (("plain", (0, 28, 1), 2), "must be .height, width, channels."),
        (("plain", (8, 8, 1), 0), "`latent_dim` must be a whole number, at least 1"),
        (("plain", (8, 8, 1), 2.5), "`latent_dim` must be a whole number, at least 1"),
        (("plain", (8, 8, 1), 2, -1), "`num_classes` must be at least 0"),
    ],
)
def test_bad_arguments(build, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(*arguments)
