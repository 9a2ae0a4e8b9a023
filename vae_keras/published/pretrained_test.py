import json
import shutil
import sys
import types

import h5py
import keras
import numpy as np
import pytest

from vae_keras.published import pretrained, registry
from vae_keras.runtime import dtype_policy
from vae_keras.vae import VAE

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
LABELS = np.arange(40) % 3


@pytest.fixture
def folder(small_vae, tmp_path):
    small_vae.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def publish(folder, tmp_path, monkeypatch):
    """Publishes the files of `folder` as `tiny` in a temporary checkout; returns their folder."""
    monkeypatch.setattr(registry, "MODELS", tmp_path / "models")
    monkeypatch.setattr(registry, "REGISTRY", tmp_path / "registry.txt")
    target = registry.MODELS / "pretrained" / "tiny"
    shutil.copytree(folder, target)
    registry.REGISTRY.write_text("")
    for name in (pretrained.CONFIG, pretrained.WEIGHTS):
        registry.register(target / name)
    return target


def change_config(folder, change):
    path = folder / pretrained.CONFIG
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


@pytest.mark.parametrize(("likelihood", "num_classes"), [("bce", 0), ("sigma", 3)])
def test_a_trained_model_comes_back_but_for_rounding(build_vae, tmp_path, likelihood, num_classes):
    vae = build_vae(num_classes=num_classes, likelihood=likelihood, beta=2.0)
    vae.adapt(IMAGES)
    vae.fit(IMAGES, LABELS, epochs=2, verbose=0)
    vae.save_pretrained(tmp_path / "model")
    again = VAE.from_pretrained(tmp_path / "model")
    assert (again.likelihood, again.beta, again.num_classes) == (likelihood, 2.0, num_classes)
    before, after = vae.reconstruct(IMAGES, LABELS), again.reconstruct(IMAGES, LABELS)
    np.testing.assert_allclose(after, before, atol=1 / 255)
    assert np.max(np.abs(after - before)) > 0  # the rounded weights are the ones in use
    if likelihood == "sigma":
        assert float(again.log_scale) == float(vae.log_scale)
    again.compile(optimizer="adam")
    again.fit(IMAGES, LABELS, verbose=0)


def test_weights_are_rounded_to_the_bits_of_bfloat16(folder, small_vae):
    kernel = small_vae.decoder.layers[-2].kernel.numpy()
    stored = VAE.from_pretrained(folder).decoder.layers[-2].kernel.numpy()
    np.testing.assert_allclose(stored, kernel, rtol=2**-8)
    np.testing.assert_array_equal(stored, np.asarray(keras.ops.cast(stored, "bfloat16"), "float32"))


def test_a_model_of_mixed_precision_computes_in_float32_afterwards(tmp_path, build_vae):
    with dtype_policy("mixed_bfloat16"):
        vae = build_vae("residual")
    vae.save_pretrained(tmp_path / "model")
    again = VAE.from_pretrained(tmp_path / "model")
    assert {layer.compute_dtype for layer in again.decoder.layers} == {"float32"}
    np.testing.assert_allclose(again.reconstruct(IMAGES), vae.reconstruct(IMAGES), atol=0.02)


def test_files_are_small_and_keras_reads_them_too(build_vae, tmp_path):
    vae = build_vae("mlp", (28, 28, 1), 16)
    vae.fit(np.zeros((2, 28, 28, 1), "uint8"), verbose=0)  # Adam has variables now
    vae.save_pretrained(tmp_path / "model")
    size = (tmp_path / "model" / pretrained.WEIGHTS).stat().st_size
    assert size < 2 * vae.count_params()
    again = keras.saving.load_model(tmp_path / "model", compile=False)
    assert again.latent_dim == 16
    card = (tmp_path / "model" / pretrained.CARD).read_text()
    assert "(28, 28, 1)" in card and f'from_pretrained("{tmp_path / "model"}")' in card


def test_the_same_model_makes_the_same_files(small_vae, tmp_path):
    small_vae.save(tmp_path / "model.keras")
    contents = []
    for _ in range(2):
        VAE.from_pretrained(tmp_path / "model.keras").save_pretrained(tmp_path / "model")
        contents.append({path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()})
    assert contents[0] == contents[1]
    assert {*contents[0]} == {pretrained.CONFIG, pretrained.WEIGHTS, pretrained.CARD}


def test_other_files_of_the_folder_stay(small_vae, tmp_path):
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "mine.txt").write_text("mine")
    small_vae.save_pretrained(tmp_path)
    assert (tmp_path / "assets" / "mine.txt").read_text() == "mine"
    assert VAE.from_pretrained(tmp_path).latent_dim == 2


def test_a_keras_file_is_loaded_as_it_is(small_vae, tmp_path):
    small_vae.save(tmp_path / "model.keras")
    again = VAE.from_pretrained(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.reconstruct(IMAGES), small_vae.reconstruct(IMAGES))


