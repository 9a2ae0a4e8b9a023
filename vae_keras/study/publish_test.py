import numpy as np
import pytest

from vae_keras.published import registry
from vae_keras.study import publish, runs, sweeps
from vae_keras.vae import VAE


@pytest.fixture
def finished(build_vae, tmp_path, monkeypatch):
    """Finished runs of two `digits` models, two seeds each, and an empty checkout to publish to."""
    grid = {"dataset": ["digits"], "latent_dim": [2], "conditional": [False, True]}
    grids = [grid | {"seed": [0, 1]}, {"dataset": ["digits"]}]
    monkeypatch.setitem(sweeps.SWEEPS, "pretrained", grids)
    monkeypatch.setattr(registry, "MODELS", tmp_path / "checkout" / "models")
    monkeypatch.setattr(registry, "REGISTRY", tmp_path / "registry.txt")
    registry.REGISTRY.write_text("")
    for parameters in sweeps.declared_runs("pretrained", "study"):
        if parameters["latent_dim"] == 2:
            folder = runs.start_run(**parameters)
            vae = build_vae(num_classes=10 if parameters["conditional"] else 0)
            vae.save(folder / "model.keras")
            elbo = -30.0 - 4 * parameters["seed"]
            runs.finish_run(folder, {"elbo": elbo, "num_test_images": 360})


def test_names_contain_the_parameters_that_vary():
    assert [*publish.declared()] == [
        *("fashion_mnist-z2", "fashion_mnist-z32", "cifar10-z2", "cifar10-z32"),
        *("fashion_mnist-z32-conditional", "cifar10-z32-conditional", "mnist-z2"),
    ]


def test_finished_runs_are_published_with_a_card(finished, capsys):
    assert publish.main([]) == 0
    printed = capsys.readouterr().out
    assert "digits-z2-conditional: published" in printed
    assert "digits-z32: not published, no finished run with" in printed
    vae = VAE.from_pretrained("digits-z2-conditional")
    assert (vae.latent_dim, vae.num_classes) == (2, 10)
    card = (registry.MODELS / "pretrained" / "digits-z2-conditional" / "README.md").read_text()
    assert "| ELBO (nats/image) | -30.0" in " ".join(card.split())
    assert "-32.0 ± 2.8" in card  # over -30 and -34
    assert "given the class: 0, 1, 2" in card and "labels=range(10)" in card
    assert "None" not in card and "nan" not in card


def test_the_explorers_arrays_are_stored_with_the_models(finished):
    assert publish.main([]) == 0
    folder = registry.MODELS / "pretrained"
    shown = np.load(folder / "digits.npz")
    vae, arrays = VAE.from_pretrained("digits-z2"), np.load(folder / "digits-z2" / "codes.npz")
    np.testing.assert_allclose(arrays["z_mean"], vae.encode(shown["images"])[0], atol=0.05)
    assert sorted(arrays["order"]) == [0, 1] and arrays["weights"].sum() == pytest.approx(1)
    covariances = arrays["roots"] @ arrays["roots"].swapaxes(1, 2)
    spread = np.einsum("k,kij->ij", arrays["weights"], covariances).trace()
    assert 0 < spread < arrays["z_mean"].var(axis=0).sum() * 1.5
    assert "weights" not in np.load(folder / "digits-z2-conditional" / "codes.npz")


def test_an_oversized_model_is_not_registered(finished, monkeypatch, capsys):
    monkeypatch.setattr(publish, "MAX_BYTES", 1000)
    assert publish.main([]) == 1
    assert "at most 1,000 bytes" in capsys.readouterr().err
    assert registry.names() == []
