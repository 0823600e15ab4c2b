"""Conjugate gradients for several right sides at once, each column with its own steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

RECOMPUTE_EVERY = 10
"""After so many iterations the residual is computed anew instead of updated (Meanti et al. 2020, section 3.5)."""


@dataclass(frozen=True)
class CGResult:
    """`x` (M, C); iterations done; the largest relative residual |b - Hx| / |b| of all columns after each of them."""

    x: Tensor
    iterations: int
    residuals: tuple[float, ...]


def conjugate_gradient(
    operator: Callable[[Tensor], Tensor],
    b: Tensor,
    *,
    start: Tensor | None = None,
    maxiter: int = 20,
    tolerance: float = 1e-4,
    after: Callable[[int, Tensor, float], object] | None = None,
    agree: Callable[[Tensor], object] | None = None,
) -> CGResult:
    """Solve H x = b for a symmetric positive definite H (M, M) and b (M, C).

    Args:
        operator: x (M, C) -> Hx.
        start: first guess (a warm start); zero by default.
        maxiter: the most iterations; a column that has converged stands still while the others go on.
        tolerance: stop when every column's |b - Hx| is at most this share of its |b|.
        after: called after each iteration with its number, x, and the largest relative residual.
        agree: makes a tensor equal on all ranks, so that all of them stop at the same iteration.
    """
    scale = b.norm(dim=0)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    x = torch.zeros_like(b) if start is None else start.clone()
    r = b.clone() if start is None else b - operator(x)
    p = r.clone()
    squares = r.square().sum(0)
    residuals: list[float] = []
    for number in range(1, maxiter + 1):
        relative = squares.sqrt() / scale
        if agree is not None:
            agree(relative)
        active = relative > tolerance
        if not bool(active.any()):
            break
        hp = operator(p)
        curvature = (p * hp).sum(0)
        step = torch.where(active & (curvature > 0), squares / curvature, torch.zeros_like(curvature))
        x.addcmul_(p, step)
        if number % RECOMPUTE_EVERY:
            r.addcmul_(hp, step, value=-1)
        else:
            r = b - operator(x)
        before, squares = squares, r.square().sum(0)
        ratio = torch.where(before > 0, squares / before, torch.zeros_like(before))
        p.mul_(ratio).add_(r)
        residuals.append(float((squares.sqrt() / scale).max()))
        if after is not None:
            after(number, x, residuals[-1])
    return CGResult(x, len(residuals), tuple(residuals))
