"""Kernel functions and their blocks k(X, C), for rows against a fixed set of centres.

Every kernel is one matrix product followed by one elementwise function in place. For kernels of the distance the
product has the half norms in two extra columns, so that it gives -|x - c|^2 / 2 at once; rows and centres are moved by
the centres' mean and divided by sigma first, which keeps the cancellation small enough for float32 (distances do not
change).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from lab.errors import KernelError, did_you_mean

KernelName = Literal["gaussian", "laplacian", "matern12", "matern32", "matern52", "linear", "polynomial", "sigmoid"]
KERNELS: tuple[str, ...] = (
    "gaussian",
    "laplacian",
    "matern12",
    "matern32",
    "matern52",
    "linear",
    "polynomial",
    "sigmoid",
)
DOT_PRODUCTS = ("linear", "polynomial", "sigmoid")


@dataclass(frozen=True)
class Kernel:
    """A kernel function of two vectors, up to its length scale sigma (a number, or one a dimension).

    With r = |(x - y) / sigma| and s = <x / sigma, y / sigma>:

        gaussian    exp(-r^2 / 2)
        laplacian   exp(-r), the Euclidean one; matern12 is the same
        matern32    (1 + sqrt(3) r) exp(-sqrt(3) r)
        matern52    (1 + sqrt(5) r + 5 r^2 / 3) exp(-sqrt(5) r)
        linear      s
        polynomial  (s + coef0)^degree
        sigmoid     tanh(s + coef0); not positive definite in general, so a fit may fail

    Raises:
        KernelError: an unknown name, or a degree below 1.
    """

    name: str = "gaussian"
    degree: int = 3
    coef0: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in KERNELS:
            raise KernelError(f"unknown kernel '{self.name}'{did_you_mean(self.name, KERNELS)}")
        if self.degree < 1:
            raise KernelError(f"degree of a polynomial kernel must be at least 1, not {self.degree}")

    @property
    def of_distance(self) -> bool:
        return self.name not in DOT_PRODUCTS

    def finish_(self, product: Tensor, reference: Tensor | None = None) -> Tensor:
        """The kernel out of `product`, in place, less `reference` (M,) when given.

        `product` (q, M) holds -r^2 / 2 for kernels of the distance, else s.
        """
        name = self.name
        if name == "gaussian":
            product.clamp_(max=0).exp_()
        elif self.of_distance:
            r = product.mul_(-2).clamp_(min=0).sqrt_()
            if name in ("laplacian", "matern12"):
                r.neg_().exp_()
            elif name == "matern32":
                r.mul_(math.sqrt(3))
                decay = torch.exp(-r)
                r.add_(1).mul_(decay)
            else:
                r.mul_(math.sqrt(5))
                decay = torch.exp(-r)
                r.copy_((r * r / 3).add_(r).add_(1)).mul_(decay)
        elif name == "polynomial":
            product.add_(self.coef0).pow_(self.degree)
        elif name == "sigmoid":
            product.add_(self.coef0).tanh_()
        if reference is not None:
            product.sub_(reference)
        return product

    def diagonal(self, rows: Tensor, sigma: Tensor) -> Tensor:
        """k(x, x) of each row, (n,): 1 for kernels of the distance."""
        if self.of_distance:
            return torch.ones(len(rows), dtype=rows.dtype, device=rows.device)
        return self.finish_((rows / sigma).square().sum(1))


@contextmanager
def full_precision() -> Iterator[None]:
    """No autograd, no autocast, and float32 products that are float32, whatever the caller has set.

    TF32 and bfloat16 round at 2^-11 and 2^-9. That error is a share of the largest eigenvalue of K_nM, while solutions
    hang on those near the penalty, so they are of no use in these products. Serves as a decorator too.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.no_grad(), torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


