"""The claims of the study, as data, and the verdict on each."""

import math

import pandas as pd

from vae_keras.figures import names
from vae_keras.study import reproductions, runs, sweeps, tables, verdicts
from vae_keras.study.verdicts import Term, exceeds, list_claims, rise

LEARNED, UNIT = {"likelihood": "sigma"}, {"likelihood": "mse"}


def _beats_twin(better, measure, sign):
    statement = (
        f"A VAE with a learned variance {better} than a linear model of the same latent size"
    )
    return {statement: (Term(sign, measure, LEARNED), Term(-sign, f"linear_{measure}", LEARNED))}


# By the figure that shows them, in the order in which the notebooks show them.
BY_FIGURE = {
    "03_reconstruction_and_rate": {
        "The ELBO falls from latent size 32 to 128": rise("elbo", "latent_dim", 128, 32),
    },
    "03_units": {
        "From latent size 32 to 128, active units increase by more than used units": (
            *rise("active_units", "latent_dim", 32, 128),
            *rise("used_units", "latent_dim", 128, 32),
        ),
        "Reconstructions improve from latent size 2 to 32": rise("psnr", "latent_dim", 2, 8, 32),
    },
    "03_samples": {
        "A Gaussian mixture fitted to the training codes gives better samples than the prior "
        "(Ghosh et al., 2020; Chadebec & Allassonnière, 2022)": (
            Term(1.0, "fd_samples", {}),
            Term(-1.0, "fd_mixture", {}),
        ),
        "The mixture's advantage over the prior grows from latent size 8 to 128": (
            *rise("fd_samples", "latent_dim", 8, 128),
            *rise("fd_mixture", "latent_dim", 128, 8),
        ),
    },
    "04_rate_distortion": {
        "The ELBO is better at beta 1 than at 2": rise("elbo", "beta", 2.0, 1.0),
        "The ELBO is better at beta 1 than at 0.5": rise("elbo", "beta", 0.5, 1.0),
    },
    "04_units": {
        "A larger beta worsens reconstructions, from 0.1 to 4": rise("psnr", "beta", 4.0, 1.0, 0.1),
        "A larger beta uses fewer units, from 0.1 to 4": rise("used_units", "beta", 4.0, 1.0, 0.1),
    },
    "05_linear_twin": {
        "At latent size 128, a linear model gives better reconstructions than a VAE, which uses "
        "few of its dimensions": (
            Term(-1.0, "psnr", {"latent_dim": 128}),
            Term(1.0, "linear_psnr", {"latent_dim": 128}),
        ),
    },
    "05_likelihoods": {
        **_beats_twin("gives better reconstructions", "psnr", 1.0),
        **_beats_twin("gives better samples", "fd_samples", -1.0),
    },
    "05_density": _beats_twin("has a lower NLL", "nll", -1.0),
    "05_fixed_variance": {
        "With unit variance, samples are better at beta 0.01 than at 1 (Rybkin et al., 2021)": rise(
            "fd_samples", "beta", 0.01, 1.0, likelihood="mse"
        ),
        "A learned variance gives better samples than unit variance at beta 0.01 "
        "(Rybkin et al., 2021)": exceeds(
            "fd_samples", {"likelihood": "mse", "beta": 0.01}, LEARNED
        ),
    },
    "05_networks": {
        "Residual blocks raise the ELBO": rise("elbo", "architecture", "plain", "residual"),
        "Given its class label, an image has a higher ELBO (a label itself is worth at most "
        f"ln 10 = {math.log(10):.1f} nats)": rise("elbo", "conditional", False, True),
    },
    "04_warmup_fashion_mnist": {
        "A linear warm-up of one epoch raises the ELBO": rise("elbo", "warmup_epochs", 0.0, 1.0),
    },
}
LADDER = {"architecture": "ladder"}
# Claims beyond the plain VAE, by the sweep that tests them.
BEYOND = {
    "priors": {
        "A VampPrior lowers the NLL (Tomczak & Welling, 2018)": rise(
            "binary_nll", "prior", "vamp", "normal"
        ),
        "A flow prior lowers the NLL": rise("binary_nll", "prior", "flow", "normal"),
        "A flow prior gives better samples than the standard normal": rise(
            "fd_samples", "prior", "flow", "normal"
        ),
        "A VampPrior gives better samples than the standard normal": rise(
            "fd_samples", "prior", "vamp", "normal"
        ),
        "A flow prior gives better samples than a mixture fitted after training": (
            Term(1.0, "fd_mixture", {}),
            Term(-1.0, "fd_samples", {"prior": "flow"}),
        ),
        "A second stage gives better samples than the prior (Dai & Wipf, 2019)": rise(
            "fd_samples", "prior", "second_stage", "normal"
        ),
        "A second stage gives better samples than a mixture fitted after training": (
            Term(1.0, "fd_mixture", {}),
            Term(-1.0, "fd_samples", {"prior": "second_stage"}),
        ),
    },
    "objectives": {
        "Importance weighting with five draws lowers the NLL (Burda et al., 2016)": rise(
            "binary_nll", "objective", "iwae", "elbo"
        ),
        "A flow posterior lowers the NLL (Rezende & Mohamed, 2015)": rise(
            "binary_nll", "posterior", "coupling_flow", "normal"
        ),
        "Replacing the KL divergence with MMD improves reconstructions": exceeds(
            "psnr", {"objective": "mmd", "beta": sweeps.MMD_WEIGHT}, {}
        ),
        "MMD gives better samples than the plain VAE (Zhao et al., 2019)": exceeds(
            "fd_samples", {}, {"objective": "mmd", "beta": sweeps.MMD_WEIGHT}
        ),
        "A perceptual loss sharpens reconstructions (Hou et al., 2017)": rise(
            "sharpness", "perceptual", 0.0, sweeps.PERCEPTUAL_WEIGHT
        ),
        "A perceptual loss lowers the PSNR": rise(
            "psnr", "perceptual", sweeps.PERCEPTUAL_WEIGHT, 0.0
        ),
    },
    "levels": {
        "A second latent level lowers the NLL": exceeds("binary_nll", {}, LADDER),
        "Free bits keep the upper level in use": exceeds(
            "kl_upper", LADDER | {"free_bits": sweeps.LADDER_FREE_BITS}, LADDER
        ),
    },
}
SPRITE = {"latent_dim": 10}
# On sprites of 32 x 32 pixels, beta weighs four times as much as on dSprites.
DISENTANGLEMENT = {
    "09_scores_beta_vae": {
        "A larger beta raises the MIG, from 0.25 to 1 (from 1 to 4 at dSprites' image size)": rise(
            "mig", "beta", 0.25, 0.5, 1.0, **SPRITE
        ),
    },
    "09_trade": {
        f"Beta-TC {better} than beta-VAE at beta {beta:g} (Chen et al., 2018)": rise(
            measure, "objective", "elbo", "tc", beta=beta, **SPRITE
        )
        for better, measure in (
            ("has a higher MIG", "mig"),
            ("gives better reconstructions", "psnr"),
        )
        for beta in (2.0, 4.0)
    },
}
# The orders in table 1 of Dai & Wipf (2019), by the data sets that they are about.
DAI_WIPF = {
    ("fashion_mnist", "cifar10"): {
        "A learned variance gives better samples than unit variance (Dai & Wipf, 2019)": exceeds(
            "fd_samples", UNIT, LEARNED
        ),
    },
    ("fashion_mnist",): {
        "Cross-entropy gives better samples than a learned variance (Dai & Wipf, 2019)": exceeds(
            "fd_samples", LEARNED, {}
        ),
    },
    ("cifar10",): {
        "A learned variance gives better samples than cross-entropy (Dai & Wipf, 2019)": exceeds(
            "fd_samples", {}, LEARNED
        ),
    },
}
CLAIMS = [
    *(claim for figure, terms in BY_FIGURE.items() for claim in list_claims(figure, terms)),
    *(
        claim
        for datasets, terms in DAI_WIPF.items()
        for claim in list_claims("05_likelihoods", terms, datasets)
    ),
    *(
        claim
        for sweep, terms in BEYOND.items()
        for claim in list_claims(f"10_{sweep}", terms, ("mnist", "fashion_mnist"), sweep)
    ),
    *(
        claim
        for figure, terms in DISENTANGLEMENT.items()
        for claim in list_claims(figure, terms, ("sprites",), "disentanglement")
    ),
    *reproductions.CLAIMS,
]
MARGIN = verdicts.MARGINS
METHOD = (
    f"Unless a claim says otherwise, runs have the default settings: {sweeps.DEFAULT} (on sprites, "
    f"latent size {SPRITE['latent_dim']}). Each claim is tested on one number: a difference or, "
    "for a chain of parameter values, the rise of a straight line fitted to the measure against "
    "the ranks of the values. It is computed within each seed, positive if the runs agree with the "
    "claim, and shown with its 95 % t interval. Samples have codes from the prior unless a claim "
    "names another source. *No difference*: the whole interval lies within "
    "the margin, the largest difference that we consider too small to matter: "
    f"{MARGIN['elbo']:g} nat/image ({2 * MARGIN['elbo']:g} for colour images), "
    f"{MARGIN['psnr']:g} dB, an FD of {MARGIN['fd_samples']:g} (about what real images lose "
    f"without one of ten classes), {MARGIN['used_units']:g} unit, "
    f"{MARGIN['mig']:g} for scores of disentanglement and {MARGIN['ssim']:g} for other shares. "
    "*Supported* or *contradicted*: p < 0.05 after Holm's (1979) correction for all tests of the "
    "same sweep, so an interval that excludes 0 can still be *inconclusive*. One seed decides "
    "nothing."
)
SUMMARY = (
    "Differences are computed within each seed, positive if the runs agree with the claim, and "
    "shown with their 95 % t intervals. `models/findings.md` says how verdicts are reached."
)
PUBLISHED_ORDERS = (
    "Dai & Wipf (2019) rank samples, best first, as cross-entropy, learned variance, unit variance "
    "on Fashion-MNIST; on CIFAR-10, learned variance comes first. They and Rybkin et al. (2021) "
    "measured the FID of other networks, trained for longer. This study does not repeat their "
    "protocols: it tests whether its own Fréchet distances (FD) show the same order."
)