def test_published_models_are_found_by_name_and_checked(publish, small_vae):
    assert pretrained.names() == ["tiny"]
    again = VAE.from_pretrained("tiny")
    np.testing.assert_allclose(
        again.reconstruct(IMAGES), small_vae.reconstruct(IMAGES), atol=1 / 255
    )
    with h5py.File(publish / pretrained.WEIGHTS, "r+") as file:
        file.attrs["changed"] = 1
    with pytest.raises(OSError, match="SHA-256 differs"):
        VAE.from_pretrained("tiny")


def test_published_models_are_downloaded_outside_a_checkout(publish, web, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(registry.MODELS, web.folder, dirs_exist_ok=True)
    monkeypatch.setattr(registry, "MODELS", tmp_path / "nowhere")
    monkeypatch.setattr(registry, "BASE_URL", web.url)
    assert VAE.from_pretrained("tiny").latent_dim == 2
    shutil.rmtree(web.folder)
    assert VAE.from_pretrained("tiny").latent_dim == 2  # from the cache
    (weights,) = (tmp_path / "cache").rglob(pretrained.WEIGHTS)
    weights.write_bytes(b"damaged")
    with pytest.raises(OSError, match="could not download"):
        VAE.from_pretrained("tiny")


@pytest.mark.parametrize("source", ["tiny2", "../tiny", "pretrained/tiny", "/etc", "", "~/model"])
def test_other_names_and_paths_are_refused(publish, source):
    with pytest.raises(ValueError, match="must be a published model|no model can be loaded"):
        VAE.from_pretrained(source)


@pytest.mark.parametrize("name", ["user", "../user/name", "user/../name", "a/b/c", "user/"])
def test_malformed_hub_names_are_refused(name):
    with pytest.raises(ValueError, match="is hf://user/name"):
        VAE.from_pretrained(f"hf://{name}")


def test_two_files_are_requested_from_the_hub(folder, monkeypatch):
    asked = []
    hub = types.ModuleType("huggingface_hub")
    hub.snapshot_download = lambda *args, **kwargs: asked.append((args, kwargs)) or str(folder)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert VAE.from_pretrained("hf://user/some.name-2").latent_dim == 2
    wanted = {"allow_patterns": ["config.json", "model.weights.h5"]}
    assert asked == [(("user/some.name-2",), wanted)]
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match="pip install huggingface_hub"):
        VAE.from_pretrained("hf://user/name")


def hide_code(config):
    """Puts a layer that executes its own bytecode in front of the decoder's second layer."""
    layer = keras.layers.Lambda(lambda x: open("hostile", "w") and x)
    hostile = keras.saving.serialize_keras_object(layer)
    config["config"]["decoder"]["config"]["layers"][1] |= {
        name: hostile[name] for name in ("module", "class_name", "config", "registered_name")
    }


HOSTILE = {
    "a lambda": hide_code,
    "another class": lambda config: config["config"].update(
        decoder={"module": "os", "class_name": "system", "config": {"command": "touch hostile"}}
    ),
    "a function": lambda config: config["config"].update(
        decoder={"module": "builtins", "class_name": "function", "config": "eval"}
    ),
    "no class": lambda config: config.update(class_name="Nothing", registered_name="a>b"),
    "nothing": lambda config: config.clear(),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_hostile_configurations_are_refused(folder, change, tmp_path, monkeypatch):
    change_config(folder, change)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="no model can be loaded"):
        VAE.from_pretrained(folder)
    assert not (tmp_path / "hostile").exists()


def test_weights_that_point_to_another_file_are_refused(folder, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(10**6))
    with h5py.File(folder / pretrained.WEIGHTS, "r+") as file:
        name = file.visititems(lambda name, item: name if getattr(item, "ndim", 0) == 2 else None)
        shape = file[name].shape
        del file[name]
        file.create_dataset(name, shape, "float16", external=[(str(secret), 0, 10**6)])
    with pytest.raises(ValueError, match="no model can be loaded"):
        VAE.from_pretrained(folder)


def test_damaged_and_foreign_models_are_refused(folder, tmp_path):
    dense = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    keras.saving.save_model(dense, tmp_path / "other", zipped=False)
    with pytest.raises(ValueError, match="must be a `VAE`. Received: Sequential"):
        VAE.from_pretrained(tmp_path / "other")
    (folder / pretrained.WEIGHTS).write_bytes(b"damaged")
    with pytest.raises(ValueError, match="no model can be loaded"):
        VAE.from_pretrained(folder)


@pytest.mark.parametrize("value", [np.nan, 1e5])
def test_weights_that_do_not_fit_are_refused(small_vae, tmp_path, value):
    small_vae.decoder.layers[1].bias.assign(np.full(400, value))
    with pytest.raises(ValueError, match="must be finite and at most 65504"):
        small_vae.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()
