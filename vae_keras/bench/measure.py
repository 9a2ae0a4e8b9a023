"""Measures the contestants in turns, each in its own process."""

import argparse
import itertools
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack

import matplotlib as mpl
import numpy as np
import pandas as pd

from vae_keras.bench import contestants
from vae_keras.figures import names, style
from vae_keras.study import runs
from vae_keras.study.execute import visible_gpus

OURS, STOCK = "vae_keras", "stock Keras"
TRAINING = {
    OURS: {"kind": "ours"},  # first: PyTorch uses a GPU only if TensorFlow does
    STOCK: {"kind": "stock_keras"},
    "PyTorch, eager": {"kind": "pytorch", "compiled": False},
    "PyTorch, compiled, bfloat16": {"kind": "pytorch", "compiled": True},
}
PRODUCTS = {
    f"matrix product, {precision}": {"kind": "matrix_product", "precision": precision}
    for precision in ("float32", "bfloat16")
}
SIZES = {"image_shape": (28, 28, 1), "batch_size": 64, "num_images": 2560}
SHAPES = {"fashion_mnist": (28, 28, 1), "cifar10": (32, 32, 3)}


def _group(shape, batch_size):
    return f"{'x'.join(map(str, shape))}, batch {batch_size}"


BATCH_SIZES = (64, 128)
COMPARED = {
    _group(shape, batch_size): {"image_shape": shape, "batch_size": batch_size}
    for shape in SHAPES.values()
    for batch_size in BATCH_SIZES
}
TITLES = {
    _group(shape, batch_size): f"{names.label(dataset)}, batch {batch_size}"
    for dataset, shape in SHAPES.items()
    for batch_size in BATCH_SIZES
}
# ELBOs of validation images to reach, nats per image.
TARGETS = {"fashion_mnist": (-245.5, -242.0), "cifar10": (-1848.0, -1840.0)}
LENGTHS = (1, 2, 3, 4)  # epochs of our training runs: the schedule of each ends with it
LIMIT = 600  # seconds of training
LEARNING = {name: {"batch_size": 128, **kind} for name, kind in TRAINING.items()}
LEARNING[OURS]["batch_size"] = 64


