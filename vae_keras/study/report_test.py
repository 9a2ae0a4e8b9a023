import numpy as np
import pytest

from vae_keras.study import claims, report, reproductions, runs, sweeps

README = "".join(
    f"<!-- begin {name} -->\nold\n<!-- end {name} -->\ntext after {name}\n"
    for name in ("findings", "results", "claims", "bench")
)


def finish(sweep, budget, substitute=False):
    """Finishes the runs of a sweep with measures that depend on the parameters."""
    for parameters in sweeps.declared_runs(sweep, budget, substitute):
        folder = runs.start_run(**parameters)
        images = np.full((10, 4, 4, 1), parameters["seed"], "uint8")
        np.savez(folder / "pictures.npz", originals=images, reconstructions=images)
        size, seed = parameters["latent_dim"], parameters["seed"]
        measures = {
            "elbo": -300.0 + np.log2(size) - 10 * parameters["beta"] + 0.1 * seed,
            "reconstruction_loss": 250.0 - size,
            "kl_divergence": 12.0,
            "psnr": 15.0 + np.log2(size) + 0.1 * seed,
            "fd_samples": 40.0 + 0.1 * seed,
            "fd_mixture": 30.0,
            "num_test_images": 10_000,
        }
        runs.finish_run(folder, measures)
    runs.write_results()
    return runs.load_results()


@pytest.fixture
def checkout(models, monkeypatch):
    """A checkout with `models` as its own models folder."""
    monkeypatch.setattr(report, "ROOT", models.parent)
    monkeypatch.setattr(runs, "_default_folder", lambda: models)
    (models.parent / "README.md").write_text(README)
    return models.parent


def test_the_report_of_the_checkouts_runs_is_complete(checkout):
    finish("study", sweeps.SHOWN_BUDGET)
    names = {path.relative_to(checkout).as_posix() for path in report.write_report()}
    pages = {"models/findings.md", "models/reproductions.md", "README.md", "images/claims.png"}
    assert names == pages | {"models/results.csv"}
    assert all((checkout / name).stat().st_size for name in names)
    readme = (checkout / "README.md").read_text()
    assert "old" not in readme and readme.count("text after") == 4
    assert "[![All tested claims" in readme and "Not measured yet: `make bench`." in readme
    assert not (checkout / "images" / "02_latent_map.gif").exists()
    findings = (checkout / "models" / "findings.md").read_text()
    shown = [claim.statement in findings for claim in claims.CLAIMS]
    assert shown == [claim not in reproductions.CLAIMS for claim in claims.CLAIMS]
    first = sweeps.declared_runs("latent_dim", sweeps.SHOWN_BUDGET)[0]
    (runs.models_folder() / runs.run_name(first) / "latent_map.gif").write_bytes(b"GIF")
    assert checkout / "images" / "02_latent_map.gif" in report.write_report()
    assert (checkout / "images" / "02_latent_map.gif").read_bytes() == b"GIF"
    assert (checkout / "README.md").read_text() == readme


def test_other_models_folders_leave_the_readme_unchanged(checkout, monkeypatch):
    monkeypatch.setenv("VAE_KERAS_MODELS", str(checkout / "elsewhere"))
    finish("quick", "quick", substitute=True)
    names = {path.relative_to(checkout).as_posix() for path in report.write_report()}
    assert names == {"elsewhere/results.csv"} | {
        f"elsewhere/images/02_quick_{name}.png"
        for name in (
            *("digits_photos_latent_dim", "digits_photos_beta"),
            *("reconstructions_digits", "reconstructions_photos"),
        )
    }
    assert (checkout / "README.md").read_text() == README
    assert not (checkout / "models").exists()


def test_the_report_works_before_the_first_run(checkout):
    report.write_report()
    readme = (checkout / "README.md").read_text()
    assert "No claims decided yet" in readme
    assert "**CIFAR-10**: no finished runs yet." in readme


def test_findings_are_conclusive_claims_with_number_interval_and_figure(checkout):
    checked = claims.check_all(finish("study", sweeps.SHOWN_BUDGET))
    findings = report.readme_blocks(runs.load_results(), checked)["findings"].splitlines()
    assert findings[0] == (
        "- The ELBO falls from latent size 32 to 128: "
        "Fashion-MNIST **contradicted**, -2.0 nats/image (-2.0 to -2.0); "
        "CIFAR-10 **no difference**, -2.0 nats/image (-2.0 to -2.0). "
        "[03_reconstruction_and_rate](images/03_reconstruction_and_rate.png)"
    )
    assert len(findings) <= 5 and not any("inconclusive" in line for line in findings)


def test_each_data_set_has_a_table_of_at_most_six_columns(checkout):
    table = finish("study", sweeps.SHOWN_BUDGET)
    results = report.readme_blocks(table, claims.check_all(table))["results"]
    assert results.count("**Fashion-MNIST**: 93 of 93 runs") == 1
    assert "10,000 test images." in results
    lines = [line[1:-1].split("|") for line in results.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line] for line in lines]
    assert all(len(row) <= 6 for row in rows)
    assert rows[0][:3] == ["setting", "ELBO (nats/image)", "PSNR (dB)"]
    assert rows[3][:3] == ["latent size 8", "-306.8 ± 0.2", "18.20 ± 0.16"]
    assert rows[8][:2] == ["unit variance", ""]  # not comparable with the other ELBOs


def test_the_bench_block_is_bench_md(checkout):
    runs.models_folder().mkdir()
    (runs.models_folder() / "bench.md").write_text("| fast |\n")
    table = finish("study", sweeps.SHOWN_BUDGET)
    assert report.readme_blocks(table, claims.check_all(table))["bench"] == "| fast |"


def test_blocks_need_a_known_name_and_an_end():
    text = "x\n<!-- begin a -->\n1\n<!-- end a -->\ny"
    filled = report.fill_blocks(text, {"a": r"\1 2", "b": ""})
    assert filled == "x\n<!-- begin a -->\n\\1 2\n<!-- end a -->\ny"
    assert report.fill_blocks(filled, {"a": r"\1 2"}) == filled
    for bad in ("<!-- begin c -->\n<!-- end c -->", "<!-- begin a -->\n1"):
        with pytest.raises(ValueError, match="one of the names a"):
            report.fill_blocks(bad, {"a": ""})
