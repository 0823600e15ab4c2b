"""Which images stand for what a model calls a class (step B1 of SaMyNa). Pure torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

NONE, TRUE_POSITIVE, FALSE_POSITIVE = 0, 1, 2
ROUNDS = 20


def representatives(labels: Tensor, predictions: Tensor, features: Tensor, per_pool: int, most: int) -> Tensor:
    """int64 (n,): `TRUE_POSITIVE` or `FALSE_POSITIVE` for the representatives of a pool, else `NONE`.

    For each class c, the pools are the images rightly and wrongly predicted as c; the representatives are k-medoids by
    cosine distance. A pool of `per_pool` images or fewer is taken whole.

    Args:
        labels, predictions: int64 (n,).
        features: (n, d).
        most: a larger pool is thinned evenly to so many first.
    """
    chosen = torch.full_like(labels, NONE)
    for label in sorted(set(predictions.tolist())):
        for kind, right in ((TRUE_POSITIVE, True), (FALSE_POSITIVE, False)):
            pool = ((predictions == label) & ((labels == label) == right)).nonzero().flatten()
            if len(pool) > most:
                pool = pool[torch.linspace(0, len(pool) - 1, most).long()]
            chosen[pool[medoids(features[pool], per_pool)]] = kind
    return chosen


def medoids(features: Tensor, k: int) -> Tensor:
    """Rows int64 (min(k, n),) of k-medoids by cosine distance: greedy start (BUILD of PAM), then alternating.

    features: (n, d).
    """
    n = len(features)
    if n <= k:
        return torch.arange(n)
    unit = F.normalize(features.double(), dim=1)
    distance = 1 - unit @ unit.T
    nearest = torch.full((n,), torch.inf, dtype=distance.dtype)
    found: list[int] = []
    for _ in range(k):
        cost = torch.minimum(distance, nearest).sum(1)  # of each row as the next medoid
        cost[found] = torch.inf
        found.append(int(cost.argmin()))
        nearest = torch.minimum(nearest, distance[found[-1]])
    chosen = torch.tensor(found)
    for _ in range(ROUNDS):
        owner = distance[:, chosen].argmin(1)
        owner[chosen] = torch.arange(k)  # of equal images, each medoid keeps itself
        moved = chosen.clone()
        for number in range(k):
            own = (owner == number).nonzero().flatten()
            moved[number] = own[distance[own][:, own].sum(1).argmin()]
        if torch.equal(moved, chosen):
            break
        chosen = moved
    return chosen
