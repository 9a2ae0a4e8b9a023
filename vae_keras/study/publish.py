"""The published models: which runs of the study they are, and what their cards say.

`python -m vae_keras.study.publish` publishes in `models/pretrained` those whose runs are
finished and have their weights: in `models/`, or in `$VAE_KERAS_MODELS`. Beside them it leaves what
the site's explorer shows of test images and their codes, so that building the site needs no data.
"""

import sys

import numpy as np
import pandas as pd

from vae_keras import pretrained, published, runtime
from vae_keras.data.catalogue import DATASETS
from vae_keras.data.load import load_images
from vae_keras.evaluation import batched, codes
from vae_keras.evaluation.likelihood import elbo_terms
from vae_keras.figures import names
from vae_keras.runtime import keras
from vae_keras.study import runs, sweeps, tables
from vae_keras.study.parameters import PARAMETERS
from vae_keras.vae import VAE

MAX_BYTES = 4_000_000
NUM_SHOWN = 300  # test images in the explorer
MIXTURE_FRACTION = 0.2  # of the training images, to whose codes its mixture is fitted
NUM_COMPARED = 2000  # test images on which the rounded model is compared with its run
MEASURES = (
    *("elbo", "reconstruction_loss", "kl_divergence", "binary_nll", "psnr", "ssim"),
    *("used_units", "probe_accuracy", "fd_reconstructions", "fd_samples", "fd_mixture"),
)
CARD = """---
library_name: keras
license: apache-2.0
tags: [variational-autoencoder]
---

# {name}

A variational autoencoder of {shape} images of {dataset}; {latent_dim} latent dimensions{given}.
It is one run of the study of [vae_keras](https://github.com/vae-keras/vae-keras), that of seed
{seed}; none was selected.

```python
from vae_keras import VAE

vae = VAE.from_pretrained("{name}")
{example}
```

## Data

{source}. It was trained on {train_fraction:.0%} of the training split of `load_images("{key}",
"train")`; neither validation nor test images took part.

## Recipe

{recipe}

## Numbers

Of {num_test_images:,} test images. FD is the Fréchet distance in the features of this project's
judge of the data set: it compares with others of its kind on {dataset} only, and is no FID.

{numbers}

## Limits

- Published weights are rounded and compute in float32. On the first {compared:,} test images the
  ELBO is {rounded:.2f} nats/image as published and {exact:.2f} nats/image as trained.
- Its images are blurred: a decoder of independent pixels averages over what the code leaves open.
- It knows the images of {dataset}. Others are mapped to the nearest thing it knows, without a
  warning.
- The cross-entropy of grey levels is no density of them: compare its ELBO with models of the same
  likelihood and data set only.

## Licence

Weights and code: Apache 2.0. For the images see the source above.
"""


def declared():
    """Returns the published models, a dict from name to the parameters of the run."""
    found = sweeps.declared_runs("pretrained", "study")
    return {name_of(run): run for run in found if run["seed"] == sweeps.FIXED["seed"]}


def name_of(parameters):
    """Names a model: `fashion_mnist-z32`, or `fashion_mnist-z32-conditional`.

    Args:
        parameters: dict with `dataset`, `latent_dim` and `conditional`.
    """
    name = "{dataset}-z{latent_dim}".format(**parameters)
    return f"{name}-conditional" if parameters["conditional"] else name


def main():
    """Publishes what can be published, and says of each model what became of it.

    Returns:
        The exit code: 0, or 1 after one line on the standard error.
    """
    for name, parameters in declared().items():
        weights = runs.models_folder() / runs.run_name(parameters) / "model.keras"
        if not (runs.is_finished(parameters) and weights.exists()):
            print(f"{name}: not published, no finished run has left {weights}", flush=True)
            continue
        try:
            publish_run(name, parameters)
        except (OSError, ValueError) as error:
            print(f"error: {name}: {error}", file=sys.stderr)
            return 1
        print(f"{name}: published", flush=True)
    return 0


