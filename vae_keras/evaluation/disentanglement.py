"""Five disentanglement scores: how well single latent dimensions match single factors of images.

All take codes, `(num_images, latent_dim)`, and factors, integers from 0, `(num_images,
num_factors)`, and lie between 0 and 1, the best. Unless noted otherwise, the protocols are those of
Locatello et al., 2019, "Challenging Common Assumptions in the Unsupervised Learning of Disentangled
Representations", appendix B.
"""

import numpy as np
from scipy.special import entr
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score

NUM_BINS = 20
NUM_TREES = 50
NUM_VOTES, NUM_ALIKE = 800, 200
MIN_VARIANCE = 0.01  # `codes.ACTIVE_UNIT_VARIANCE`, whose module would load TensorFlow


def disentanglement(codes, factors, nominal=()):
    """Computes all scores.

    Args:
        codes: posterior means of images, `(num_images, latent_dim)`.
        factors: integers from 0, `(num_images, num_factors)`.
        nominal: column numbers of the factors without an order.

    Returns:
        Dict of `mig`, `sap`, `modularity`, `dci_disentanglement`, `dci_completeness`,
        `dci_informativeness` and `factor_vae_score`, each from 0 to 1.
    """
    return {
        "mig": mutual_information_gap(codes, factors),
        "sap": attribute_predictability(codes, factors, nominal),
        "modularity": modularity(codes, factors),
        **dci(codes, factors),
        "factor_vae_score": factor_vae_score(codes, factors),
    }


def mutual_information_gap(codes, factors):
    """Computes the gap in mutual information between a factor's best two dimensions (MIG).

    The gap is a share of the factor's entropy, averaged over factors. Codes are sorted into 20 bins
    of equal width, so a factor with more than 20 values cannot reach 1.

    Reference:
        Chen et al., 2018, "Isolating Sources of Disentanglement in VAEs", section 5.
    """
    information = np.sort(mutual_information(codes, factors), axis=0)
    entropies = [mutual_info_score(factor, factor) for factor in factors.T]
    second = information[-2] if len(information) > 1 else 0.0
    return float(np.mean((information[-1] - second) / entropies))


def mutual_information(codes, factors):
    """Computes the mutual information of each dimension, in 20 bins, with each factor.

    Inactive dimensions, with a variance of at most 0.01, get 0.

    Returns:
        Nats, `(latent_dim, num_factors)`.
    """
    information = np.zeros((codes.shape[1], factors.shape[1]))
    for row, code in zip(information, codes.T, strict=True):
        if code.var() > MIN_VARIANCE:
            inner_edges = np.linspace(code.min(), code.max(), NUM_BINS + 1)[1:-1]
            bins = np.digitize(code, inner_edges)
            row[:] = [mutual_info_score(bins, factor) for factor in factors.T]
    return information


def modularity(codes, factors):
    """Computes how exclusively each dimension informs about one factor.

    The score is averaged over active dimensions.

    Returns:
        A number from 0 to 1; 0 if no dimension is active.

    Reference:
        Ridgeway & Mozer, 2018, "Learning Deep Disentangled Embeddings with the F-Statistic Loss",
        section 3.
    """
    squares = np.square(mutual_information(codes, factors))
    squares = squares[squares.max(axis=1) > 0]
    if not len(squares):
        return 0.0
    best = squares.max(axis=1)
    deviations = (squares.sum(axis=1) - best) / (best * (squares.shape[1] - 1))
    return float(np.mean(1 - deviations))


def attribute_predictability(codes, factors, nominal=()):
    """Computes how much better a factor's best dimension predicts it than the second best (SAP).

    Predictions are measured by the squared correlation for ordered factors, and by the accuracy of
    a linear classifier for nominal ones. The gap is averaged over factors.

    Reference:
        Kumar et al., 2018, "Variational Inference of Disentangled Latent Concepts from Unlabeled
        Observations", section 3.
    """
    active = codes[:, codes.var(axis=0) > MIN_VARIANCE].astype("float64")
    gaps = []
    for number, factor in enumerate(factors.T):
        if number in nominal:
            scores, worst = [_accuracy(code, factor) for code in active.T], _most_frequent(factor)
        else:
            scores, worst = [np.corrcoef(code, factor)[0, 1] ** 2 for code in active.T], 0.0
        best, second = sorted([worst, worst, *scores])[-1:-3:-1]
        gaps.append(best - second)
    return float(np.mean(gaps))