def check_all(table, claims=CLAIMS, budget=sweeps.SHOWN_BUDGET):
    """Tests claims on finished runs.

    Args:
        table: `pandas.DataFrame` of `runs.load_results`.
        claims: list of `Claim`; p-values are adjusted for the number of tests of a sweep.
        budget: one of `sweeps.BUDGETS`: only its runs are used.

    Returns:
        `pandas.DataFrame` with a row for each claim and data set: `statement`, `measure`,
        `dataset`, `verdict`, `difference` (positive in the direction of the claim, NaN without a
        test), its 95 % interval from `low` to `high`, `margin`, `unit`, `seeds`, `notebook` (its
        number), `figure`, and `evidence` (the means and standard deviations, as text).
    """
    shown = {
        sweep: runs.select(table, sweeps.declared_runs(sweep, budget))
        for sweep in {claim.sweep for claim in claims}
    }
    rows, effects, families = [], [], []
    for claim in claims:
        weights, measure = [term.weight for term in claim.terms], claim.terms[0].measure
        for dataset in claim.datasets:
            values = [
                values_of(shown[claim.sweep], dataset, term.measure, term.changes)
                for term in claim.terms
            ]
            effects.append(verdicts.estimate(values, weights) if all(values) else None)
            families.append(claim.sweep)
            rows.append(
                {
                    "statement": claim.statement,
                    "measure": measure,
                    "dataset": dataset,
                    "verdict": "not decided: too few seeds" if all(values) else "not measured",
                    **dict.fromkeys(("difference", "low", "high"), math.nan),
                    "margin": verdicts.margin(measure, dataset),
                    "unit": names.COLUMNS[measure][1],
                    "seeds": min(map(len, values)),
                    "notebook": claim.figure[:2],
                    "figure": claim.figure,
                    "evidence": _evidence(claim.terms, values),
                }
            )
    # Tests without runs count, so that verdicts do not change as other runs finish.
    p_values = pd.Series([effect.p_value if effect else 1.0 for effect in effects])
    adjusted = p_values.groupby(families).transform(verdicts.holm)
    for row, effect, p_value in zip(rows, effects, adjusted, strict=True):
        if effect:
            row["verdict"] = verdicts.decide(effect, p_value, row["margin"])
            row |= {name: getattr(effect, name) for name in ("difference", "low", "high", "seeds")}
    return pd.DataFrame(rows)


