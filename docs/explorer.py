"""Writes the files that the explorer page loads: `python docs/explorer.py`.

They are onnxruntime-web from npm and, for each data set, a script with the published models as ONNX
and the files that `vae_keras.study.publish` writes with them: test images, their codes and a fitted
mixture. A page opened from disk can load scripts only, so everything is gzipped text in scripts.
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

from vae_keras import runtime
from vae_keras.data.load import class_names
from vae_keras.figures.names import label
from vae_keras.published import pretrained, registry
from vae_keras.runtime import keras
from vae_keras.study import publish
from vae_keras.vae import VAE

DOCS = Path(__file__).resolve().parent
FOLDER = DOCS / "generated" / "static" / "explorer"
MODELS = registry.MODELS / pretrained.FOLDER
RUNTIME = "onnxruntime-web@1.30.0"
LATENT_DIM = 32
ROLES = {
    "planar": {"latent_dim": 2, "conditional": False},
    "large": {"latent_dim": LATENT_DIM, "conditional": False},
    "conditional": {"latent_dim": LATENT_DIM, "conditional": True},
}
# The models shown for each data set. All models with their encoders would exceed 12 MB.
DATASETS = {
    "fashion_mnist": ("planar", "large", "conditional"),
    "cifar10": ("planar", "large"),
    "mnist": ("planar",),
}
ENCODED = "fashion_mnist"
NUM_COLUMNS = 20  # of the atlas, the picture that holds all test images
NUM_SLIDERS = 8
COLOURS = [matplotlib.colors.to_hex(colour) for colour in matplotlib.colormaps["tab10"].colors]
MIN_SIZE = 256  # smallest weight, in numbers, that is stored in float16


def main():
    """Writes the scripts of all data sets that have published models."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    try:
        write_runtime()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"explorer skipped: it needs npm and {RUNTIME} from the npm registry: {error}")
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
    """Writes the library that runs the models, and its licence."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", "--prefer-offline", RUNTIME]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as files:
            names = (
                "ort.wasm.min.js",
                "ort-wasm-simd-threaded.mjs",
                "ort-wasm-simd-threaded.wasm",
            )
            library, module, binary = (
                files.extractfile(f"package/dist/{name}").read() for name in names
            )
    (FOLDER / "ort.wasm.min.js").write_bytes(library)
    shutil.copy(DOCS / "_static" / "LICENSE.onnxruntime", FOLDER)
    write_script("runtime", {"module": packed(module), "binary": packed(binary)})


def describe(dataset, found):
    """Returns the page's content for a data set, as a dict that can be stored as JSON.

    Args:
        dataset: name of the data set.
        found: dict from the roles of the models to their names.
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
    """Returns a network as packed ONNX; weights are stored in float16 and cast to float32."""
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
    return packed(content[::2] + content[1::2])  # grouped by significance, bytes compress better


def picture(images, lossless):
    """Returns one WebP picture of all images, `NUM_COLUMNS` in a row, as a data URL."""
    height, width, channels = images.shape[1:]
    rows = images.reshape(-1, NUM_COLUMNS, height, width, channels).swapaxes(1, 2)
    pixels = rows.reshape(-1, NUM_COLUMNS * width, channels).repeat(3 // channels, axis=-1)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WebP", lossless=lossless, quality=85)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def packed(content):
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def write_script(name, content):
    """Writes a script that sets `EXPLORER[name]` to the content."""
    text = f"(window.EXPLORER ??= {{}})[{json.dumps(name)}] = {json.dumps(content)};\n"
    (FOLDER / f"{name}.js").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    runtime.configure()
    keras.config.set_dtype_policy("float32")
    sys.exit(main())