def publish_run(name, parameters):
    """Writes a run's model, with its card, to `models/pretrained` and registers its files.

    Args:
        name: name of the model.
        parameters: dict of every one of `PARAMETERS`.

    Raises:
        ValueError: if the weights take more than 4 MB.
    """
    run = runs.models_folder() / runs.run_name(parameters)
    folder = published.MODELS / pretrained.FOLDER / name
    images, labels = load_images(parameters["dataset"], "test")
    vae = VAE.from_pretrained(run / "model.keras")
    vae.save_pretrained(folder)
    compared = images[:NUM_COMPARED], labels[:NUM_COMPARED]
    elbos = {}
    for kind, model in (("exact", vae), ("rounded", VAE.from_pretrained(folder))):
        keras.utils.set_random_seed(0)
        elbos[kind] = elbo_terms(model, *compared)["elbo"]
    shown = images[:NUM_SHOWN], labels[:NUM_SHOWN]
    path = folder.with_name(f"{parameters['dataset']}.npz")
    np.savez_compressed(path, images=shown[0], labels=shown[1].astype("uint8"))
    np.savez_compressed(folder / "codes.npz", **describe_codes(vae, *shown, parameters["dataset"]))
    text = card(name, parameters, images.shape[1:], **elbos)
    (folder / pretrained.CARD).write_text(text, encoding="utf-8")
    size = (folder / pretrained.WEIGHTS).stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{folder} takes {size:,} bytes, which is more than {MAX_BYTES:,}")
    for file in (pretrained.CONFIG, pretrained.WEIGHTS):
        published.register(folder / file)


def describe_codes(vae, images, labels, dataset):
    """Describes the latent space of a model, for the explorer.

    Args:
        vae: a `VAE`.
        images: test images, uint8 `(num_images, height, width, channels)`.
        labels: integers, `(num_images,)`.
        dataset: name of the data set, to whose training codes a mixture is fitted.

    Returns:
        Dict of arrays: `z_mean`, `(num_images, latent_dim)`; `spectrum` and `order`, see
        `codes.kl_spectrum`; of an unconditional model also the Gaussians of `codes.fit_mixture`:
        `weights`, `means` and `roots`, lower triangular roots of the covariances.
    """
    z_mean, z_log_var = batched.encode(vae, images, labels)
    spectrum, order = codes.kl_spectrum(z_mean, z_log_var)
    arrays = {"z_mean": z_mean, "spectrum": spectrum}
    if not vae.num_classes:
        train, _ = load_images(dataset, "train", MIXTURE_FRACTION)
        ((_, _, mixture),) = codes.fit_mixture(batched.encode(vae, train)[0])
        arrays |= {"weights": mixture.weights_, "means": mixture.means_}
        arrays["roots"] = np.linalg.cholesky(mixture.covariances_)
    return {name: values.astype("float32") for name, values in arrays.items()} | {"order": order}


def card(name, parameters, image_shape, exact, rounded):
    """Renders a model's card from the records of its run, and of its other seeds.

    Args:
        name: name of the model.
        parameters: dict of every one of `PARAMETERS`.
        image_shape: `(height, width, channels)`.
        exact: ELBO of test images in nats/image, of the model as trained.
        rounded: the same, of the model as published.
    """
    seeds = [run for run in sweeps.declared_runs("pretrained", "study") if name_of(run) == name]
    rows = runs.select(pd.DataFrame(runs.read_records()), seeds)
    measures = [measure for measure in MEASURES if measure in rows]
    numbers = [
        [
            names.heading(measure),
            names.format_value(measure, rows[measure].iloc[0]),
            tables.spread(measure, rows[measure]),
        ]
        for measure in measures
    ]
    columns = ["measure", "this model", f"mean ± standard deviation (seeds: {len(rows)})"]
    shown = [key for key in PARAMETERS if key != "image_size"]  # that of folders
    recipe = [[names.heading(key), names.format_value(key, parameters[key])] for key in shown]
    classes = DATASETS[parameters["dataset"]]["classes"]
    shape = ", ".join(map(str, image_shape))
    example = f"vae.sample(16)  # (16, {shape}), in [0, 1]"
    given = ""
    if parameters["conditional"]:
        example = f"vae.sample(10, labels=range(10))  # (10, {shape}), one of each class"
        given = f", given the class: {', '.join(classes)}"
    return CARD.format(
        name=name,
        key=parameters["dataset"],
        dataset=names.label(parameters["dataset"]),
        shape="x".join(map(str, image_shape)),
        latent_dim=parameters["latent_dim"],
        given=given,
        seed=parameters["seed"],
        example=example,
        source=DATASETS[parameters["dataset"]]["source"],
        train_fraction=parameters["train_fraction"],
        recipe=tables.render(recipe, ["parameter", "value"]),
        num_test_images=int(rows["num_test_images"].iloc[0]),
        numbers=tables.render(numbers, columns),
        compared=NUM_COMPARED,
        exact=exact,
        rounded=rounded,
    )


if __name__ == "__main__":
    runtime.configure()
    sys.exit(main())
