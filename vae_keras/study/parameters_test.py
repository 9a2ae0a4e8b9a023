import json

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from vae_keras.data.catalogue import DATASETS
from vae_keras.networks import build_networks
from vae_keras.recipe import build_optimizer
from vae_keras.study import runs
from vae_keras.study.conftest import VALID
from vae_keras.study.parameters import BEYOND, CHOICES, PARAMETERS, check_parameters
from vae_keras.vae import VAE

pytestmark = pytest.mark.faults

OURS = ("residual", "plain", "mlp")
quick = settings(
    deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def parameter_sets(draw):
    """Valid sets of parameters, within the range of single precision."""
    epochs, kl_cycles = draw(st.integers(1, 100)), draw(st.integers(1, 4))
    warmup_epochs = draw(st.floats(0, epochs / kl_cycles))
    return {
        "dataset": draw(st.sampled_from([*DATASETS, "folder:/ä b", "/a/b.npz"])),
        "image_size": 4 * draw(st.integers(1, 64)),
        "latent_dim": draw(st.integers(1, 300)),
        "beta": draw(st.floats(0, 1e6)),
        "likelihood": draw(st.sampled_from(CHOICES["likelihood"])),
        "architecture": draw(st.sampled_from(OURS)),
        "conditional": draw(st.booleans()),
        "warmup_epochs": warmup_epochs if warmup_epochs * kl_cycles <= epochs else 0.0,
        "kl_cycles": kl_cycles if 0 < warmup_epochs * kl_cycles <= epochs else 1,
        "free_bits": draw(st.floats(0, 100)),
        "epochs": epochs,
        "batch_size": draw(st.integers(1, 1024)),
        "learning_rate": draw(st.floats(1e-6, 1e-2)),
        "learning_rate_schedule": draw(st.sampled_from(CHOICES["learning_rate_schedule"])),
        "train_fraction": draw(st.floats(1e-6, 1)),
        "evaluation_fraction": draw(st.floats(1e-6, 1)),
        "seed": draw(st.integers(0, 2**32 - 1)),
    }


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
        ("beta", 10**400),
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


def test_missing_and_unknown_parameters_are_named(valid):
    del valid["seed"]
    with pytest.raises(ValueError, match="Missing: seed. Unknown: depth"):
        check_parameters(**valid, depth=3)


def test_default_values_beyond_give_the_same_run(valid):
    assert check_parameters(**valid, **BEYOND) == check_parameters(**valid)
    beyond = check_parameters(**{**valid, "perceptual": 1, "prior": "vamp"})
    assert repr({name: beyond[name] for name in beyond if name not in valid}) == repr(
        {"prior": "vamp", "perceptual": 1.0}
    )


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"prior": "vamp", "conditional": True}, 'the prior "vamp" takes no class labels'),
        ({"prior": "flow", "free_bits": 0.1}, "divergence per latent dimension"),
        ({"posterior": "coupling_flow", "free_bits": 0.1}, "divergence per latent dimension"),
        ({"objective": "iwae", "free_bits": 0.1}, "ignore `free_bits`"),
        ({"objective": "tc", "perceptual": 1.0}, '`perceptual` needs the objective "elbo"'),
        ({"architecture": "ladder", "latent_dim": 1}, "at least two latent dimensions"),
        ({"posterior": "coupling_flow", "objective": "tc"}, "needs a diagonal posterior"),
        ({"architecture": "ladder", "objective": "tc"}, "needs a diagonal posterior"),
        ({"architecture": "ladder", "prior": "vamp"}, "its own `prior` and `posterior`"),
        ({"architecture": "ladder", "posterior": "coupling_flow"}, "its own `prior` and"),
        ({"architecture": "ladder", "prior": "second_stage"}, "its own `prior` and `posterior`"),
        ({"architecture": "ladder", "conditional": True}, "takes no class labels"),
    ],
)
def test_incompatible_choices_beyond_are_rejected(changes, message, valid):
    with pytest.raises(ValueError, match=message):
        check_parameters(**{**valid, **changes})


def test_zero_beta_and_a_warmup_of_half_an_epoch_are_valid(valid):
    check_parameters(**{**valid, "beta": 0, "warmup_epochs": 0.5, "epochs": 1})


def test_cycles_must_fit_and_need_a_warmup(valid):
    with pytest.raises(ValueError, match="must be at most `epochs`"):
        check_parameters(**{**valid, "warmup_epochs": 2, "kl_cycles": 3, "epochs": 5})
    with pytest.raises(ValueError, match="`kl_cycles` must be 1 without a warm-up"):
        check_parameters(**{**valid, "kl_cycles": 2})


@quick
@given(parameter_sets(), parameter_sets())
def test_run_names_are_unique_and_folders_return_their_parameters(one, other):
    assume(one != other)
    assert runs.run_name(one) != runs.run_name(other)
    assert runs.run_name(json.loads(json.dumps(one))) == runs.run_name(one)
    folder = runs.start_run(**one)
    assert folder.parent == runs.models_folder() and folder.name == runs.run_name(one)
    runs.finish_run(folder, {"elbo": -1.0})
    record = {"run": folder.name, **one, **BEYOND, "elbo": -1.0}
    assert runs.read_record(folder) == record


@quick
@given(
    st.sampled_from(PARAMETERS),
    st.one_of(
        st.none(),
        st.text().filter(lambda text: not text.endswith(".npz")),
        st.sampled_from(["../mnist", "residual/../x", float("nan"), float("inf"), -1, -0.5, 1j]),
        st.lists(st.integers()),
        st.floats(max_value=-1e-9),
    ),
)
def test_invalid_values_are_rejected_and_leave_nothing_behind(models, name, value):
    assume(value not in CHOICES.get(name, ()) and value not in [*DATASETS])
    assume(not str(value).startswith("folder:"))
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        runs.start_run(**{**VALID, name: value})
    assert not models.exists()


@settings(quick, max_examples=10)
@given(parameter_sets(), st.sampled_from([(8, 8, 1), (12, 8, 3)]), st.integers(0, 2**32 - 1))
def test_every_set_has_a_finite_loss(values, image_shape, seed):
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (6, *image_shape), "uint8") * random.integers(
        0, 2, dtype="uint8"
    )
    labels = random.integers(0, 3, 6) if values["conditional"] else None
    networks = build_networks(
        values["architecture"], image_shape, values["latent_dim"], 3 * values["conditional"]
    )
    vae = VAE(*networks, **{name: values[name] for name in ("likelihood", "beta", "free_bits")})
    vae.adapt(images)
    recipe = 1 + values["epochs"], values["learning_rate"], values["learning_rate_schedule"]
    vae.compile(optimizer=build_optimizer(*recipe), run_eagerly=True)
    for _ in range(2):
        logs = vae.train_on_batch(images, labels, return_dict=True)
        assert all(np.isfinite(value) for value in logs.values()), logs
    keras.backend.clear_session()
