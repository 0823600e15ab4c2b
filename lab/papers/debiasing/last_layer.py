"""A linear layer fitted to balanced groups of rows, as deep feature reweighting does it. NumPy and scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator

from lab.errors import DataError

ITERATIONS, TOLERANCE = 1000, 1e-3


@dataclass(frozen=True)
class Solution:
    """A linear layer on features as they are: weight float32 (C, d), bias float32 (C,); and how it was found.

    c: inverse strength of the penalty. held_out: its worst-group accuracy on the rows held out for its choice.
    """

    weight: np.ndarray
    bias: np.ndarray
    c: float
    held_out: float
    rows_per_group: int


def retrain(
    features: np.ndarray, label: np.ndarray, group: np.ndarray, *, c: Sequence[float], retrains: int, random: Generator
) -> Solution:
    """Choose C on one half of each group, then average the regressions of several balanced subsets of all rows.

    Among values of C with the same worst-group accuracy the higher mean over the groups decides, then the smaller C.

    Args:
        features: (n, d); label: int (n,), each class of 0..C-1 at least once; group: int (n,), any numbers.
        c: inverse strengths of the L1 penalty to choose from. retrains: balanced subsets.

    Raises:
        DataError: no group has two rows.
    """
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(features)
    rows, classes = scaler.transform(features), int(label.max()) + 1
    fit, held = halves(group, random)
    if not len(held):
        raise DataError("DFR: needs a group of class and bias with two or more validation rows, to choose C")
    chosen = fit[balanced(group[fit], random)]
    scores = {}
    for value, weight, bias in path(rows[chosen], label[chosen], sorted(c), classes):
        right = (rows[held] @ weight.T + bias).argmax(1) == label[held]
        accuracy = [right[group[held] == g].mean() for g in np.unique(group[held])]
        scores[value] = (min(accuracy), np.mean(accuracy), -value)
    best = max(scores, key=scores.__getitem__)
    layers = []
    for _ in range(retrains):
        chosen = balanced(group, random)
        layers += [layer for _, *layer in path(rows[chosen], label[chosen], [best], classes)]
    weight, bias = (np.mean(parts, axis=0) for parts in zip(*layers, strict=True))
    weight = weight / scaler.scale_
    bias = bias - weight @ scaler.mean_
    smallest = int(np.unique(group, return_counts=True)[1].min())
    return Solution(weight.astype(np.float32), bias.astype(np.float32), best, float(scores[best][0]), smallest)


def path(rows: np.ndarray, label: np.ndarray, c: Sequence[float], classes: int) -> Iterator[tuple[float, Any, Any]]:
    """(C, weight (classes, d), bias (classes,)) of an L1 logistic regression for each C, in the order given."""
    from sklearn.linear_model import LogisticRegression

    # liblinear, as in the authors' code, knows two classes only; saga goes on from the solution of the last C.
    solver = "liblinear" if classes == 2 else "saga"
    model = LogisticRegression(
        l1_ratio=1.0, solver=solver, tol=TOLERANCE, max_iter=ITERATIONS, warm_start=True, random_state=0
    )
    for value in c:
        model.set_params(C=value).fit(rows, label)
        weight, bias = model.coef_, model.intercept_
        if classes == 2:
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        yield value, weight.copy(), bias.copy()


def halves(group: np.ndarray, random: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers: a random half of each group, the larger one, and the rest."""
    shuffled = [random.permutation(np.flatnonzero(group == g)) for g in np.unique(group)]
    first = np.concatenate([rows[: (len(rows) + 1) // 2] for rows in shuffled])
    rest = np.concatenate([rows[(len(rows) + 1) // 2 :] for rows in shuffled])
    return first, rest


def balanced(group: np.ndarray, random: Generator) -> np.ndarray:
    """Row numbers: as many random rows of each group as the smallest one has."""
    names, counts = np.unique(group, return_counts=True)
    return np.concatenate([random.permutation(np.flatnonzero(group == g))[: counts.min()] for g in names])
