"""How well a code separates the factors behind the data: DCI, MIG, SAP, modularity, explicitness, and the scores of
beta-VAE and FactorVAE. NumPy and scikit-learn; OMES is in `omes`.

Everywhere codes are float (n, D) and factors int64 (n, F), the index of each factor's value from 0 on. All scores are
in [0, 1], higher is better. Definitions are those of disentanglement_lib (Locatello et al., ICML 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lab.metrics.omes import INACTIVE, active_dimensions

BINS = 20


@dataclass(frozen=True)
class Dci:
    """Eastwood and Williams, A framework for the quantitative evaluation of disentangled representations, ICLR 2018.

    disentanglement: each dimension serves one factor. completeness: each factor is in one dimension. informativeness:
    mean test accuracy of the predictors. importances: (D, F), at least 0; a factor's column sums to 1.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importances: np.ndarray


def dci(codes: np.ndarray, factors: np.ndarray, *, seed: int = 0, trees: int = 100, depth: int = 3) -> Dci:
    """DCI with gradient-boosted trees, fitted to two thirds of the rows and tested on the rest.

    The time grows with trees x values of a factor: a factor of 40 values costs as much as eight of five.
    """
    from sklearn.ensemble import GradientBoostingClassifier

    train, test = _halves(len(codes), 2 / 3, seed)
    importances, accuracies = [], []
    for values in factors.T:
        model = GradientBoostingClassifier(n_estimators=trees, max_depth=depth, random_state=seed)
        model.fit(codes[train], values[train])
        importances.append(np.abs(model.feature_importances_))
        accuracies.append(model.score(codes[test], values[test]))
    matrix = np.stack(importances, axis=1)
    return Dci(disentanglement(matrix), completeness(matrix), float(np.mean(accuracies)), matrix)


def disentanglement(importances: np.ndarray) -> float:
    """Mean over dimensions of 1 - entropy of a row, base F, weighted by the row's share. importances: (D, F)."""
    return _concentration(importances)


def completeness(importances: np.ndarray) -> float:
    """Mean over factors of 1 - entropy of a column, base D, weighted by the column's share. importances: (D, F)."""
    return _concentration(importances.T)


def _concentration(importances: np.ndarray) -> float:
    if importances.shape[1] == 1:  # all there is goes to the only one
        return 1.0
    total = importances.sum(axis=1)
    shares = (importances + 1e-11) / (importances + 1e-11).sum(axis=1, keepdims=True)
    entropy = -(shares * np.log(shares)).sum(axis=1) / np.log(importances.shape[1])
    return float(((1 - entropy) * total).sum() / max(total.sum(), 1e-11))


