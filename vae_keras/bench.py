"""Speed, measured side by side with nothing else running: `python -m vae_keras.bench`."""

import argparse
import sys

import pandas as pd
from matplotlib import pyplot as plt

from vae_keras import bench_runs, bench_training, runs
from vae_keras.plotting import StyledFigure, styled

RESULTS = "bench.csv"
COMPARED = [name for name in bench_training.TRAINING if name != bench_training.PIPELINE]
PARTS = ("training", "cost", "runs", "precision")


def main(arguments=None):
    """Measures, writes `bench.csv` and `images/bench.png`, and prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m vae_keras.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parts = parser.parse_args(arguments).parts or PARTS
    if not set(parts) <= set(PARTS):
        parser.error(f"unknown part. Valid parts: {', '.join(PARTS)}")
    path = runs.models_folder() / RESULTS
    table = load_results()
    measures = {
        "training": lambda: pd.concat(
            [bench_training.measure_training(shape) for shape in bench_training.SHAPES]
        ),
        "cost": bench_training.measure_costs,
        "runs": bench_runs.measure_jobs,
        "precision": bench_runs.measure_precision,
    }
    for part in parts:
        measured = measures[part]()
        print(f"\n{part}\n{measured.dropna(axis=1, how='all').to_string(index=False)}", flush=True)
        kept = table[table["part"] != part]
        table = pd.concat([kept, measured.assign(part=part)]) if len(kept) else measured
        table.to_csv(path, index=False, float_format="%.6g")
    written = [path]
    if "training" in set(table["part"]):
        written.append(runs.images_folder() / "bench.png")
        draw(table).savefig(written[-1])
    print("written:", *written, sep="\n  ")
    return 0


def load_results():
    """Reads `bench.csv`.

    Returns:
        `pandas.DataFrame` as `main` wrote it; without rows where nothing has been measured.
    """
    path = runs.models_folder() / RESULTS
    return pd.read_csv(path) if path.exists() else pd.DataFrame({"part": []})


def markdown(table):
    """Renders what has been measured: a table of training, and a sentence for each other part.

    Args:
        table: `pandas.DataFrame` of `load_results`.

    Returns:
        Markdown.
    """
    rows = table[table["part"] == "training"]
    if rows.empty:
        return "Not measured yet: `make bench`."
    rows = rows[rows["name"].isin(COMPARED)]
    shapes = list(dict.fromkeys(rows["images"]))
    header = [f"images/s, {shape} | multiple of stock Keras" for shape in shapes]
    lines = ["| training | " + " | ".join(header) + " |", "|---|" + "---:|" * 2 * len(shapes)]
    for name, values in rows.groupby("name", sort=False):
        cells = [_rate_and_ratio(row) for _, row in values.iterrows()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n\n" + " ".join(_sentences(table))


def _rate_and_ratio(row):
    if pd.isna(row["rate"]):
        return "not measured | "
    ratios = f"{row['ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"
    return f"{row['rate']:,.0f} | {ratios}"


def _sentences(table):
    """Yields what the rows beside those of the contestants say."""
    ours = table[(table["part"] == "training") & (table["name"] == bench_training.OURS)]
    first = ours.iloc[0]
    shares = ", ".join(f"{row['share']:.0%} with {row['images']}" for _, row in ours.iterrows())
    yield (
        f"Median and range over rounds, on {first['device']}, {first['threads']:.0f} threads, "
        f"{first['precision']}. Of the matrix products' rate in that precision training reaches "
        f"{shares}."
    )
    pipeline = table[(table["part"] == "training") & (table["name"] == bench_training.PIPELINE)]
    rates = ", ".join(f"{row['rate']:,.0f} with {row['images']}" for _, row in pipeline.iterrows())
    yield f"The input pipeline alone gives, in images/s, {rates}."
    costs = table[table["part"] == "cost"]
    if len(costs):
        rates = ", ".join(f"{row['rate']:,.0f} ({row['name']})" for _, row in costs.iterrows())
        yield f"Training by size, images/s: {rates}."
    jobs = table[table["part"] == "runs"]
    if len(jobs):
        several = jobs.iloc[-1]
        yield (
            f"{several['name'].capitalize()} finish a sweep of equal runs "
            f"({several['images']}, `{bench_runs.SHORT['likelihood']}`) {several['speed_up']:.2f} "
            f"times as fast for each job as one job on one core; a run takes "
            f"{several['overhead']:.1f} s beside training and evaluation; evaluation is "
            f"{several['evaluation_share']:.0%} of a run of the budget `study`; a job needs "
            f"{several['memory'] / 1e9:.1f} GB."
        )
    for dataset, rows in table[table["part"] == "precision"].groupby("images", sort=False):
        elbos = ", ".join(
            f"{row['elbo']:.1f} ({row['elbo_low']:.1f} to {row['elbo_high']:.1f}) in {row['name']}"
            for _, row in rows.iterrows()
        )
        yield f"ELBO of {dataset} after an epoch, over seeds: {elbos} nats/image."


@styled
def draw(table):
    """Draws the ratios to stock Keras, with the spread over rounds.

    Args:
        table: `pandas.DataFrame` of `summarize`'s rows.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    rows = table[(table["part"] == "training") & table["ratio"].notna()]
    shapes = list(dict.fromkeys(rows["images"]))
    size = (4 * len(shapes), 2.7)
    figure, axes = plt.subplots(
        1, len(shapes), FigureClass=StyledFigure, figsize=size, sharey=True, squeeze=False
    )
    for panel, shape in zip(axes.flat, shapes):
        chosen = rows[rows["images"] == shape].iloc[::-1]
        errors = [chosen["ratio"] - chosen["ratio_low"], chosen["ratio_high"] - chosen["ratio"]]
        panel.barh(chosen["name"], chosen["ratio"], xerr=errors, color="0.6", capsize=3)
        panel.set(xlabel="images/s, as a multiple of stock Keras", title=f"{shape} pixels")
    return figure


if __name__ == "__main__":
    sys.exit(main())
