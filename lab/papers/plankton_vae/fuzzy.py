"""Fuzzy k-means (Bezdek, 1981) in log space, which holds where the fuzzifier comes near 1. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FLOOR = 1e-12
"""Least squared distance: a row at a centre belongs to it, and divides nothing by 0."""


@dataclass(frozen=True)
class FuzzyPartition:
    """centres: (K, d). memberships: (n, K), rows sum to 1. objective: sum of u^m |x - c|^2."""

    centres: np.ndarray
    memberships: np.ndarray
    objective: float


def memberships_of(squared: np.ndarray, fuzzifier: float) -> np.ndarray:
    """u_ik = 1 / sum_j (|x_i - c_k| / |x_i - c_j|)^(2 / (m - 1)), (n, K).

    Args:
        squared: (n, K), squared distances.
        fuzzifier: m, above 1. The exponent is 8 at m = 1.25, where powers of distances would overflow.
    """
    logits = -np.log(np.maximum(squared, FLOOR)) / (fuzzifier - 1)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def squared_distances(x: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(n, K), at least 0. x: (n, d); centres: (K, d)."""
    squared = (x**2).sum(axis=1)[:, None] - 2 * x @ centres.T + (centres**2).sum(axis=1)
    return np.asarray(np.maximum(squared, 0))


def fuzzy_kmeans(
    x: np.ndarray,
    clusters: int,
    fuzzifier: float,
    *,
    seed: int = 0,
    restarts: int = 10,
    iterations: int = 300,
    tolerance: float = 1e-6,
) -> FuzzyPartition:
    """The best of several tries, each from centres that k-means++ chose.

    A try ends when no centre moves by `tolerance` or more. Many dimensions pull memberships towards 1 / K, so that
    centres collapse into one: with 64 dimensions from m = 1.4 on, with 10 from m = 2 on (on digits). Compress first, or
    keep m near 1.

    Args:
        x: (n, d).
        fuzzifier: m, above 1; towards 1 it becomes k-means.
    """
    from sklearn.cluster import kmeans_plusplus

    best: FuzzyPartition | None = None
    for state in np.random.SeedSequence(seed).generate_state(restarts):
        centres = kmeans_plusplus(x, clusters, random_state=int(state))[0]
        for _ in range(iterations):
            weights = memberships_of(squared_distances(x, centres), fuzzifier) ** fuzzifier
            moved = (weights.T @ x) / weights.sum(axis=0)[:, None]
            step = np.linalg.norm(moved - centres, axis=1).max()
            centres = moved
            if step < tolerance:
                break
        squared = squared_distances(x, centres)
        memberships = memberships_of(squared, fuzzifier)
        objective = float((memberships**fuzzifier * squared).sum())
        if best is None or objective < best.objective:
            best = FuzzyPartition(centres, memberships, objective)
    assert best is not None, "restarts has to be at least 1"
    return best
