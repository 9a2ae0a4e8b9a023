"""Writes what the page of the explorer needs: `python docs/explorer.py`.

That is onnxruntime-web from npm, and for each data set a script with the published models as ONNX,
and what `vae_keras.study.publish` left beside them: test images, their codes and a fitted mixture.
A page opened as a file may load scripts and nothing else: all of it is text in scripts, compressed
with gzip.
"""

import base64
import gzip
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import onnx
from PIL import Image

from vae_keras import pretrained, published, runtime
from vae_keras.data.load import class_names
from vae_keras.figures.names import label
from vae_keras.runtime import keras
from vae_keras.study import publish
from vae_keras.vae import VAE

DOCS = Path(__file__).resolve().parent
FOLDER = DOCS / "generated" / "static" / "explorer"
MODELS = published.MODELS / pretrained.FOLDER
RUNTIME = "onnxruntime-web@1.30.0"
LATENT_DIM = 32
ROLES = {
    "planar": {"latent_dim": 2, "conditional": False},
    "large": {"latent_dim": LATENT_DIM, "conditional": False},
    "conditional": {"latent_dim": LATENT_DIM, "conditional": True},
}
# What is shown of each data set. All of it, with every encoder, would take more than 12 MB.
DATASETS = {
    "fashion_mnist": ("planar", "large", "conditional"),
    "cifar10": ("planar", "large"),
    "mnist": ("planar",),
}
ENCODED = "fashion_mnist"
NUM_COLUMNS = 20  # of the picture that holds the test images
NUM_SLIDERS = 8
COLOURS = [matplotlib.colors.to_hex(colour) for colour in matplotlib.colormaps["tab10"].colors]
MIN_SIZE = 256  # numbers of a weight that is stored in float16


def main():
    """Writes the scripts of all data sets that have published models."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    try:
        write_runtime()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"explorer, left out: it needs npm, and {RUNTIME} from its registry: {error}")
        return 0
    index = {}
    for dataset, roles in DATASETS.items():
        found = {role: publish.name_of({"dataset": dataset, **ROLES[role]}) for role in roles}
        found = {role: name for role, name in found.items() if name in pretrained.names()}
        if found:
            write_script(dataset, describe(dataset, found))
            index[dataset] = label(dataset)
    write_script("index", index)
    return 0


def write_runtime():
    """Unpacks the library that runs the models, with its licence."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", "--prefer-offline", RUNTIME]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as files:
            names = (
                "ort.wasm.min.js",
                *(f"ort-wasm-simd-threaded.{end}" for end in ("mjs", "wasm")),
            )
            library, module, binary = (
                files.extractfile(f"package/dist/{name}").read() for name in names
            )
    (FOLDER / "ort.wasm.min.js").write_bytes(library)
    shutil.copy(DOCS / "_static" / "LICENSE.onnxruntime", FOLDER)
    write_script("runtime", {"module": packed(module), "binary": packed(binary)})


def describe(dataset, found):
    """Collects what the page shows of a data set, as JSON.

    Args:
        dataset: its name.
        found: dict from the models' roles to their names.
    """
    with np.load(MODELS / f"{dataset}.npz") as shown:
        images, labels = shown["images"], shown["labels"]
    content = {
        "label": label(dataset),
        "classes": class_names(dataset),
        "shape": images.shape[1:],
        "columns": NUM_COLUMNS,
        "colours": COLOURS,
        "images": picture(images, lossless=dataset == ENCODED),
        "labels": labels.tolist(),
        "models": {},
    }
    for role, name in found.items():
        vae = VAE.from_pretrained(name)
        model = content["models"][role] = {"name": name}
        pixels = keras.ops.sigmoid(vae.decoder.output)
        model["decoder"] = export(keras.Model(vae.decoder.input, pixels))
        model["latentDim"] = vae.latent_dim
        arrays = np.load(MODELS / name / "codes.npz")
        if role != "conditional":
            model["codes"] = np.round(arrays["z_mean"].astype(float), 3).tolist()
        if role == "large":
            model["order"] = arrays["order"][:NUM_SLIDERS].tolist()
            model["nats"] = np.round(arrays["spectrum"][:NUM_SLIDERS].astype(float), 2).tolist()
            model["mixture"] = {
                key: np.round(arrays[key].astype(float), 4).tolist()
                for key in ("weights", "means", "roots")
            }
            if dataset == ENCODED:
                model["encoder"] = export(keras.Model(vae.encoder.input, vae.encoder.output[0]))
    return content


def export(network):
    """Returns a network as ONNX with weights in float16, which the runtime reads as float32."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of NumPy, about Keras
        path = f"{folder}/network.onnx"
        network(
            keras.tree.map_structure(
                lambda x: np.zeros((1, *x.shape[1:]), "float32"), network.input
            )
        )
        network.export(path, format="onnx", verbose=False)
        graph = onnx.load(path)
    for number, weight in enumerate(graph.graph.initializer):
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.size >= MIN_SIZE:
            name, half = weight.name, f"half_{number}"
            weight.CopyFrom(onnx.numpy_helper.from_array(values.astype("float16"), half))
            cast = onnx.helper.make_node("Cast", [half], [name], to=onnx.TensorProto.FLOAT)
            graph.graph.node.insert(0, cast)
    onnx.checker.check_model(graph)
    content = graph.SerializeToString()
    return packed(content[::2] + content[1::2])  # bytes of one significance compress better


def picture(images, lossless):
    """Returns images side by side, `NUM_COLUMNS` in a row, as a data URL of a WebP picture."""
    height, width, channels = images.shape[1:]
    rows = images.reshape(-1, NUM_COLUMNS, height, width, channels).swapaxes(1, 2)
    pixels = rows.reshape(-1, NUM_COLUMNS * width, channels).repeat(3 // channels, axis=-1)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WebP", lossless=lossless, quality=85)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def packed(content):
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def write_script(name, content):
    """Writes a script that hands its content over as `EXPLORER[name]`."""
    text = f"(window.EXPLORER ??= {{}})[{json.dumps(name)}] = {json.dumps(content)};\n"
    (FOLDER / f"{name}.js").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    runtime.configure()
    keras.config.set_dtype_policy("float32")
    sys.exit(main())
