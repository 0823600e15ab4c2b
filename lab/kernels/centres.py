"""Choosing Nyström centres among the rows.

Every chooser returns `Centres`: rows as float64 and their importance, with sum_j importance_j k(x_j) k(x_j)' an
estimate of the mean of k(x) k(x)' over all rows. Rows that are equal are chosen once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lab.errors import KernelError, did_you_mean
from lab.kernels.factors import cholesky_, solve_lower
from lab.kernels.functions import Kernel, centres_matrix, kernel_matrix
from lab.kernels.rows import Rows

CentresName = Literal["uniform", "stratified", "kmeans++", "leverage"]
CENTRES = ("uniform", "stratified", "kmeans++", "leverage")

POOL = 4
"""k-means++ chooses among at most `POOL` M rows that were drawn uniformly, so that its cost is that of one more
kernel block of M centres."""


@dataclass(frozen=True)
class Centres:
    """`rows` (M, d) float64, `importance` (M,) float64, positive."""

    rows: Tensor
    importance: Tensor


def distinct(rows: Tensor, most: int) -> Tensor:
    """Positions of the first `most` rows that differ from all before them, in order."""
    _, inverse = torch.unique(rows, dim=0, return_inverse=True)
    first = torch.full((int(inverse.max()) + 1,), len(rows), dtype=torch.int64, device=rows.device)
    first.scatter_reduce_(0, inverse, torch.arange(len(rows), device=rows.device), "amin")
    return first.sort().values[:most]


def choose_centres(
    rows: Rows,
    M: int,
    how: str = "uniform",
    *,
    seed: int = 0,
    labels: Tensor | None = None,
    weights: Tensor | None = None,
    kernel: Kernel | None = None,
    sigma: Tensor | None = None,
    penalty: float = 1e-6,
) -> Centres:
    """At most M centres; fewer when fewer rows differ from each other. The same on every rank.

    Args:
        rows: of this rank.
        how: "uniform" (without replacement); "stratified" (each class in proportion to its weight, one at least);
            "kmeans++" (by squared distance to those chosen already, in 64 rounds, among 4 M uniform rows: Bahmani et
            al. 2012); "leverage" (by approximate ridge leverage scores among 4 M uniform rows: Rudi et al. 2018).
        seed: of the draws.
        labels: (n,) class numbers of this rank's rows, for "stratified".
        weights: (n,) of this rank's rows; rows of weight zero are never chosen.
        kernel, sigma, penalty: for "leverage".

    Raises:
        KernelError: an unknown `how`, "stratified" without labels, fewer centres than classes, or
            weights that are all zero.
    """
    if how not in CENTRES:
        raise KernelError(f"unknown centres '{how}'{did_you_mean(how, CENTRES)}")
    generator = torch.Generator().manual_seed(seed)
    masses = None if weights is None else rows.gather(weights.double()).cpu()
    allowed = torch.arange(rows.total) if masses is None else torch.nonzero(masses > 0).flatten()
    if not len(allowed):
        raise KernelError("all sample weights are zero")
    masses = torch.ones(rows.total, dtype=torch.float64) if masses is None else masses
    order = allowed[torch.randperm(len(allowed), generator=generator)]
    if how == "stratified":
        if labels is None:
            raise KernelError("centres='stratified' needs class labels; take 'uniform' for real targets")
        return _stratified(rows, M, order, masses, rows.gather(labels).cpu())
    if how == "leverage":
        assert kernel is not None and sigma is not None, "leverage scores are of a kernel"
        return _leverage(rows, M, order, masses, generator, kernel, sigma, penalty)
    return _uniform(rows, M, order, masses) if how == "uniform" else _kmeans(rows, M, order, masses, generator)


def sample_rows(rows: Rows, most: int, *, seed: int, weights: Tensor | None = None) -> Tensor:
    """At most so many different rows, drawn uniformly from those of positive weight; the same on every rank."""
    return choose_centres(rows, min(most, rows.total), seed=seed, weights=weights).rows


def _draw(rows: Rows, M: int, order: Tensor) -> tuple[Tensor, Tensor]:
    """The first M different rows in this order, and their numbers."""
    used = min(M, len(order))
    numbers = order[:used]
    found = rows.fetch(numbers)
    while True:
        keep = distinct(found, M)
        if len(keep) == M or used == len(order):
            return found[keep], numbers[keep.cpu()]
        more = order[used : used + max(M - len(keep), 64)]
        used += len(more)
        numbers = torch.cat([numbers[keep.cpu()], more])
        found = torch.cat([found[keep], rows.fetch(more)])


def _uniform(rows: Rows, M: int, order: Tensor, masses: Tensor) -> Centres:
    found, numbers = _draw(rows, M, order)
    importance = masses[numbers].to(found)
    return Centres(found, importance / importance.sum())


def _stratified(rows: Rows, M: int, order: Tensor, masses: Tensor, labels: Tensor) -> Centres:
    classes = torch.unique(labels[order])
    shares = torch.stack([masses[labels == c].sum() for c in classes]) / masses.sum()
    parts = []
    for share, quota, c in zip(shares, _quotas(M, shares), classes, strict=True):
        part = _uniform(rows, quota, order[labels[order] == c], masses)
        parts.append(Centres(part.rows, part.importance * float(share)))
    found = torch.cat([part.rows for part in parts])
    keep = distinct(found, M)  # the same row in two classes
    importance = torch.cat([part.importance for part in parts])[keep]
    return Centres(found[keep], importance / importance.sum())


def _quotas(M: int, shares: Tensor) -> list[int]:
    """M split in proportion to `shares`, each at least one; the largest remainders are rounded up."""
    spare = M - len(shares)
    if spare < 0:
        raise KernelError(f"stratified centres need one for each of the {len(shares)} classes at least, but M={M}")
    exact = shares * spare
    quotas = exact.floor().long() + 1
    quotas[(exact - exact.floor()).argsort(descending=True, stable=True)[: M - int(quotas.sum())]] += 1
    return [int(quota) for quota in quotas]


def _kmeans(rows: Rows, M: int, order: Tensor, masses: Tensor, generator: torch.Generator) -> Centres:
    pool, numbers = _draw(rows, min(POOL * M, rows.total), order)
    mass = masses[numbers].to(pool)
    if len(pool) <= M:
        return Centres(pool, mass / mass.sum())
    moved = (pool - pool.mean(0)).float()
    squares = moved.square().sum(1)
    nearest = torch.full((len(pool),), torch.inf, device=pool.device)
    owner = torch.zeros(len(pool), dtype=torch.int64, device=pool.device)
    chosen = torch.multinomial(mass.cpu(), 1, generator=generator).to(pool.device)
    fresh = chosen
    while True:
        distances = (squares[:, None] + squares[fresh] - 2 * moved @ moved[fresh].T).clamp_(min=0)
        closest, which = distances.min(1)
        closer = closest < nearest
        owner[closer] = which[closer] + len(chosen) - len(fresh)
        nearest = torch.where(closer, closest, nearest)
        nearest[fresh] = 0
        owner[fresh] = torch.arange(len(chosen) - len(fresh), len(chosen), device=pool.device)
        chances = nearest.double() * mass
        count = min(-(-M // 64), M - len(chosen), int((chances > 0).sum()))
        if count == 0:
            break
        fresh = torch.multinomial(chances.cpu(), count, generator=generator).to(pool.device)
        chosen = torch.cat([chosen, fresh])
    importance = torch.zeros(len(chosen), dtype=torch.float64, device=pool.device).index_add_(0, owner, mass)
    return Centres(pool[chosen], importance / importance.sum())


def _leverage(
    rows: Rows,
    M: int,
    order: Tensor,
    masses: Tensor,
    generator: torch.Generator,
    kernel: Kernel,
    sigma: Tensor,
    penalty: float,
) -> Centres:
    pool, numbers = _draw(rows, min(POOL * M, rows.total), order)
    mass = masses[numbers].to(pool)
    some = pool[: min(M, 1000)]
    matrix = centres_matrix(kernel, some, sigma)
    matrix.diagonal().add_(penalty * len(some))
    cholesky_(matrix, 0.0, "the kernel matrix of a sample")
    explained = torch.cat(
        [
            solve_lower(matrix, kernel_matrix(kernel, some, part, sigma)).square().sum(0)
            for part in torch.split(pool, max(len(some), 64))
        ]
    )
    scores = (kernel.diagonal(pool, sigma.to(pool)) - explained).clamp_(min=1e-12) * mass
    chosen = torch.multinomial(scores.cpu(), min(M, len(pool)), generator=generator).to(pool.device)
    importance = mass[chosen] / scores[chosen]
    return Centres(pool[chosen], importance / importance.sum())