def headlines(checked):
    """Lists the first claim of each figure that is supported or contradicted on some data set.

    Args:
        checked: `pandas.DataFrame` of `check_all`.

    Returns:
        List of pairs of a figure's stem and the claim's rows, on all of its data sets.
    """
    decided = checked[checked["verdict"].isin(["supported", "contradicted"])]
    first = decided.drop_duplicates("figure")
    return [
        (figure, checked[checked["statement"] == statement])
        for figure, statement in zip(first["figure"], first["statement"], strict=True)
    ]


def values_of(shown, dataset, measure, changes):
    """Returns the values of a measure in one setting, as a dict from seed to value.

    Args:
        shown: `pandas.DataFrame`, rows of `runs.select`.
        dataset: name of the data set.
        measure: name of a column. If there is no such column, the dict is empty.
        changes: dict of the parameters that differ from `sweeps.FIXED`.
    """
    settings = {**sweeps.FIXED, "dataset": dataset, **changes}
    settings.pop("seed")
    chosen = shown[(shown[[*settings]] == pd.Series(settings)).all(axis=1)]
    if measure not in chosen:
        return {}
    return chosen.set_index("seed")[measure].dropna().to_dict()


def _evidence(terms, values):
    """Renders the mean and the standard deviation of every term, grouped by measure."""
    settings = [sweeps.FIXED | term.changes for term in terms]
    varied = [name for name in settings[0] if len({setting[name] for setting in settings}) > 1]
    triples = [*zip(terms, settings, values, strict=True)]
    if all(isinstance(setting[name], int | float) for setting in settings for name in varied):
        triples.sort(key=lambda triple: [triple[1][name] for name in varied])
    parts = {}
    for term, setting, found in triples:
        text = tables.spread(term.measure, found) or "not measured"
        if varied:
            text += f" ({sweeps.phrase({name: setting[name] for name in varied})})"
        parts.setdefault(names.heading(term.measure), {})[text] = None  # without repetitions
    return "; ".join(f"{heading}: {', '.join(texts)}" for heading, texts in parts.items())


