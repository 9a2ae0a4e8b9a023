import numpy as np
import pytest

from vae_keras import parameters

VALID = dict(
    dataset="fashion_mnist",
    latent_dim=2,
    beta=1.0,
    likelihood="bce",
    architecture="residual",
    conditional=False,
    warmup_epochs=0,
    kl_cycles=1,
    free_bits=0.0,
    epochs=1,
    batch_size=128,
    learning_rate=1e-3,
    train_fraction=1.0,
    seed=0,
    evaluation_fraction=1.0,
    hidden_units=0,
    cosine_decay=False,
    encoder_shift=0,
    refine_steps=0,
)


def test_valid_parameters_pass_and_are_all_named():
    assert set(VALID) == set(parameters.PARAMETERS)
    assert parameters.check(**VALID) == VALID


def test_equal_numbers_become_the_same_plain_type():
    checked = parameters.check(beta=1, latent_dim=np.int64(2), train_fraction=1)
    assert repr(checked) == "{'beta': 1.0, 'latent_dim': 2, 'train_fraction': 1.0}"


@pytest.mark.parametrize(
    "name, value",
    [
        ("latent_dim", 0),
        ("latent_dim", 2.5),
        ("latent_dim", True),
        ("latent_dim", "2"),
        ("beta", -1),
        ("beta", float("nan")),
        ("beta", float("inf")),
        ("beta", None),
        ("epochs", 0),
        ("epochs", 1.5),
        ("batch_size", 0),
        ("learning_rate", 0),
        ("train_fraction", 0),
        ("train_fraction", 1.5),
        ("train_fraction", float("nan")),
        ("conditional", "yes"),
        ("seed", -1),
        ("kl_cycles", 0),
        ("free_bits", -0.1),
        ("warmup_epochs", -1),
    ],
)
def test_bad_number_is_named(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received: "):
        parameters.check(**{**VALID, name: value})


@pytest.mark.parametrize("name", parameters.CHOICES)
def test_unknown_choice_lists_the_valid_ones(name):
    with pytest.raises(ValueError, match=", ".join(parameters.CHOICES[name])):
        parameters.check(**{name: "nonsense"})
    with pytest.raises(ValueError, match=f"unknown {name}"):
        parameters.check(**{name: ["bce"]})


def test_unknown_parameter_is_refused():
    with pytest.raises(ValueError, match="unknown parameter 'latent_dims'"):
        parameters.check(latent_dims=2)


def test_zero_beta_and_fractional_warmup_are_allowed():
    parameters.check(beta=0, warmup_epochs=0.5, epochs=1)


def test_cycles_must_fit_and_have_a_rise():
    with pytest.raises(ValueError, match="must fit into `epochs`"):
        parameters.check(warmup_epochs=2, kl_cycles=3, epochs=5)
    with pytest.raises(ValueError, match="needs `warmup_epochs`"):
        parameters.check(warmup_epochs=0, kl_cycles=2)
