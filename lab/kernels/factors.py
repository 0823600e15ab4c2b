"""Cholesky factors in place, and Falkon's preconditioner out of two of them.

A matrix keeps its factor in the lower triangle, so that the strict upper triangle is free for another one. Sources:
Rudi, Carratino & Rosasco 2017, section 3; Meanti, Carratino, Rosasco & Rudi 2020, section 3.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from scipy.linalg.lapack import dpotrf
from torch import Tensor

from lab.errors import KernelError
from lab.kernels.functions import panel_width, spans

MOST_JITTER = 1e-3
"""A matrix that needs more than this share of its mean diagonal counts as not positive definite."""


def panels(M: int) -> list[tuple[int, int]]:
    """Spans of rows of an M x M matrix, panel by panel."""
    return spans(M, panel_width(M))


def mirror_(matrix: Tensor) -> Tensor:
    """Copy the strict upper triangle into the lower one, in place."""
    for start, stop in panels(len(matrix)):
        corner = matrix[start:stop, start:stop].triu(1)
        matrix[start:stop, start:stop].triu_().add_(corner.T)
        matrix[stop:, start:stop] = matrix[start:stop, stop:].T
    return matrix


def solve_lower(factor: Tensor, right: Tensor) -> Tensor:
    """L^-1 right, for L in the lower triangle of `factor`."""
    solution: Tensor = torch.linalg.solve_triangular(factor, right, upper=False)
    return solution


def solve_upper(factor: Tensor, right: Tensor) -> Tensor:
    """L^-T right, for L in the lower triangle of `factor`."""
    solution: Tensor = torch.linalg.solve_triangular(factor.mT, right, upper=True)
    return solution


def cholesky_(matrix: Tensor, jitter: float, what: str) -> float:
    """Overwrite the lower triangle of a symmetric float64 matrix (M, M) by L, LL' = matrix + jitter M s I.

    s is the mean of the diagonal. When the factorisation fails, the jitter is raised tenfold and it is tried again.
    The strict upper triangle still holds the matrix.

    Returns:
        The jitter that was used.

    Raises:
        KernelError: not positive definite with a jitter of up to `MOST_JITTER` / M.
    """
    M = len(matrix)
    diagonal = matrix.diagonal().clone()
    scale = float(diagonal.mean())
    while scale > 0:
        matrix.diagonal().copy_(diagonal + jitter * M * scale)
        if _factor_lower_(matrix):
            return jitter
        mirror_(matrix)
        jitter = 10 * jitter if jitter else 1e-16
        if jitter * M > MOST_JITTER:
            break
    raise KernelError(
        f"{what} is not positive definite even with jitter {MOST_JITTER / M:.0e}: take another kernel, a smaller sigma "
        "or fewer centres"
    )


def _factor_lower_(matrix: Tensor) -> bool:
    """Cholesky in place in the lower triangle; False when not positive definite, the lower triangle is lost then."""
    if matrix.device.type == "cpu":
        # LAPACK in column order: its upper triangle is ours below. torch's own needs a second matrix.
        _, failed = dpotrf(matrix.numpy().T, lower=0, clean=0, overwrite_a=1)
        return bool(failed == 0)
    factor, info = torch.linalg.cholesky_ex(matrix)
    matrix.triu_(1).add_(factor)
    return bool(info.item() == 0)


class Preconditioner:
    """P = T^-1 A^-1 with T'T = K_MM + jitter and A'A = T D T' + penalty I, so that PP' nearly inverts the system.

    D = diag(importance) makes K_MM D K_MM an estimate of K_nM' W K_nM / sum(W); for uniformly drawn centres and equal
    weights it is I / M, as published. With `centred` the kernel's columns lose their means, as they do in a fit with an
    intercept.

    T' lies in the lower triangle of one matrix and T D T' in the upper one, its diagonal apart; A' needs a second.

    Args:
        kernel: K_MM (M, M), symmetric, float64; overwritten.
        importance: (M,) positive.
        jitter: first jitter that is tried, as in `cholesky_`.
    """

    def __init__(self, kernel: Tensor, importance: Tensor, *, jitter: float, centred: bool):
        self.jitter = cholesky_(kernel, jitter, "the kernel matrix of the centres")
        self._t = kernel.tril_()
        self._a: Tensor | None = None
        self._diagonal = torch.empty_like(kernel.diagonal())
        q = importance.to(kernel)
        self._mean = (kernel.T @ q)[:, None] / q.sum().sqrt() if centred else None
        self._spread = 0.0
        for start, stop in panels(len(kernel)):
            # Rows of T' are the centres' whitened features; columns start.. of them are zero above row start.
            part = torch.mm((kernel[start:, start:stop] * q[start:, None]).T, kernel[start:, start:])
            if self._mean is not None:
                part.addmm_(self._mean[start:stop], self._mean[start:].T, alpha=-1)
            width = stop - start
            self._diagonal[start:stop] = part.diagonal()
            kernel[start:stop, start:stop].add_(part[:, :width].triu(1))
            kernel[start:stop, stop:] = part[:, width:]

    def match_constant(self, spread: Callable[[Tensor], Tensor]) -> None:
        """Correct the centred estimate in the one direction where it is wrong however many centres there are.

        M functions can be one at all M centres, so that centred values there say that the combination does not vary at
        all; at other rows it does. `spread` gives the variance over all rows of K_nM u, for u (M, 1).
        """
        if self._mean is not None:
            constant = solve_upper(self._t, solve_lower(self._t, torch.ones_like(self._mean)))
            self._spread = max(float(spread(constant)), 0.0)

    def factor(self, penalty: float) -> None:
        """Make A for this penalty; needed once before the products below."""
        if self._a is None:
            self._a = torch.empty_like(self._t)
        self._a.copy_(self._t)
        self._a.diagonal().copy_(self._diagonal + penalty)
        mirror_(self._a)
        if self._mean is not None:
            self._a.addmm_(self._mean, self._mean.T, alpha=self._spread)
        cholesky_(self._a, 0.0, "the preconditioner")

    @property
    def factors(self) -> tuple[Tensor, Tensor]:
        """The matrices with T' and A' in their lower triangles."""
        assert self._a is not None, "factor() comes first"
        return self._t, self._a

    def whiten(self, right: Tensor) -> Tensor:
        """A^-T T^-T right, (M, C): from coefficients' gradients to the system's right side."""
        t, a = self.factors
        return solve_lower(a, solve_lower(t, right))

    def inner(self, beta: Tensor) -> Tensor:
        """A^-1 beta."""
        return solve_upper(self.factors[1], beta)

    def coefficients(self, beta: Tensor) -> Tensor:
        """alpha = T^-1 A^-1 beta."""
        return solve_upper(self._t, self.inner(beta))
