"""Nyström kernel least squares for one sigma: all that penalties share, and the two routes to the coefficients.

Minimised over alpha (M, C) and b (C,):

    1/W sum_i w_i |y_i - b - k(x_i, C) alpha|^2 + penalty tr(alpha' K_MM alpha),   W = sum_i w_i

The intercept b is not penalised: with it, both targets and columns of K_nM lose their means.

Float32 is too coarse for K_nM' K_nM as it stands: rounding is a share of its largest eigenvalue, the solution hangs on
the small ones. So the large part is taken out first. With 64 columns K_S of K_nM, and B (64, M) fitted on a few rows so
that K_nM is nearly 1 m' + K_S B, a block is kept as Z = [K_nM - 1 m' - K_S B, K_S], and products are those of Z, put
together in float64. The first part is small, and so are the errors of its products; what is left is the error that
float64 products of the same float32 K_nM would have. It costs 128 / M of the product itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lab.kernels.cg import conjugate_gradient
from lab.kernels.factors import Preconditioner, cholesky_, mirror_, panels, solve_lower, solve_upper
from lab.kernels.functions import Kernel, KernelBlock, centres_matrix, full_precision, kernel_matrix, spans
from lab.kernels.plan import LARGE_PART, Plan
from lab.kernels.rows import Rows

JITTER = {torch.float32: 1e-8, torch.float64: 1e-13}
"""First jitter of K_MM by the precision of products: below it, the error of K_nM counts for more."""

LARGE_PART_ROWS = 256
"""Rows, some of the centres, that m and B are fitted on."""

Progress = Callable[[str, int, int], object]


class Ledger(dict[str, float]):
    """Seconds per phase of a fit."""

    @contextmanager
    def phase(self, name: str, device: torch.device) -> Iterator[None]:
        _synchronise(device)
        start = time.perf_counter()
        try:
            yield
        finally:
            _synchronise(device)
            self[name] = self.get(name, 0.0) + time.perf_counter() - start


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass
class Targets:
    """What is fitted: classes by number, as one-hot columns (for two classes one column of -1 and 1), or values.

    Args:
        values: (n,) class numbers (int64), or (n, C) real targets, on the device of the fit.
        classes: how many, or None for real targets.
        weights: (n,) not negative, or None for ones.
    """

    values: Tensor
    classes: int | None = None
    weights: Tensor | None = None

    @property
    def C(self) -> int:
        if self.classes is None:
            return int(self.values.shape[1])
        return 1 if self.classes == 2 else self.classes

    def block(self, start: int, stop: int, dtype: torch.dtype) -> Tensor:
        """Targets of rows start..stop, (q, C)."""
        values = self.values[start:stop]
        if self.classes is None:
            return values.to(dtype)
        if self.classes == 2:
            return (2 * values - 1)[:, None].to(dtype)
        return torch.nn.functional.one_hot(values, self.classes).to(dtype)

    def weight(self, start: int, stop: int, dtype: torch.dtype) -> Tensor | None:
        return None if self.weights is None else self.weights[start:stop].to(dtype)


@dataclass(frozen=True)
class Solution:
    """Coefficients for one penalty.

    f(x) = k(x, C) alpha + intercept; alpha (M, C) and intercept (C,) in float64. `beta` (M, C), of the CG route, starts
    a solve with a near penalty. `residuals`: largest relative residual after each iteration, empty for the Gram route.
    """

    penalty: float
    alpha: Tensor
    intercept: Tensor
    jitter: float
    iterations: int = 0
    residuals: tuple[float, ...] = ()
    beta: Tensor | None = None


@dataclass
class System:
    """Rows, targets, centres and one sigma. `solve` may be called with as many penalties as wanted, in any order.

    Args:
        rows: the features of this rank.
        targets: of the same rows.
        kernel: the kernel function.
        centres: (M, d), the same on all ranks.
        sigma: (1,) or (d,).
        importance: (M,) see `Preconditioner`.
        plan: route, blocks and whether K_nM is kept.
        dtype: of products with K_nM; factors are float64.
        intercept: fit b; otherwise it is zero.
        progress: called with a phase, rows done, and rows in all, after each block of the first pass.
    """

    rows: Rows
    targets: Targets
    kernel: Kernel
    centres: Tensor
    sigma: Tensor
    importance: Tensor
    plan: Plan
    dtype: torch.dtype = torch.float32
    intercept: bool = True
    ledger: Ledger = field(default_factory=Ledger)
    progress: Progress | None = None

    @full_precision()
    def __post_init__(self) -> None:
        self.M, self.C = len(self.centres), self.targets.C
        self._device = self.centres.device
        self._reduce = self.rows.ranks.reduce
        self._square = torch.empty(self.M, self.M, dtype=torch.float64, device=self._device)
        self._stored: Tensor | None = None
        self._preconditioner: Preconditioner | None = None
        self._factor: Tensor | None = None
        with self.ledger.phase("factor", self._device):
            self._large_part()
            if self.plan.route == "cg":
                mirror_(centres_matrix(self.kernel, self.centres, self.sigma, self._square).T)
                self._preconditioner = Preconditioner(
                    self._square, self.importance, jitter=JITTER[self.dtype], centred=self.intercept
                )
        with self.ledger.phase("kernel", self._device):
            self._block = KernelBlock(self.kernel, self.centres, self.sigma, self.dtype)
            self._first_pass()
            if self._preconditioner is not None:
                self._preconditioner.match_constant(lambda u: (u * self.normal(u)).sum())
        if self.plan.route == "gram":
            with self.ledger.phase("factor", self._device):
                centres_matrix(self.kernel, self.centres, self.sigma, self._square)

    def _large_part(self) -> None:
        """m (M,), the numbers of the columns K_S, and B, from the kernel between some of the centres and all."""
        some = self.centres[:: -(-self.M // LARGE_PART_ROWS)].double()
        values = kernel_matrix(self.kernel, some, self.centres, self.sigma)
        self.reference = values.mean(0) if self.intercept else torch.zeros_like(values[0])
        count = min(LARGE_PART, len(some) // 4) if self.dtype == torch.float32 else 0
        self._columns = torch.arange(count, device=self._device) * (self.M // max(count, 1))
        values -= self.reference
        chosen = values[:, self._columns]
        square = chosen.T @ chosen
        # Equal columns, or a kernel that is constant on all rows, leave nothing to invert.
        square.diagonal().add_(1e-8 * square.diagonal().sum() + 1e-30)
        self._b = torch.linalg.solve(square, chosen.T @ values)

    @property
    def preconditioner(self) -> Preconditioner:
        """Of the CG route."""
        assert self._preconditioner is not None, "the Gram route has none"
        return self._preconditioner

    def _means(self) -> None:
        """W and the weighted mean of the targets."""
        sums = torch.zeros(1 + self.C, dtype=torch.float64, device=self._device)
        for start in range(0, len(self.rows), 65536):
            stop = min(start + 65536, len(self.rows))
            weight = self.targets.weight(start, stop, torch.float64)
            block = self.targets.block(start, stop, torch.float64)
            sums[0] += stop - start if weight is None else weight.sum()
            sums[1:] += block.sum(0) if weight is None else weight @ block
        self._reduce(sums)
        self.total = float(sums[0])
        self._mean_target = sums[1:] / self.total if self.intercept else torch.zeros_like(sums[1:])

    def _first_pass(self) -> None:
        """K'W(y - mean), the column means, and K_nM or the Gram matrix when the plan says so."""
        self._means()
        M, C, width = self.M, self.C, self.M + len(self._columns)
        gram = self.plan.route == "gram"
        # Targets, ones and, for the Gram matrix, K_S, all times Z: few rows by many columns suit GEMMs best.
        sums = torch.zeros(C + 1 + (width - M if gram else 0), width, dtype=torch.float64, device=self._device)
        if gram:
            self._square.zero_()
            panel = torch.empty(panels(M)[0][1] * M, dtype=self.dtype, device=self._device)
        if self.plan.stored:
            self._stored = self._empty(len(self.rows))
        mean_target = self._mean_target.to(self.dtype)
        for start, stop, z in self._computed(self._stored):
            right = torch.ones(stop - start, len(sums), dtype=self.dtype, device=self._device)
            right[:, :C] = self.targets.block(start, stop, self.dtype) - mean_target
            weight = self.targets.weight(start, stop, self.dtype)
            if gram:
                right[:, C + 1 :] = z[:, M:]
                if weight is not None:  # Z'WZ from rows times the roots of their weights
                    z.mul_(weight.sqrt()[:, None])
                    right.mul_(weight.sqrt()[:, None])
            elif weight is not None:
                right.mul_(weight[:, None])
            sums += right.T @ z
            if gram:
                for first, last in panels(M):
                    out = panel[: (last - first) * (M - first)].view(last - first, M - first)
                    torch.mm(z[:, first:last].T, z[:, first:M], out=out)
                    self._square[first:last, first:] += out
            if self.progress is not None:
                self.progress("kernel", stop, len(self.rows))
        self._reduce(sums)
        sums /= self.total
        lifted = self._lift(sums[: C + 1])
        self._right = lifted[:C].T
        self._mean = lifted[C:].T if self.intercept else torch.zeros_like(lifted[C:].T)
        if gram:
            self._reduce(self._square)
            self._square /= self.total
            # (R + K_S B)'(R + K_S B) = R'R + QB + B'Q', with Q = R'K_S + B'K_S'K_S / 2.
            q = sums[C + 1 :, :M].addmm(sums[C + 1 :, M:], self._b, alpha=0.5).T
            for first, last in panels(M):
                part = self._square[first:last, first:]
                part.addmm_(q[first:last], self._b[:, first:])
                part.addmm_(self._b[:, first:last].T, q[first:].T)
                part.addmm_(self._mean[first:last], self._mean[first:].T, alpha=-1)
            self._diagonal = self._square.diagonal().clone()

    def _empty(self, rows: int) -> Tensor:
        """Room for rows of Z. They begin at multiples of 64 bytes: GEMMs are a third slower where they don't."""
        width = self.M + len(self._columns)
        return torch.empty(rows, -(-width // 16) * 16, dtype=self.dtype, device=self._device)[:, :width]

    def _lift(self, sums: Tensor) -> Tensor:
        """v'Z -> v'(K_nM - 1 m')."""
        return torch.addmm(sums[:, : self.M], sums[:, self.M :], self._b)

    def _computed(self, into: Tensor | None = None) -> Iterator[tuple[int, int, Tensor]]:
        """Blocks of Z, (q, M + 64), written to their rows of `into` when given."""
        reference = self.reference.to(self.dtype) if self.intercept else None
        b, M, width = self._b.to(self.dtype), self.M, self.M + len(self._columns)
        buffer = None
        if into is None:
            buffer = self._empty(min(self.plan.block, len(self.rows)))
        for start, stop, rows in self.rows.blocks(self.plan.block, self.dtype, self._block.shift):
            z = buffer[: stop - start] if buffer is not None else into[start:stop]  # type: ignore[index]
            values = self._block(rows, z[:, :M], reference)
            if width > M:
                z[:, M:] = values[:, self._columns]
                values.addmm_(z[:, M:], b, alpha=-1)
            yield start, stop, z

    def _blocks(self) -> Iterator[tuple[int, int, Tensor]]:
        if self._stored is None:
            yield from self._computed()
        else:
            for start, stop in spans(len(self.rows), self.plan.block):
                yield start, stop, self._stored[start:stop]

    def normal(self, u: Tensor) -> Tensor:
        """(K'WK / W) u for u (M, C) in float64, columns of K without their means; all ranks' rows."""
        narrow = torch.cat([u.T, (self._b @ u).T], 1).to(self.dtype)
        sums = torch.zeros(narrow.shape, dtype=torch.float64, device=self._device)
        for start, stop, z in self._blocks():
            product = narrow @ z.T
            weight = self.targets.weight(start, stop, self.dtype)
            if weight is not None:
                product.mul_(weight)
            sums += product @ z
        self._reduce(sums)
        return self._lift(sums).T.div_(self.total).addmm_(self._mean, self._mean.T @ u, alpha=-1)

    @full_precision()
    def solve(
        self,
        penalty: float,
        *,
        maxiter: int = 20,
        tolerance: float = 1e-4,
        start: Tensor | None = None,
        after: Callable[[int, Tensor, float], object] | None = None,
    ) -> Solution:
        """Coefficients for one penalty.

        Args:
            maxiter, tolerance: of the CG route, see `conjugate_gradient`.
            start: `Solution.beta` of a near penalty.
            after: called after each CG iteration with its number, the coefficients (M, C) and the residual.
        """
        if self._preconditioner is None:
            return self._solve_gram(penalty)
        preconditioner = self.preconditioner
        with self.ledger.phase("factor", self._device):
            preconditioner.factor(penalty)

        def operator(beta: Tensor) -> Tensor:
            v = preconditioner.inner(beta)
            t, a = preconditioner.factors
            return solve_lower(a, solve_lower(t, self.normal(solve_upper(t, v))).add_(v, alpha=penalty))

        def report(number: int, beta: Tensor, residual: float) -> None:
            if after is not None:
                after(number, preconditioner.coefficients(beta), residual)

        with self.ledger.phase("iterate", self._device):
            result = conjugate_gradient(
                operator,
                preconditioner.whiten(self._right),
                start=start,
                maxiter=maxiter,
                tolerance=tolerance,
                after=report,
                agree=self.rows.ranks.broadcast,
            )
            alpha = preconditioner.coefficients(result.x)
        return self._solution(penalty, alpha, preconditioner.jitter, result.iterations, result.residuals, result.x)

    def _solve_gram(self, penalty: float) -> Solution:
        """(K'WK / W + penalty (K_MM + jitter)) alpha = K'Wy / W by one Cholesky factor."""
        M, jitter = self.M, JITTER[self.dtype]
        with self.ledger.phase("factor", self._device):
            if self._factor is None:
                self._factor = torch.empty_like(self._square)
            for first, last in panels(M):
                below = self._square[first:, first:last]
                self._factor[first:last, first:] = below.T * penalty
                self._factor[first:last, last:] += self._square[first:last, last:]
                corner = self._square[first:last, first:last].triu(1)
                self._factor[first:last, first:last] += corner
            scale = self._square.diagonal().mean()
            self._factor.diagonal().copy_(self._diagonal + penalty * (self._square.diagonal() + jitter * M * scale))
            more = cholesky_(mirror_(self._factor), 0.0, "the normal equation")
        with self.ledger.phase("iterate", self._device):
            alpha = solve_upper(self._factor, solve_lower(self._factor, self._right))
        return self._solution(penalty, alpha, max(jitter, more))

    def _solution(
        self,
        penalty: float,
        alpha: Tensor,
        jitter: float,
        iterations: int = 0,
        residuals: Sequence[float] = (),
        beta: Tensor | None = None,
    ) -> Solution:
        self.rows.ranks.broadcast(alpha)
        mean = self.reference + self._mean[:, 0]
        intercept = self._mean_target - mean @ alpha if self.intercept else self._mean_target
        return Solution(penalty, alpha, intercept, jitter, iterations, tuple(residuals), beta)

    def path(self, penalties: Sequence[float], *, maxiter: int = 20, tolerance: float = 1e-4) -> list[Solution]:
        """A solution for each penalty, in the order given; solved from large to small, each started from the last."""
        solutions: dict[float, Solution] = {}
        start = None
        for penalty in sorted(set(penalties), reverse=True):
            solutions[penalty] = self.solve(penalty, maxiter=maxiter, tolerance=tolerance, start=start)
            start = solutions[penalty].beta
        return [solutions[penalty] for penalty in penalties]