def main(arguments=None):
    """Measures; writes `bench.csv`, `bench.md` and `images/bench.png`, and prints the tables.

    The part `quality` takes hours. It resumes: rounds in `bench.csv` are not measured again.
    """
    parser = argparse.ArgumentParser(prog="python -m vae_keras.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"any of {', '.join(PARTS)}; all by default")
    parts = parser.parse_args(arguments).parts or list(PARTS)
    if not set(parts) <= set(PARTS):
        parser.error(f"unknown part. Valid parts: {', '.join(PARTS)}")
    path = runs.models_folder() / "bench.csv"
    table = pd.read_csv(path) if path.exists() else pd.DataFrame({"part": []})
    for part in parts:
        known, others = table[table["part"] == part], table[table["part"] != part]
        for rows in PARTS[part](known):
            table = pd.concat([others, pd.DataFrame([{"part": part, **row} for row in rows])])
            with runs.atomic(path) as partial:
                table.to_csv(partial, index=False, float_format="%.6g")
    path.with_suffix(".md").write_text(markdown(table), encoding="utf-8")
    if "training" in set(table["part"]):
        draw(table).savefig(runs.images_folder() / "bench.png")
    print(markdown(table))
    return 0


def measure_training(_, rounds=7):
    """Yields the rows of images/s, relative to stock Keras and to matrix products."""
    rows = []
    for group, sizes in COMPARED.items():
        declared = {name: SIZES | sizes | kind for name, kind in (TRAINING | PRODUCTS).items()}
        rates, facts = take_turns(declared, rounds)
        for name, rate in rates.items():
            row = {"group": group, "name": name, **facts[name], **spread("rate", rate)}
            if name in TRAINING:
                row |= spread("ratio", rate / rates[STOCK])
            if name == OURS:
                product = rates[
                    f"matrix product, {facts[OURS]['precision'].removeprefix('mixed_')}"
                ]
                row |= spread("share", rate * facts[OURS]["operations"] / product)
            rows.append(row)
    yield rows


def measure_quality(known, rounds=3):
    """Yields all rows of ELBOs over seconds of training, after each round.

    In a round, all contestants learn one data set with one seed.

    Args:
        known: `pandas.DataFrame` of rows measured before, whose rounds are not measured again.
        rounds: number of seeds.
    """
    rows = known.to_dict("records")
    done = {(row["group"], row["seed"]) for row in rows}
    for seed, dataset in itertools.product(range(rounds), TARGETS):
        if (dataset, seed) in done:
            continue
        options = {"dataset": dataset, "seed": seed, "gpu": bool(visible_gpus())}
        rows += [
            {"group": dataset, "seed": seed, "name": name, "seconds": seconds, "elbo": elbo}
            for name, kind in LEARNING.items()
            for seconds, elbo in _learn(name, {**kind, **options}) or []
        ]
        yield rows


def _learn(name, options):
    """Trains a contestant in its own process; returns `None` if it needs PyTorch and fails."""
    spawn = multiprocessing.get_context("spawn")

    def learn(**more):
        with ProcessPoolExecutor(1, spawn) as pool:
            return pool.submit(contestants.learn, {**options, **more}, LIMIT).result()

    if name != OURS:
        try:
            return learn()
        except Exception as error:
            if options["kind"] != "pytorch":
                raise
            print(f"{name} is left out: {error}", flush=True)
            return None
    curve = [learn(epochs=epochs)[-1] for epochs in LENGTHS]
    most = int(LIMIT * LENGTHS[-1] / curve[-1][0])  # epochs within the limit
    return curve + [learn(epochs=most)[-1]] if most > LENGTHS[-1] else curve


PARTS = {"training": measure_training, "quality": measure_quality}


def take_turns(declared, rounds):
    """Starts contestants one after the other, then measures them in turns in a changing order.

    Args:
        declared: dict from name to the options of `contestants.start`.
        rounds: number of measurements of each contestant.

    Returns:
        Two dicts by name: the work per second in each round, an array, and the facts about the
        contestant. A contestant that needs PyTorch and does not start is in neither.
    """
    os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"  # the processes share a GPU
    spawn, facts, pools = multiprocessing.get_context("spawn"), {}, {}
    with ExitStack() as stack:
        for name, options in declared.items():
            gpu = any(described.get("gpu") for described in facts.values())
            pool = stack.enter_context(ProcessPoolExecutor(1, spawn))
            try:
                facts[name] = pool.submit(contestants.start, {"gpu": gpu, **options}).result()
                pools[name] = pool
            except Exception as error:
                if options["kind"] != "pytorch":
                    raise
                print(f"{name} is left out: {error}", flush=True)
        rates, order = {name: [] for name in pools}, list(pools)
        for _ in range(rounds):
            for name in order:
                rates[name].append(pools[name].submit(contestants.measure).result())
            order.append(order.pop(0))  # another contestant begins the next round
    return {name: np.array(values) for name, values in rates.items()}, facts


def spread(name, values):
    """Returns a dict of the median, under `name`, and the range, with `_low` and `_high`."""
    return {name: np.median(values), f"{name}_low": min(values), f"{name}_high": max(values)}


def markdown(table):
    """Renders `bench.csv`: a table for each data set, and an explanation of the columns."""
    trained = table[(table["part"] == "training") & table["name"].isin(TRAINING)]
    learned, batch_size = table[table["part"] == "quality"], LEARNING[OURS]["batch_size"]
    others, parts, shares = LEARNING[STOCK]["batch_size"], [], []
    for dataset, shape in SHAPES.items():
        columns, title = [], f"**{names.label(dataset)}**"
        rows = trained[trained["group"] == _group(shape, batch_size)].set_index("name")
        if len(rows):
            columns.append(rows.apply(_speed, axis=1).rename("images/s"))
            shares.append(f"{100 * rows.loc[OURS, 'share']:.0f} % ({names.label(dataset)})")
        rows = learned[learned["group"] == dataset]
        if len(rows):
            columns.append(_learned(rows, TARGETS[dataset]))
            number = rows["seed"].nunique()
            title += f", {number} seeds, median and range" if number > 1 else ", one seed"
        if columns:
            shown = pd.concat(columns, axis=1).rename_axis("name").fillna("")
            parts += [title, shown.to_markdown(disable_numparse=True)]
    text = (
        f"Images/s with batches of {batch_size}; seconds of training, with compiling, until the "
        "ELBO of validation images reaches a value in nats/image; the best ELBO within "
        f"{LIMIT / 60:.0f} minutes. Speeds relative to stock Keras are medians of the ratios "
        "within a round. Seconds and ELBOs compare recipes as well as speed: "
        f"{OURS} uses the study's, with the number of epochs that reaches the value first; the "
        f"others use Adam at 1e-3 with batches of {others}."
    )
    if shares:
        ours = trained[trained["name"] == OURS].iloc[0]
        precision = ours["precision"].removeprefix("mixed_")
        text += (
            f" Measured on {ours['device']} with {ours['threads']:.0f} threads. {OURS} trains in "
            f"{precision}, at {' and '.join(shares)} of the machine's rate of {precision} matrix "
            "products; stock Keras and PyTorch, eager, train in float32."
        )
    return "\n\n".join([*parts, text]) + "\n"


def _speed(row):
    return f"{row['rate']:,.0f} · {row['ratio']:.1f}x"


def _learned(rows, targets):
    """Renders one data set's rows of `measure_quality`: a row for each contestant."""
    cells = {}
    for target in targets:
        reached = rows.assign(seconds=rows["seconds"].where(rows["elbo"] >= target, np.inf))
        times = reached.pivot_table("seconds", "seed", "name", "min", sort=False)
        with np.errstate(invalid="ignore"):  # inf / inf, if neither reaches the target
            ratios = times.rdiv(times[STOCK], axis=0).median()
        cells[f"seconds to {target:g}"] = times.apply(_median, form="{:.0f}") + [
            f" · {ratio:.1f}x" if 0 < ratio < np.inf else "" for ratio in ratios
        ]
    in_time = rows[rows["seconds"] <= LIMIT]
    best = in_time.pivot_table("elbo", "seed", "name", "max", sort=False)
    return pd.DataFrame({**cells, "best ELBO": best.apply(_median, form="{:.1f}")})


def _median(values, form):
    """Renders the median over seeds and, with several, the range; infinity is "not reached"."""
    middle, low, high = (
        form.format(value) if np.isfinite(value) else "not reached"
        for value in (values.median(), values.min(), values.max())
    )
    return middle if low == high else f"{middle} ({low} to {high})"


def _pivot(rows, values):
    return rows.pivot_table(
        index="name", columns="group", values=values, aggfunc="first", sort=False
    )


@style.styled
def draw(table):
    """Draws the multiples of stock Keras, with the range over rounds."""
    rows = table[table["part"] == "training"].dropna(subset="ratio")
    rows = rows.assign(
        group=rows["group"].map(TITLES),
        below=rows["ratio"] - rows["ratio_low"],
        above=rows["ratio_high"] - rows["ratio"],
    )
    ratio, below, above = (
        _pivot(rows, name).iloc[::-1, ::-1] for name in ("ratio", "below", "above")
    )
    figure, ((axes,),) = style.panels(width=7, height=3.5)
    errors = np.stack([below.T, above.T], axis=1)
    shades = {
        TITLES[_group(shape, batch_size)]: mpl.colors.to_rgba(style.DATASET_COLORS[name], alpha)
        for name, shape in SHAPES.items()
        for batch_size, alpha in zip(BATCH_SIZES, (1.0, 0.5), strict=True)
    }
    look = {"color": [shades[group] for group in ratio.columns], "xerr": errors}
    ratio.plot.barh(ax=axes, **look, ylabel="", xlabel="images/s, multiple of stock Keras")
    axes.get_legend().remove()
    return style.finish(figure, "Images/s in training: median over rounds, with its range")
