"""Publishes trained models of the study, with their cards.

`python -m vae_keras.study.publish` writes to `models/pretrained` every model of `declared()` that
has a finished run with weights in `models/` or `$VAE_KERAS_MODELS`. It also stores the test images
and codes for the site's explorer, which can then be built without the data sets.
"""

import argparse
import sys

import numpy as np
import pandas as pd

from vae_keras import runtime
from vae_keras.data.catalogue import DATASETS
from vae_keras.data.load import load_images
from vae_keras.evaluation import batched, codes
from vae_keras.evaluation.likelihood import elbo_terms
from vae_keras.figures import names
from vae_keras.published import pretrained, registry
from vae_keras.runtime import keras
from vae_keras.study import runs, sweeps, tables
from vae_keras.study.parameters import PARAMETERS
from vae_keras.vae import VAE

MAX_BYTES = 4_000_000
NUM_SHOWN = 300  # test images in the explorer
MIXTURE_FRACTION = 0.2  # share of the training images for the explorer's mixture
NUM_COMPARED = 2000  # test images for comparing the rounded model with its run
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
It is the run with seed {seed} from the study [vae_keras](https://github.com/vae-keras/vae-keras);
the seed was not selected by its results.

```python
from vae_keras import VAE

vae = VAE.from_pretrained("{name}")
{example}
```

## Data

{source}. The model was trained on {train_fraction:.0%} of `load_images("{key}", "train")`, without
validation and test images.

## Training

{recipe}

## Evaluation

On the first {num_test_images:,} test images. FD is the Fréchet distance between features of this
project's judge for {dataset}. It is not FID and is comparable only with other FDs on {dataset}.

{numbers}

## Limits

- The published weights are rounded and compute in float32. On the first {compared:,} test images,
  the ELBO is {rounded:.2f} nats/image as published and {exact:.2f} nats/image as trained.
- The images are blurred: a decoder of independent pixels averages over details that the code does
  not determine.
- The model knows only images of {dataset}. It reconstructs any other image as something that it
  can decode, without a warning.
- The cross-entropy of grey levels is not a density: compare the ELBO only with models of the same
  likelihood and data set.

## Licence

Weights and code: Apache 2.0. For the images, see the source above.
"""


def declared():
    """Returns the models to publish, as a dict from name to the parameters of the run."""
    found = sweeps.declared_runs("pretrained", "study")
    return {name_of(run): run for run in found if run["seed"] == sweeps.FIXED["seed"]}


def name_of(parameters):
    """Returns a model's name: `fashion_mnist-z32`, or `fashion_mnist-z32-conditional`.

    Args:
        parameters: dict with `dataset`, `latent_dim` and `conditional`.
    """
    name = "{dataset}-z{latent_dim}".format(**parameters)
    return f"{name}-conditional" if parameters["conditional"] else name


def main(arguments=None):
    """Publishes every model with a finished run and prints a line for each model.

    Args:
        arguments: list of strings, by default those of the command line: none but `--help`.

    Returns:
        The exit code: 0, or 1 after an error.
    """
    prog = "python -m vae_keras.study.publish"
    argparse.ArgumentParser(prog=prog, description=__doc__).parse_args(arguments)
    for name, parameters in declared().items():
        weights = runs.models_folder() / runs.run_name(parameters) / "model.keras"
        if not (runs.is_finished(parameters) and weights.exists()):
            print(f"{name}: not published, no finished run with {weights}", flush=True)
            continue
        try:
            publish_run(name, parameters)
        except (OSError, ValueError) as error:
            print(f"error: {name}: {error}", file=sys.stderr)
            return 1
        print(f"{name}: published", flush=True)
    return 0


def publish_run(name, parameters):
    """Writes a run's model and card to `models/pretrained` and registers the files.

    Args:
        name: name of the model.
        parameters: dict of all of `PARAMETERS`.

    Raises:
        ValueError: if the weights are larger than 4 MB.
    """
    run = runs.models_folder() / runs.run_name(parameters)
    folder = registry.MODELS / pretrained.FOLDER / name
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
        raise ValueError(
            f"weights must take at most {MAX_BYTES:,} bytes. Received: {size:,} bytes in {folder}"
        )
    for file in (pretrained.CONFIG, pretrained.WEIGHTS):
        registry.register(folder / file)


def describe_codes(vae, images, labels, dataset):
    """Computes codes and statistics of a model's latent space for the explorer.

    Args:
        vae: a `VAE`.
        images: test images, uint8 `(num_images, height, width, channels)`.
        labels: integers, `(num_images,)`.
        dataset: name of the data set. The mixture is fitted to codes of its training images.

    Returns:
        Dict of arrays: `z_mean`, `(num_images, latent_dim)`; `spectrum` and `order`, see
        `codes.kl_spectrum`; for an unconditional model, also the Gaussians of `codes.fit_mixture`
        as `weights`, `(num_components,)`; `means`, `(num_components, latent_dim)`; and `roots`, the
        lower triangular Cholesky factors of the covariances, a matrix for each component.
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
    """Renders a model's card from the records of its run and of the other seeds.

    Args:
        name: name of the model.
        parameters: dict of all of `PARAMETERS`.
        image_shape: `(height, width, channels)`.
        exact: ELBO of test images in nats/image for the model as trained.
        rounded: the same for the model as published.
    """
    seeds = [run for run in sweeps.declared_runs("pretrained", "study") if name_of(run) == name]
    rows = runs.select(pd.DataFrame(runs.read_records()), seeds)
    measured, num_test_images = rows.iloc[0].dropna(), int(rows["num_test_images"].iloc[0])
    measures = [measure for measure in MEASURES if measure in measured]
    numbers = [
        [
            names.heading(measure),
            names.format_value(measure, measured[measure]),
            tables.spread(measure, rows[measure]),
        ]
        for measure in measures
    ]
    columns = ["measure", "this model", f"mean ± standard deviation (seeds: {len(rows)})"]
    unused = ("image_size", "evaluation_fraction")  # by these data sets; stated below
    shown = [key for key in PARAMETERS if key not in unused]
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
        num_test_images=num_test_images,
        numbers=tables.render(numbers, columns),
        compared=min(NUM_COMPARED, num_test_images),
        exact=exact,
        rounded=rounded,
    )


if __name__ == "__main__":
    runtime.configure()
    sys.exit(main())
