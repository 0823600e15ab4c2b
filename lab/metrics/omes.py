"""OMES: overlap and multiple encoding of a code, by intervention (Dapueto, Noceti, Odone, NeurIPS 2024). NumPy only.

Pairs of inputs that differ in one factor say what each dimension does when that factor alone changes. How the changed
value was drawn matters: where it never is the old one, even an ideal code correlates by -1 / (n - 1) for a factor of n
values, so scores of two ways of drawing can't be compared. `ceiling` says what an ideal code gets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

INACTIVE = 0.05
"""Standard deviation below which a dimension counts as inactive."""


@dataclass(frozen=True)
class Omes:
    """Scores in [0, 1], higher is better.

    omes: alpha times the mean of `modularity`, plus 1 - alpha times that of `compactness`.
    modularity, compactness: (F,) by factor: one dimension doesn't mix factors; one factor isn't spread over dimensions.
    association: int64 (F,), the dimension that goes with each factor, a column of the codes.
    """

    omes: float
    modularity: np.ndarray
    compactness: np.ndarray
    association: np.ndarray


def active_dimensions(codes: np.ndarray, threshold: float = INACTIVE) -> np.ndarray:
    """Dimensions that vary: int64, increasing. codes: (n, D)."""
    return np.flatnonzero(codes.std(axis=0) >= threshold)


def sensitivity(first: np.ndarray, second: np.ndarray, changed: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    """(D, F) in [0, 1]: 0 where a dimension ignores a factor, towards 1 where the factor alone decides it.

    It is 1 - |Pearson correlation| between the codes of the two members, over the pairs in which that factor changed.
    A dimension that is constant over those pairs ignores the factor.

    Args:
        first, second: (P, D), codes of the pairs' members.
        changed: int64 (P,), the factor in which they differ.
        factors: which factors to look at, in this order.

    Raises:
        ValueError: fewer than three pairs of a factor.
    """
    columns = []
    for factor in factors:
        rows = changed == factor
        if rows.sum() < 3:
            raise ValueError(f"factor {factor} changes in {int(rows.sum())} pairs; a correlation needs more")
        x, y = (codes[rows] - codes[rows].mean(axis=0) for codes in (first, second))
        spread = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
        together = np.abs((x * y).sum(axis=0))
        columns.append(np.where(spread > 0, 1 - np.divide(together, spread, where=spread > 0, out=0 * spread), 0.0))
    return np.asarray(np.clip(np.stack(columns, axis=1), 0, 1))


def omes_of(sensitive: np.ndarray, alpha: float = 0.5, weighted: bool = True) -> Omes:
    """OMES of a matrix from `sensitivity`.

    Args:
        sensitive: (D, F), inactive dimensions left out.
        alpha: share of modularity; 1 - alpha is that of compactness.
        weighted: a factor's dimensions are averaged with their sensitivity as weight (gamma of the published code,
            the microscopy paper's way); else its best dimension counts.
    """
    dimensions, factors = sensitive.shape
    one = np.abs(1 - sensitive)
    overlap = 1 - (sensitive.sum(axis=1, keepdims=True) - sensitive + one) / factors
    multiple = 1 - (sensitive.sum(axis=0, keepdims=True) - sensitive + one) / dimensions

    def by_factor(quality: np.ndarray) -> np.ndarray:
        value = quality * sensitive
        if not weighted:
            return np.asarray(value.max(axis=0))
        total = sensitive.sum(axis=0)
        return np.asarray(np.divide((sensitive * value).sum(axis=0), total, where=total > 0, out=0 * total))

    modularity, compactness = by_factor(overlap), by_factor(multiple)
    score = alpha * modularity.mean() + (1 - alpha) * compactness.mean()
    return Omes(float(score), modularity, compactness, overlap.argmax(axis=0))


def omes(
    first: np.ndarray,
    second: np.ndarray,
    changed: np.ndarray,
    factors: Sequence[int],
    alpha: float = 0.5,
    weighted: bool = True,
    threshold: float = INACTIVE,
) -> Omes:
    """OMES of the codes of pairs; dimensions with a standard deviation below `threshold` are left out.

    Arguments as in `sensitivity` and `omes_of`.

    Raises:
        ValueError: no dimension is active, or too few pairs of a factor.
    """
    active = active_dimensions(first, threshold)
    if len(active) == 0:
        raise ValueError(f"no dimension of the code has a standard deviation of {threshold} or more")
    found = omes_of(sensitivity(first[:, active], second[:, active], changed, factors), alpha, weighted)
    return Omes(found.omes, found.modularity, found.compactness, active[found.association])


def ceiling(sizes: Sequence[int], *, same_allowed: bool = False, alpha: float = 0.5, weighted: bool = True) -> float:
    """OMES of an ideal code: one dimension a factor, its value the factor's index.

    A factor of two values that always changes gets 0: flipping it is a correlation of -1. For such factors draw the new
    value freely, or leave them out.

    Args:
        sizes: number of values of each factor.
        same_allowed: the changed value is drawn freely and may be the old one; the ceiling is then 1.
    """
    own = [1.0 if same_allowed else 1 - 1 / (size - 1) for size in sizes]
    return omes_of(np.diag(own), alpha, weighted).omes
