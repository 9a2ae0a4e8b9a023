import numpy as np
import pytest

from vae_keras.study.parameters import CHOICES, PARAMETERS, check_parameters


def test_valid_parameters_pass_in_the_order_of_the_notebook(valid):
    assert check_parameters(**dict(reversed(valid.items()))) == valid
    assert tuple(check_parameters(**valid)) == PARAMETERS


def test_equal_numbers_become_the_same_plain_type(valid):
    changes = {"beta": 1, "latent_dim": np.int64(2), "train_fraction": np.float32(1)}
    assert repr(check_parameters(**{**valid, **changes})) == repr(valid)


@pytest.mark.parametrize(
    "name, value",
    [
        ("image_size", 30),
        ("latent_dim", 0),
        ("latent_dim", 2.5),
        ("latent_dim", True),
        ("latent_dim", "2"),
        ("beta", -1),
        ("beta", float("nan")),
        ("beta", float("inf")),
        ("beta", None),
        ("conditional", "yes"),
        ("warmup_epochs", -1),
        ("kl_cycles", 0),
        ("free_bits", -0.1),
        ("epochs", 1.5),
        ("batch_size", 0),
        ("learning_rate", 0),
        ("train_fraction", 0),
        ("evaluation_fraction", 1.5),
        ("seed", -1),
        ("seed", 2**32),
        ("dataset", "nonsense"),
        ("dataset", "folder:"),
        ("dataset", ["mnist"]),
        *((name, value) for name in CHOICES for value in ("nonsense", ["bce"], None)),
    ],
)
def test_a_bad_value_is_named(name, value, valid):
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received: "):
        check_parameters(**{**valid, name: value})


def test_every_parameter_is_needed_and_no_other_one_is_known(valid):
    del valid["seed"]
    with pytest.raises(ValueError, match="Missing: seed. Unknown: depth"):
        check_parameters(**valid, depth=3)


def test_images_of_ones_own_are_a_data_set(valid):
    for dataset in ("folder:/path/to birds", "/path/to/birds.npz"):
        assert check_parameters(**{**valid, "dataset": dataset})["dataset"] == dataset


def test_zero_beta_and_a_warmup_of_half_an_epoch_are_possible(valid):
    check_parameters(**{**valid, "beta": 0, "warmup_epochs": 0.5, "epochs": 1})


def test_cycles_must_fit_and_need_a_warmup(valid):
    with pytest.raises(ValueError, match="must fit into `epochs`"):
        check_parameters(**{**valid, "warmup_epochs": 2, "kl_cycles": 3, "epochs": 5})
    with pytest.raises(ValueError, match="`kl_cycles` must be 1 without a warm-up"):
        check_parameters(**{**valid, "kl_cycles": 2})
