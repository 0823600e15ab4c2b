"""Paired comparison of two methods over subjects: what one gains over the other, and how sure that is. NumPy, SciPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

RESAMPLES = 2000


class Gain(NamedTuple):
    """mean: of the differences; low, high: 95 % bootstrap interval; p: of Wilcoxon's signed-rank test, two-sided.

    NaN where there are too few subjects: the interval needs two, the test one difference that is not 0.
    """

    mean: float
    low: float
    high: float
    p: float


def paired_gain(ours: np.ndarray, theirs: np.ndarray, seed: int = 0) -> Gain:
    """`ours - theirs`, both (n,), one number a subject, pairs in the same order; pairs with a NaN are left out.

    The interval is the percentile bootstrap over subjects; slices of a subject have to be averaged first.
    """
    difference = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    difference = difference[np.isfinite(difference)]
    n = len(difference)
    if n < 2:
        return Gain(float(difference.mean()) if n else np.nan, np.nan, np.nan, np.nan)
    chosen = np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
    low, high = np.percentile(difference[chosen].mean(axis=1), (2.5, 97.5))
    p = np.nan
    if difference.any():
        from scipy.stats import wilcoxon  # late: most of a second

        p = float(wilcoxon(difference).pvalue)
    return Gain(float(difference.mean()), float(low), float(high), p)


def subject_means(values: np.ndarray, subject: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Subjects (S,), increasing, and the mean (S, ...) of the rows of each; NaN are left out, a subject of NaN is NaN.

    values: float (n, ...); subject: int (n,).
    """
    found, place = np.unique(subject, return_inverse=True)
    known = np.isfinite(values)
    sums = np.zeros((len(found), *values.shape[1:]))
    counts = np.zeros_like(sums)
    np.add.at(sums, place, np.where(known, values, 0))
    np.add.at(counts, place, known)
    with np.errstate(invalid="ignore"):
        return found, sums / counts
