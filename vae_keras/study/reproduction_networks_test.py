import pytest

from vae_keras.networks import ARCHITECTURES, build_networks
from vae_keras.study.parameters import CHOICES
from vae_keras.study.reproduction_networks import NETWORKS


def build(name, latent_dim=2):
    return build_networks(NETWORKS[name], (28, 28, 1), latent_dim)


def test_wide_has_the_published_number_of_parameters():
    encoder, decoder = build("wide", 8)
    # 28 -> 24 -> 20 -> 18 pixels, and back.
    convolutions = (49 * 128 + 128) + (49 * 128 * 256 + 256) + (25 * 256 * 512 + 512)
    assert encoder.count_params() == convolutions + 2 * (18 * 18 * 512 * 8 + 8)
    mirrored = (25 * 512 * 256 + 256) + (49 * 256 * 128 + 128) + (49 * 128 + 1)
    assert decoder.count_params() == (8 + 1) * 18 * 18 * 512 + mirrored
    shapes = [layer.output.shape[1:] for layer in decoder.layers if "conv" in layer.name]
    assert shapes == [(20, 20, 256), (24, 24, 128)]


def test_small_has_the_number_of_parameters_that_keras_prints():
    assert [network.count_params() for network in build("small")] == [69_076, 65_089]


def test_deep_mlp_has_two_encoder_and_three_decoder_layers():
    assert [network.count_params() for network in build("deep_mlp")] == [
        785 * 512 + 513 * 512 + 2 * (513 * 2),
        3 * 512 + 2 * (513 * 512) + 513 * 784,
    ]


def test_the_large_hidden_layer_is_in_the_encoder():
    encoder, decoder = build("residual_1024")
    usual_encoder, usual_decoder = build_networks("residual", (28, 28, 1), 2)
    larger = (1024 - 256) * (7 * 7 * 128 + 1 + 2 * 2)
    assert encoder.count_params() - usual_encoder.count_params() == larger
    assert decoder.count_params() == usual_decoder.count_params()


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_support_colour_images_and_labels(name):
    encoder, decoder = build_networks(NETWORKS[name], (32, 32, 3), 4, num_classes=10)
    assert [output.shape for output in encoder.outputs] == [(None, 4), (None, 4)]
    assert decoder.output.shape == (None, 32, 32, 3) and decoder.output.dtype == "float32"


def test_every_network_is_a_choice_of_architecture():
    assert {*ARCHITECTURES, *NETWORKS, "ladder"} == set(CHOICES["architecture"])
