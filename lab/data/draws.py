"""Seeded draws from labelled images: held-out splits that keep the shares of the classes, and smaller training sets."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np


def held_out(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Rows to be held out, bool (n,): `fraction` of each class, rounded, but at least one row and never all.

    labels: int64 (n,). A class of a single row stays where it is.
    """
    rng = np.random.default_rng(seed)
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        held[rows[: min(max(round(fraction * len(rows)), 1), len(rows) - 1)]] = True
    return held


def held_out_groups(labels: np.ndarray, groups: Sequence[Hashable], fraction: float, seed: int) -> np.ndarray:
    """The same where rows of one group stay together, bool (n,): as near to `fraction` of each class as groups allow.

    Groups are taken in random order, large ones first, each only where that brings the classes nearer to their shares
    and leaves every class a row. A class that got none is then given its smallest group that can be spared.

    labels: int64 (n,).
    """
    rng = np.random.default_rng(seed)
    names = sorted(set(groups), key=str)
    number = {name: row for row, name in enumerate(names)}
    group = np.array([number[name] for name in groups])
    counts = np.zeros((len(names), int(labels.max()) + 1))
    np.add.at(counts, (group, labels), 1)
    total = counts.sum(axis=0)
    order = rng.permutation(len(names))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    taken = np.zeros(len(names), dtype=bool)
    got = np.zeros_like(total)
    missing, weight = fraction * total, 1 / np.maximum(total, 1)
    for row in order:
        nearer = ((missing - counts[row]) ** 2 * weight).sum() < (missing**2 * weight).sum()
        if nearer and _leaves_all(got + counts[row], total):
            taken[row] = True
            got, missing = got + counts[row], missing - counts[row]
    for label in np.flatnonzero((got == 0) & (total > 0)):
        for row in sorted(np.flatnonzero(counts[:, label] > 0), key=lambda row: counts[row].sum()):
            if got[label] == 0 and _leaves_all(got + counts[row], total):
                taken[row] = True
                got = got + counts[row]
    return np.asarray(taken[group])


def _leaves_all(got: np.ndarray, total: np.ndarray) -> bool:
    return bool((got[total > 0] < total[total > 0]).all())


def some_of_each(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    """`per_class` rows of each class, or all where there are fewer, bool (n,). With more, these are among them."""
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        chosen[rng.permutation(np.flatnonzero(labels == label))[:per_class]] = True
    return chosen