def mutual_information(codes: np.ndarray, factors: np.ndarray, bins: int = BINS) -> np.ndarray:
    """(D, F), in nats, of each dimension, in so many bins of equal width over its range, with each factor."""
    binned = _binned(codes, bins)
    sizes = factors.max(axis=0) + 1
    starts = np.concatenate([[0], np.cumsum(sizes)])
    dimensions, width = codes.shape[1], int(starts[-1])
    # One count of all (dimension, bin, value of a factor), then blocks of it: no loop over pairs.
    where = (np.arange(dimensions) * bins + binned)[:, :, None] * width + (starts[:-1] + factors)[:, None, :]
    joint = np.bincount(where.ravel(), minlength=dimensions * bins * width).reshape(dimensions, bins, width) / len(
        codes
    )
    own = joint[:, :, : sizes[0]].sum(axis=2, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = joint * np.log(joint / (own * joint.sum(axis=1, keepdims=True)))
    return np.add.reduceat(np.nan_to_num(terms).sum(axis=1), starts[:-1], axis=1)


def entropies(factors: np.ndarray) -> np.ndarray:
    """Entropy (F,) of each factor, in nats."""
    found = []
    for values in factors.T:
        share = np.bincount(values)[np.bincount(values) > 0] / len(values)
        found.append(-(share * np.log(share)).sum())
    return np.array(found)


def mig(codes: np.ndarray, factors: np.ndarray, bins: int = BINS) -> float:
    """Mutual information gap (Chen et al., NeurIPS 2018): how far a factor's best dimension is ahead of the second."""
    ordered = np.sort(mutual_information(codes, factors, bins), axis=0)[::-1]
    second = ordered[1] if len(ordered) > 1 else np.zeros(factors.shape[1])
    return float(np.mean((ordered[0] - second) / entropies(factors)))


def modularity(codes: np.ndarray, factors: np.ndarray, bins: int = BINS) -> float:
    """Ridgeway and Mozer, NeurIPS 2018: mean over dimensions that know something of a factor, of 1 - what is left over
    for the other factors.
    """
    squared = mutual_information(codes, factors, bins) ** 2
    best = squared.max(axis=1)
    others = (squared.sum(axis=1) - best) / np.maximum(best * (factors.shape[1] - 1), 1e-300)
    knows = best > 0
    return float(np.mean(1 - others[knows])) if knows.any() else 0.0


def explicitness(codes: np.ndarray, factors: np.ndarray, *, seed: int = 0) -> float:
    """Ridgeway and Mozer: area under the ROC curve of a logistic regression, one value against the rest, on the rows
    that it was not fitted to; mean over values, then factors. 0.5 is chance.
    """
    from sklearn.metrics import roc_auc_score

    train, test = _halves(len(codes), 1 / 2, seed)
    scores = []
    for values in factors.T:
        said = _logistic(codes[train], values[train]).decision_function(codes[test])
        known = np.unique(values[train])
        columns = np.stack([-said, said], axis=1) if said.ndim == 1 else said
        truth = values[test][:, None] == known
        both = truth.any(axis=0) & ~truth.all(axis=0)
        scores.append(np.mean([roc_auc_score(truth[:, k], columns[:, k]) for k in np.flatnonzero(both)]))
    return float(np.mean(scores))


def sap(codes: np.ndarray, factors: np.ndarray, *, seed: int = 0) -> float:
    """Separated attribute predictability (Kumar et al., ICLR 2018): accuracy of a linear SVM on one dimension, best
    less second best, mean over factors. Balanced classes, C = .01; inactive dimensions predict nothing.
    """
    from sklearn.svm import LinearSVC

    train, test = _halves(len(codes), 2 / 3, seed)
    scores = np.zeros((codes.shape[1], factors.shape[1]))
    for d in range(codes.shape[1]):
        if codes[train, d].std() < 1e-12:
            continue
        for j, values in enumerate(factors.T):
            model = LinearSVC(C=0.01, class_weight="balanced", random_state=seed)
            model.fit(codes[train, d : d + 1], values[train])
            scores[d, j] = model.score(codes[test, d : d + 1], values[test])
    ordered = np.sort(scores, axis=0)[::-1]
    second = ordered[1] if len(ordered) > 1 else 0
    return float(np.mean(ordered[0] - second))


def beta_vae_score(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    seed: int = 0,
    train_points: int = 10_000,
    test_points: int = 5_000,
    pairs: int = 64,
) -> float:
    """Higgins et al., ICLR 2017: accuracy of a logistic regression that guesses which factor the pairs share.

    A point is the mean of |z - z'| over `pairs` pairs of rows with the same value of one factor, drawn at random.
    """
    draw = SharedFactor(factors, seed)

    def points(number: int) -> tuple[np.ndarray, np.ndarray]:
        found, labels = [], []
        for shared in draw.blocks(number):
            first, second = draw.pairs(shared, pairs)
            found.append(np.abs(codes[first] - codes[second]).mean(axis=1))
            labels.append(shared)
        return np.concatenate(found), np.concatenate(labels)

    x, y = points(train_points)
    model = _logistic(x, y)
    return float(model.score(*points(test_points)))


def factor_vae_score(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    seed: int = 0,
    train_votes: int = 10_000,
    test_votes: int = 5_000,
    rows: int = 64,
    threshold: float = INACTIVE,
) -> float:
    """Kim and Mnih, ICML 2018: among rows with one value of a factor, the active dimension that varies least (by its
    variance over all rows) votes for the factor; accuracy of the majority table on votes that it was not made of.
    """
    active = active_dimensions(codes, threshold)
    if len(active) == 0:
        return 0.0
    scaled = codes[:, active] / codes[:, active].std(axis=0)
    draw = SharedFactor(factors, seed)

    def votes(number: int) -> np.ndarray:
        table = np.zeros((len(active), factors.shape[1]), dtype=np.int64)
        for shared in draw.blocks(number):
            dimension = scaled[draw.same(shared, rows)].var(axis=1, ddof=1).argmin(axis=1)
            np.add.at(table, (dimension, shared), 1)
        return table

    said = votes(train_votes).argmax(axis=1)
    table = votes(test_votes)
    return float(table[np.arange(len(active)), said].sum() / test_votes)


class SharedFactor:
    """Draws rows that have one value of a factor in common. The value is that of a random row, so a factor's frequent
    values come more often, as in the data.

    factors: int64 (n, F).
    """

    def __init__(self, factors: np.ndarray, seed: int):
        self.rng = np.random.default_rng(seed)
        self.factors = factors
        self.order = np.argsort(factors, axis=0, kind="stable")
        """(n, F): rows, by their value of each factor."""
        ordered = np.take_along_axis(factors, self.order, axis=0)
        size = int(factors.max()) + 1
        self.start = np.stack([np.searchsorted(column, np.arange(size)) for column in ordered.T], axis=1)
        self.count = np.stack([np.bincount(column, minlength=size) for column in factors.T], axis=1)

    def blocks(self, number: int, block: int = 1000) -> Iterator[np.ndarray]:
        """Which factor is shared, int64, `number` of them in all, at random."""
        for start in range(0, number, block):
            yield self.rng.integers(self.factors.shape[1], size=min(block, number - start))

    def same(self, shared: np.ndarray, rows: int) -> np.ndarray:
        """int64 (b, rows): rows with one value of factor `shared` (b,), drawn with replacement."""
        value = self.factors[self.rng.integers(len(self.factors), size=len(shared)), shared]
        return self._of(shared[:, None], np.broadcast_to(value[:, None], (len(shared), rows)))

    def pairs(self, shared: np.ndarray, pairs: int) -> tuple[np.ndarray, np.ndarray]:
        """int64 (b, pairs) twice: members of pairs, each pair with a value of factor `shared` (b,) of its own."""
        first = self.rng.integers(len(self.factors), size=(len(shared), pairs))
        return first, self._of(shared[:, None], self.factors[first, shared[:, None]])

    def _of(self, factor: np.ndarray, value: np.ndarray) -> np.ndarray:
        drawn = (self.rng.random(value.shape) * self.count[value, factor]).astype(np.int64)
        return np.asarray(self.order[self.start[value, factor] + drawn, factor])


SCORES: dict[str, Callable[..., float]] = {
    "mig": mig,
    "modularity": modularity,
    "explicitness": explicitness,
    "sap": sap,
    "beta_vae_score": beta_vae_score,
    "factor_vae_score": factor_vae_score,
}


def all_scores(
    codes: np.ndarray, factors: np.ndarray, *, seed: int = 0, threshold: float = INACTIVE
) -> dict[str, float]:
    """DCI's three and all others by name, of the active dimensions; factors of a single value are left out.

    Raises:
        ValueError: no dimension is active, or no factor varies.
    """
    active = active_dimensions(codes, threshold)
    varied = np.flatnonzero(factors.min(axis=0) < factors.max(axis=0))
    if len(active) == 0 or len(varied) == 0:
        raise ValueError("nothing to score: " + ("no active dimension" if len(active) == 0 else "no factor varies"))
    codes, factors = codes[:, active], factors[:, varied]
    parts = dci(codes, factors, seed=seed)
    found = {f"dci_{name}": getattr(parts, name) for name in ("disentanglement", "completeness", "informativeness")}
    for name, score in SCORES.items():
        options: dict[str, Any] = {} if name in ("mig", "modularity") else {"seed": seed}
        found[name] = score(codes, factors, **options)
    return found


def _binned(codes: np.ndarray, bins: int) -> np.ndarray:
    """Bin (n, D) of each value, of equal width over the range of its dimension."""
    low, high = codes.min(axis=0), codes.max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    return np.asarray(np.minimum(((codes - low) / width * bins).astype(np.int64), bins - 1))


def _halves(n: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(seed).permutation(n)
    return order[: round(share * n)], order[round(share * n) :]


def _logistic(x: np.ndarray, y: np.ndarray) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x, y)
