import numpy as np
import pytest

from vae_keras.networks import ARCHITECTURES, build_networks
from vae_keras.runtime import dtype_policy


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("image_shape", [(8, 8, 1), (28, 28, 1), (32, 24, 3), (12, 12, 5)])
@pytest.mark.parametrize("num_classes", [0, 10])
def test_shapes_and_names(architecture, image_shape, num_classes):
    encoder, decoder = build_networks(architecture, image_shape, 7, num_classes)
    images, codes = np.zeros((2, *image_shape), "float32"), np.zeros((2, 7), "float32")
    labels = np.eye(num_classes, dtype="float32")[:2]
    posterior = encoder([images, labels] if num_classes else images)
    assert [tuple(output.shape) for output in posterior] == [(2, 7), (2, 7)]
    assert encoder.get_layer("z_mean") is not encoder.get_layer("z_log_var")
    logits = decoder([codes, labels] if num_classes else codes)
    assert logits.shape == (2, *image_shape)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_outputs_stay_in_float32(architecture):
    with dtype_policy("mixed_bfloat16"):
        encoder, decoder = build_networks(architecture, (12, 12, 1), 2)
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
    counts = {
        name: [network.count_params() for network in build_networks(name, (28, 28, 1), 2)]
        for name in ("plain", "residual")
    }
    assert counts == {"plain": [encoder, plain], "residual": [encoder, plain + blocks]}


def test_an_architecture_of_your_own():
    wider = ARCHITECTURES["mlp"]._replace(hidden_units=(30, 20))
    encoder, _ = build_networks(wider, (8, 8, 1), 2)
    assert encoder.count_params() == 65 * 30 + 31 * 20 + 2 * (21 * 2)


def test_mlp_is_that_of_the_published_example():
    networks = build_networks("mlp", (28, 28, 1), 20)
    num_params = sum(network.count_params() for network in networks)
    assert num_params == 652_824  # torch's examples/vae: 784-400-20 and back


def test_labels_change_both_outputs():
    images, codes = np.ones((2, 8, 8, 1), "float32"), np.ones((2, 2), "float32")
    labels = np.eye(3, dtype="float32")[:2]
    networks = build_networks("plain", (8, 8, 1), 2, 3)
    for network, inputs in zip(networks, (images, codes), strict=True):
        output = np.asarray(network([inputs, labels])).reshape(-1, 2, 2 if inputs is images else 64)
        assert not np.allclose(output[:, 0], output[:, 1])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("vgg", (8, 8, 1), 2), "`architecture` must be one of residual, plain, mlp.*'vgg'"),
        (("plain", (30, 30, 1), 2), r"divisible by 4.*Received: \(30, 30, 1\)"),
        (("plain", (28, 28), 2), "must be .height, width, channels."),
        (("plain", (0, 28, 1), 2), "must be .height, width, channels."),
        (("plain", (8, 8, 1), 0), "`latent_dim` must be a whole number, at least 1"),
        (("plain", (8, 8, 1), 2.5), "`latent_dim` must be a whole number, at least 1"),
        (("plain", (8, 8, 1), 2, -1), "`num_classes` must be a whole number, at least 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_networks(*arguments)