@cache
def _compiled(finish: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return torch.compile(finish, dynamic=True)


class KernelBlock:
    """k(., C) for fixed centres C (M, d) and one sigma, in `dtype`, on the device of the centres.

    `shift` (d,) is to be subtracted from rows before `__call__` sees them (`Rows.blocks` does it in the precision of
    the data): the centres' mean for kernels of the distance, else zero.
    """

    def __init__(self, kernel: Kernel, centres: Tensor, sigma: Tensor, dtype: torch.dtype):
        self.kernel, self.dtype, self.device = kernel, dtype, centres.device
        self.M, self.d = centres.shape
        wide = centres.double()
        self.shift = wide.mean(0) if kernel.of_distance else torch.zeros_like(wide[0])
        self.scale = sigma.to(wide).reciprocal()
        scaled = (wide - self.shift) * self.scale
        self._width = self.d + 2 if kernel.of_distance else self.d
        self._centres = torch.empty(self._width, self.M, dtype=dtype, device=self.device)
        self._centres[: self.d] = scaled.T
        if kernel.of_distance:
            self._centres[self.d] = 1
            self._centres[self.d + 1] = scaled.square().sum(1).mul_(-0.5)
        self._narrow_scale = self.scale.to(dtype)
        self._rows = torch.empty(0, self._width, dtype=dtype, device=self.device)
        # One pass over the block instead of three to five on a GPU, which is bound by memory there.
        self._finish = _compiled(kernel.finish_) if self.device.type == "cuda" else kernel.finish_

    def __call__(
        self, rows: Tensor, out: Tensor | None = None, reference: Tensor | None = None, *, first: int = 0
    ) -> Tensor:
        """k(rows, C) - reference for the centres from number `first` on, (q, M - first).

        `rows` (q, d) are shifted already and are left as they are.
        """
        q = len(rows)
        if q > len(self._rows):
            self._rows = torch.empty(q, self._width, dtype=self.dtype, device=self.device)
        wide = self._rows[:q]
        scaled = torch.mul(rows, self._narrow_scale, out=wide[:, : self.d])
        if self.kernel.of_distance:
            wide[:, self.d] = scaled.square().sum(1).mul_(-0.5)
            wide[:, self.d + 1] = 1
        centres = self._centres[:, first:]
        product = torch.mm(wide, centres) if out is None else torch.mm(wide, centres, out=out)
        return self._finish(product, reference)


@full_precision()
def kernel_matrix(kernel: Kernel, rows: Tensor, centres: Tensor, sigma: Tensor | float) -> Tensor:
    """k(rows, centres), (n, M), in one piece and in the precision of `rows`."""
    sigma = torch.as_tensor(sigma, dtype=torch.float64, device=centres.device)
    block = KernelBlock(kernel, centres, sigma, rows.dtype)
    return block(rows - block.shift.to(rows))


def centres_matrix(kernel: Kernel, centres: Tensor, sigma: Tensor, out: Tensor | None = None) -> Tensor:
    """K_MM, (M, M), float64, exactly symmetric; only `out`'s lower triangle with its diagonal is written when given."""
    M = len(centres)
    block = KernelBlock(kernel, centres, sigma, torch.float64)
    shifted = centres.double() - block.shift
    matrix = torch.empty(M, M, dtype=torch.float64, device=centres.device) if out is None else out
    for start, stop in spans(M, panel_width(M)):
        values = block(shifted[start:stop], first=start)
        matrix[stop:, start:stop] = values[:, stop - start :].T
        corner = matrix[start:stop, start:stop]
        corner.copy_(values[:, : stop - start].T.tril() + corner.triu(1))
        if out is None:
            corner.copy_(corner.tril() + corner.tril(-1).T)
            matrix[start:stop, stop:] = values[:, stop - start :]
    # Computed distances of a row from itself are only nearly zero, which kernels with a kink there show.
    matrix.diagonal().copy_(kernel.diagonal(shifted + block.shift, sigma.to(shifted)))
    return matrix


def panel_width(M: int) -> int:
    """Rows of one panel of an M x M matrix: few panels for small ones, and of a large one 17/32 is computed."""
    return max(64, min(256, -(-M // 8)), -(-M // 16))


def spans(n: int, size: int) -> list[tuple[int, int]]:
    """0..n cut in pieces of `size`, the last one shorter."""
    return [(start, min(start + size, n)) for start in range(0, n, size)]


def median_distance(rows: Tensor) -> float:
    """Median Euclidean distance between different rows of (k, d); 1 when there are none."""
    rows = (rows - rows.mean(0)).float()
    squares = rows.square().sum(1)
    pairs = torch.empty(len(rows) * (len(rows) - 1) // 2, device=rows.device)
    filled = 0
    for start, stop in spans(len(rows), 128):
        block = torch.addmm(squares[start:], rows[start:stop], rows[start:].T, alpha=-2).add_(squares[start:stop, None])
        above = torch.ones_like(block, dtype=torch.bool).triu_(1)
        found = block[above]
        pairs[filled : filled + len(found)] = found
        filled += len(found)
    pairs[pairs <= 1e-6 * squares.mean()] = torch.nan  # two rows that are equal up to rounding
    median = float(pairs.nanmedian()) if len(pairs) else math.nan
    return math.sqrt(median) if median > 0 else 1.0