def dci(codes, factors):
    """Computes disentanglement, completeness and informativeness from feature importances (DCI).

    Random forests predict the factors from the active dimensions and are fitted to the first half
    of the images; importance is the decrease in impurity. A leaf holds at least 1 % of the images:
    smaller leaves would spread the importances of factors that the codes do not encode.

    Returns:
        Dict of `dci_disentanglement`: whether a dimension matters to only one factor;
        `dci_completeness`: whether only one dimension matters to a factor; `dci_informativeness`:
        the accuracy on the second half of the images, averaged over factors.

    Reference:
        Eastwood & Williams, 2018, "A Framework for the Quantitative Evaluation of Disentangled
        Representations", section 2.
    """
    active = codes.var(axis=0) > MIN_VARIANCE
    if not active.any():
        return {
            f"dci_{part}": 0.0 for part in ("disentanglement", "completeness", "informativeness")
        }
    half, importances, accuracies = len(codes) // 2, [], []
    for factor in factors.T:
        # Every split considers every dimension; otherwise it could miss those that matter.
        forest = RandomForestClassifier(
            NUM_TREES, min_samples_leaf=0.01, max_features=None, random_state=0
        )
        forest.fit(codes[:half, active], factor[:half])
        importances.append(np.zeros(len(active)))
        importances[-1][active] = forest.feature_importances_
        accuracies.append(forest.score(codes[half:, active], factor[half:]))
    importances = np.stack(importances, axis=1)  # (latent_dim, num_factors)
    weights = importances.sum(axis=1) / importances.sum()
    return {
        "dci_disentanglement": float(weights @ _concentration(importances)),
        "dci_completeness": float(np.mean(_concentration(importances.T))),
        "dci_informativeness": float(np.mean(accuracies)),
    }


def factor_vae_score(codes, factors):
    """Computes how well the dimension that varies least identifies the factor held fixed.

    Each of 800 votes draws 200 images, with replacement, that share the value of one factor. It
    picks the dimension with the smallest variance relative to its overall variance. The score is
    the share of votes whose factor is the most frequent one for the dimension picked.

    Returns:
        A number from 0 to 1; 0 if no dimension is active.

    Reference:
        Kim & Mnih, 2018, "Disentangling by Factorising", section 4.
    """
    variances = codes.var(axis=0)
    active = codes[:, variances > MIN_VARIANCE]
    if not active.shape[1]:
        return 0.0
    rng = np.random.default_rng(0)
    votes = np.zeros((active.shape[1], factors.shape[1]))
    for number in np.arange(NUM_VOTES) % factors.shape[1]:
        factor = factors[:, number]
        matching = np.flatnonzero(factor == rng.choice(factor))
        shares = active[rng.choice(matching, NUM_ALIKE)].var(axis=0) / active.var(axis=0)
        votes[shares.argmin(), number] += 1
    return float(votes.max(axis=1).sum() / NUM_VOTES)


def _concentration(importances):
    """Returns 1 minus the normalised entropy of each row: 1 for a single entry, 0 for equal ones.

    A row of zeros gets 0.
    """
    sums = importances.sum(axis=1, keepdims=True)
    shares = importances / np.maximum(sums, 1e-12)
    entropies = entr(shares).sum(axis=1)
    return np.where(sums[:, 0] > 0, 1 - entropies / np.log(max(2, importances.shape[1])), 0.0)


def _accuracy(code, factor):
    column = ((code - code.mean()) / code.std())[:, None]
    return LogisticRegression().fit(column, factor).score(column, factor)


def _most_frequent(factor):
    return np.bincount(factor).max() / len(factor)
