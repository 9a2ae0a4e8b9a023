import pytest

from vae_keras import published
from vae_keras.study import publish, runs, sweeps
from vae_keras.vae import VAE


@pytest.fixture
def finished(build_vae, tmp_path, monkeypatch):
    """Two seeds of a model of `digits` with weights, a checkout of its own to publish it in."""
    grid = {"dataset": ["digits"], "latent_dim": [2], "conditional": [True], "seed": [0, 1]}
    monkeypatch.setitem(sweeps.SWEEPS, "pretrained", [grid, {"dataset": ["digits"]}])
    monkeypatch.setattr(published, "MODELS", tmp_path / "checkout" / "models")
    monkeypatch.setattr(published, "REGISTRY", tmp_path / "published.txt")
    published.REGISTRY.write_text("")
    vae = build_vae(num_classes=10)
    for parameters in sweeps.declared_runs("pretrained", "study"):
        if parameters["conditional"]:
            folder = runs.start_run(**parameters)
            vae.save(folder / "model.keras")
            elbo = -30.0 - 4 * parameters["seed"]
            runs.finish_run(folder, {"elbo": elbo, "num_test_images": 360})
    return vae


def test_names_say_what_varies():
    assert [*publish.declared()] == [
        *("fashion_mnist-z2", "fashion_mnist-z32", "cifar10-z2", "cifar10-z32"),
        *("fashion_mnist-z32-conditional", "cifar10-z32-conditional", "mnist-z2"),
    ]


def test_finished_runs_are_published_with_a_card(finished, capsys):
    assert publish.main() == 0
    printed = capsys.readouterr().out
    assert "digits-z2-conditional: published" in printed
    assert "digits-z32: not published, no finished run has left" in printed
    vae = VAE.from_pretrained("digits-z2-conditional")
    assert (vae.latent_dim, vae.num_classes) == (2, 10)
    card = (published.MODELS / "pretrained" / "digits-z2-conditional" / "README.md").read_text()
    assert "| ELBO (nats/image) | -30.0" in " ".join(card.split())
    assert "-32.0 ± 2.8" in card  # of -30 and -34
    assert "given the class: 0, 1, 2" in card and "labels=range(10)" in card
    assert "None" not in card and "nan" not in card


def test_a_model_that_is_too_large_is_not_registered(finished, monkeypatch, capsys):
    monkeypatch.setattr(publish, "MAX_BYTES", 1000)
    assert publish.main() == 1
    assert "which is more than 1,000" in capsys.readouterr().err
    assert published.names() == []
