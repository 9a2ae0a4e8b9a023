"""Trained models as folders: Keras's configuration, weights in float16 and a model card."""

import json
import os
import re
import tempfile
import warnings
from pathlib import Path

import h5py
import numpy as np

from vae_keras.published import registry
from vae_keras.runtime import keras

# Keras's own names: `keras.saving.load_model(folder)` reads the folder, too.
CONFIG, WEIGHTS, CARD = "config.json", "model.weights.h5", "README.md"
FOLDER = "pretrained"  # in `models/`
KERNEL_BITS = 8  # significant bits of the entries of a kernel, as in bfloat16

DEFAULT_CARD = """---
library_name: keras
tags: [variational-autoencoder]
---

# {name}

A variational autoencoder of [vae_keras](https://github.com/vae-keras/vae-keras): images of shape
{shape}, {latent_dim} latent dimensions, {labels}; likelihood `{likelihood}`, beta {beta:g}.

```python
from vae_keras import VAE

vae = VAE.from_pretrained("{folder}")
```
"""


def names():
    """Returns the names of all published models, for `load`."""
    paths = [Path(name).parts for name in registry.names()]
    return list(dict.fromkeys(parts[1] for parts in paths if parts[0] == FOLDER))


def load(source):
    """Loads a `keras.Model`, not compiled; see `VAE.from_pretrained`.

    Code that comes with a model is never executed: Keras's safe mode is on, and classes outside
    Keras and this package are found only if the caller has registered them.
    """
    path = _locate(os.fspath(source))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # for missing weights
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises errors of many types
        raise ValueError(f"no model can be loaded from {path}: {error}") from error


def save(vae, folder):
    """Writes a model for `load`; see `VAE.save_pretrained`.

    Weights are stored in float16. Those with two or more axes are rounded to 8 significant bits,
    the precision of products in bfloat16 training. A loaded model computes in float32.
    """
    folder = Path(folder)
    _check_weights(vae)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        full = Path(temporary, "model")
        keras.saving.save_model(vae, full, zipped=False)
        config = json.loads((full / CONFIG).read_text(encoding="utf-8"))
        _shrink(full / WEIGHTS, folder / WEIGHTS)
    config["compile_config"] = None
    text = re.sub(r'"mixed_b?float16"', '"float32"', json.dumps(config, indent=1))
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    card = DEFAULT_CARD.format(
        name=folder.resolve().name,
        folder=folder,
        shape=vae.image_shape,
        latent_dim=vae.latent_dim,
        labels=f"{vae.num_classes} classes" if vae.num_classes else "no class labels",
        likelihood=vae.likelihood,
        beta=vae.beta,
    )
    (folder / CARD).write_text(card, encoding="utf-8")


def _locate(source):
    """Returns the path of a model's folder or file, downloaded if necessary."""
    if source.startswith("hf://"):
        return _download(source.removeprefix("hf://"))
    if source in names():
        files = [registry.fetch(f"{FOLDER}/{source}/{name}") for name in (CONFIG, WEIGHTS)]
        if files[0].parent != files[1].parent:
            raise OSError(f"{files[0].parent} is incomplete: restore or delete this folder")
        return files[0].parent
    if not os.path.exists(source):
        raise ValueError(
            f"`source` must be a published model ({', '.join(names())}), the path of a folder or "
            f"a `.keras` file, or hf://user/name. Received: {source!r}"
        )
    return Path(source)


def _download(repository):
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", repository):
        raise ValueError(f"the name of a hub model is hf://user/name. Received: hf://{repository}")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ImportError("hf:// needs huggingface_hub: pip install huggingface_hub") from error
    return Path(snapshot_download(repository, allow_patterns=[CONFIG, WEIGHTS]))


def _check_weights(vae):
    largest = np.finfo("float16").max
    for weight in vae.weights:
        values = np.asarray(weight, "float64")
        if not np.abs(values).max(initial=0) <= largest:  # false for NaN
            raise ValueError(
                f"weights must be finite and at most {largest:g} to be stored in float16. "
                f"Received: {weight.path}, up to {np.abs(values).max():g}"
            )


def _shrink(full_path, path):
    """Copies a weights file in float16, compressed, without the optimizer's variables."""

    def copy(name, item):
        if name.split("/")[0] == "optimizer":
            return
        if isinstance(item, h5py.Group):
            target.require_group(name)
        elif item.ndim == 0 or item.dtype.kind != "f":
            target.create_dataset(name, data=item[()])
        else:
            values = _round(item[()]) if item.ndim > 1 else item[()]
            # One chunk with its bytes grouped by significance compresses best.
            target.create_dataset(
                name,
                data=values.astype("float16"),
                chunks=values.shape,
                compression=4,
                shuffle=True,
            )
        target[name].attrs.update(item.attrs)

    with h5py.File(full_path) as source, h5py.File(path, "w") as target:
        target.attrs.update(source.attrs)
        source.visititems(copy)


def _round(values):
    """Rounds numbers to `KERNEL_BITS` significant bits."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.round(mantissa * 2**KERNEL_BITS) / 2**KERNEL_BITS, exponent)
