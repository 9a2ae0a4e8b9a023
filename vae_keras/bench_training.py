"""Training measured side by side: contestants in processes of their own, in turns."""

import contextlib
import json
import subprocess
import sys
import tempfile

import numpy as np
import pandas as pd

ROUNDS = 7
BATCH_SIZE = 128
NUM_IMAGES = 2560
SHAPES = {"28x28x1": (28, 28, 1), "32x32x3": (32, 32, 3)}
OURS, STOCK, PIPELINE = "vae_keras", "stock Keras", "input pipeline alone"
TRAINING = {
    OURS: {"kind": "ours"},
    STOCK: {"kind": "stock_keras"},
    "PyTorch, eager": {"kind": "torch", "compiled": False},
    "PyTorch, compiled, bfloat16": {"kind": "torch", "compiled": True},
    PIPELINE: {"kind": "pipeline"},
}
PRODUCTS = {
    f"matrix product, {precision}": {"kind": "matrix_product", "precision": precision}
    for precision in ("float32", "bfloat16")
}
# What the time for an image depends on: batch size, image size, number of images.
COSTS = {
    **{f"batch size {size}": {"batch_size": size} for size in (32, 128, 512)},
    **{f"image size {size}": {"image_shape": (size, size, 1)} for size in (28, 32, 64)},
    **{f"{number:,} images": {"num_images": number} for number in (1000, 10000, 60000)},
}


class Contestant:
    """A process of `bench_worker`, which measures once whenever it is asked.

    Args:
        **options: what the worker is told, see `bench_worker.main`.

    Raises:
        RuntimeError: with what the process said, if it does not get ready.
    """

    def __init__(self, **options):
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vae_keras.bench_worker", json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.description = self._answer()

    def measure(self):
        """Returns a dict of `seconds`, `work` and `memory`."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            message = self.errors.read().strip()[-2000:]
            self.close()
            raise RuntimeError(message)
        return json.loads(line)


def measure_training(shape, rounds=ROUNDS, num_images=NUM_IMAGES):
    """Lets all contestants train on images of one shape, in turns.

    Args:
        shape: a key of `SHAPES`.
        rounds: measurements of each contestant.
        num_images: images in a measurement.

    Returns:
        `pandas.DataFrame`, see `summarize`; images/s, or operations/s of matrix products, and for
        each that trains the `ratio` to stock Keras, in the same round; `share` is that of the
        matrix products' rate in its precision which our training reaches.
    """
    options = {"image_shape": SHAPES[shape], "batch_size": BATCH_SIZE, "num_images": num_images}
    declared = {name: options | further for name, further in (TRAINING | PRODUCTS).items()}
    measured, descriptions = measure_in_turns(declared, rounds)
    rates = {name: rates_of(values) for name, values in measured.items()}
    rows = []
    for name in declared:
        if name not in rates:
            note = "not measured: it needs `pip install -r requirements-bench.txt` and a compiler"
            rows.append({"part": "training", "images": shape, "name": name, "note": note})
            continue
        values = rates[name]
        quantities = {"rate": values}
        if declared[name]["kind"] in ("ours", "stock_keras", "torch"):
            quantities["ratio"] = values / rates[STOCK]
        if name == OURS:
            precision = descriptions[name]["precision"].removeprefix("mixed_")
            product = rates[f"matrix product, {precision}"]
            quantities["share"] = values * descriptions[name]["operations"] / product
        memory = max(result["memory"] for result in measured[name])
        precision = descriptions[name]["precision"]
        row = summarize("training", shape, name, precision, memory, quantities)
        if name == OURS:
            row |= {key: descriptions[name][key] for key in ("device", "threads")}
        rows.append(row)
    return pd.DataFrame(rows)


def measure_costs(rounds=3, num_images=NUM_IMAGES):
    """Lets our training run on batches, images and sets of several sizes, one after the other.

    Returns:
        `pandas.DataFrame`, see `summarize`.
    """
    base = {"kind": "ours", "image_shape": SHAPES["28x28x1"], "batch_size": BATCH_SIZE}
    base["num_images"] = num_images
    rows = []
    for name, further in COSTS.items():
        measured, descriptions = measure_in_turns({name: base | further}, rounds)
        quantities = {"rate": rates_of(measured[name])}
        memory = max(result["memory"] for result in measured[name])
        precision = descriptions[name]["precision"]
        rows.append(summarize("cost", "28x28x1", name, precision, memory, quantities))
    return pd.DataFrame(rows)


def measure_in_turns(declared, rounds):
    """Starts contestants one after the other and measures them in turns, in changing order.

    Args:
        declared: dict from name to options.
        rounds: measurements of each.

    Returns:
        Pair of a dict from name to the list of its measurements and of a dict from name to its
        description; what needs PyTorch and does not get ready is in neither.
    """
    with contextlib.ExitStack() as stack:
        contestants = {}
        for name, options in declared.items():
            try:
                contestants[name] = Contestant(**options)
            except RuntimeError as error:
                if options["kind"] != "torch":
                    raise
                print(f"{name} is left out: {error}", flush=True)
            else:
                stack.callback(contestants[name].close)
        measured = {name: [] for name in contestants}
        names = list(contestants)
        for _ in range(rounds):
            for name in names:
                measured[name].append(contestants[name].measure())
            names.append(names.pop(0))  # another one begins the next round
    return measured, {name: contestant.description for name, contestant in contestants.items()}


def rates_of(measurements):
    """Returns work per second, an array."""
    return np.array([result["work"] / result["seconds"] for result in measurements])


def summarize(part, shape, name, precision, memory, quantities):
    """Makes a row: of each quantity the median over rounds, the lowest and the highest."""
    row = {"part": part, "images": shape, "name": name, "precision": precision}
    return row | spread(quantities) | {"memory": memory}


def spread(quantities):
    """Returns the median of each quantity under its name, and its range as `_low` and `_high`."""
    row = {}
    for name, values in quantities.items():
        row |= {name: np.median(values), f"{name}_low": min(values), f"{name}_high": max(values)}
    return row