def describe(row):
    """Renders a row of `check_all`: "**supported**, +2.53 dB (+2.30 to +2.76)"."""
    if pd.isna(row["difference"]):
        return f"**{row['verdict']}**"
    heading, unit, _ = names.COLUMNS[row["measure"]]
    values = (row[name] for name in ("difference", "low", "high"))
    number, low, high = names.format_difference(row["measure"], *values)
    return f"**{row['verdict']}**, {number} {unit or heading} ({low} to {high})"


def markdown(notebook, table, budget):
    """Renders the verdicts on the claims of one notebook, below a summary of the method.

    Args:
        notebook: stem of the notebook.
        table: `pandas.DataFrame` of `runs.load_results`.
        budget: one of `sweeps.BUDGETS`: only its runs are used.
    """
    checked = check_all(table, CLAIMS, budget)
    return "\n\n".join([SUMMARY, render(checked[checked["notebook"] == notebook[:2]])])


def findings(checked, link):
    """Renders claims, below the method.

    Args:
        checked: `pandas.DataFrame` of `check_all`.
        link: function from the stem of a figure to a link.

    Returns:
        Markdown, which ends in a newline.
    """
    return "\n\n".join([METHOD, PUBLISHED_ORDERS, render(checked, link)]) + "\n"


def render(checked, link=None):
    """Renders verdicts and the means and standard deviations behind them.

    Args:
        checked: rows of `check_all`.
        link: function from the stem of a figure to a link, to add a column of links.

    Returns:
        Markdown: a table, with a list of means below it, for each group of claims about the same
        data sets, then a list of the claims without any measured data set.
    """
    missing = (checked["verdict"] == "not measured").groupby(checked["statement"]).transform("all")
    groups = {}  # from data sets to a dict from statement to rows
    for statement, rows in checked[~missing].groupby("statement", sort=False):
        datasets = tuple(rows["dataset"])
        supersets = (known for known in groups if {*datasets} <= {*known})
        groups.setdefault(next(supersets, datasets), {})[statement] = rows
    parts = [_table(datasets, claimed, link) for datasets, claimed in groups.items()]
    if missing.any():
        statements = [f"- {statement}" for statement in checked["statement"][missing].unique()]
        parts.append("Not measured yet:\n\n" + "\n".join(statements))
    return "\n\n".join(parts)


def _table(datasets, claimed, link):
    """Renders a dict from statement to rows of `check_all`, with a column for each data set."""
    cells, evidence = [], []
    for statement, rows in claimed.items():
        found = {row["dataset"]: describe(row) for row in rows.to_dict("records")}
        counts = dict(zip(rows["dataset"].map(names.label), rows["seeds"], strict=True))
        if len({*counts.values()}) == 1:
            counts = {"": rows["seeds"].iloc[0]}
        seeds = ", ".join(f"{name} {count}".strip() for name, count in counts.items())
        cells.append([statement, *(found.get(name, "") for name in datasets), seeds])
        if link:
            cells[-1].append(link(rows["figure"].iloc[0]))
        means = zip(rows["dataset"].map(names.label), rows["evidence"], strict=True)
        evidence.append(f"- {statement}. {'. '.join(map(': '.join, means))}.")
    columns = ["claim", *map(names.label, datasets), "seeds", *(["figure"] if link else [])]
    return "\n\n".join([tables.render(cells, columns, left=len(columns)), "\n".join(evidence)])
