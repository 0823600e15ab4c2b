"""The package `falkon` (FalkonML; Meanti et al. 2020) as a second engine for the same problem, where it is installed.

It isn't on PyPI; its project page says how to get it: https://github.com/FalkonML/falkon. It gets the rows, centres,
length scale and targets that our own engine would use, so that the two can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from lab.errors import KernelError
from lab.kernels.functions import Kernel
from lab.kernels.plan import Plan
from lab.kernels.rows import Rows
from lab.kernels.system import JITTER, Ledger, Solution, Targets

BLOCK = 4096
"""Rows that are divided by sigma at a time."""


def available() -> bool:
    """Whether `import falkon` has something to find."""
    return find_spec("falkon") is not None


@dataclass
class FalkonML:
    """Stands in for `System`: same arguments, same `solve` and `path`.

    The intercept is the mean of the targets: the package has none, so columns of K_nM keep their means. A copy of the
    rows, divided by sigma, is kept.

    Raises:
        KernelError: the package is not there, rows have weights, or they are divided over processes.
    """

    rows: Rows
    targets: Targets
    kernel: Kernel
    centres: Tensor
    sigma: Tensor
    dtype: torch.dtype
    intercept: bool
    ledger: Ledger = field(default_factory=Ledger)

    def __post_init__(self) -> None:
        if not available():
            raise KernelError(
                "solver 'falkon' needs the package falkon, which isn't installed (https://github.com/FalkonML/falkon "
                "says how); solver 'auto' needs nothing more"
            )
        if self.targets.weights is not None:
            raise KernelError("solver 'falkon' takes no weights of rows or classes; use solver auto, cg or gram")
        if self.rows.ranks.size > 1:
            raise KernelError("solver 'falkon' works in one process; use solver auto, cg or gram")
        self.plan = Plan("falkon", stored=False, block=BLOCK, bytes=0)
        self.reference = torch.zeros(len(self.centres), dtype=torch.float64, device=self.centres.device)
        with self.ledger.phase("kernel", self.rows.device):
            # Moved to the centres' mean, so that the package's distances keep their digits in float32.
            shift = self.centres.mean(0) if self.kernel.of_distance else torch.zeros_like(self.centres[0])
            self._features = torch.empty(len(self.rows), self.rows.d, dtype=self.dtype)
            for start, stop, block in self.rows.blocks(BLOCK, torch.float64, shift):
                self._features[start:stop] = (block / self.sigma).cpu()
            values = self.targets.block(0, len(self.rows), torch.float64)
            self._mean = values.mean(0) if self.intercept else torch.zeros_like(values[0])
            self._values = (values - self._mean).to("cpu", self.dtype)
            self._chosen = ((self.centres - shift) / self.sigma).to("cpu", self.dtype)

    def solve(self, penalty: float, *, maxiter: int = 20, tolerance: float = 1e-4) -> Solution:
        """Coefficients for one penalty; `tolerance` bounds its residuals as they are, not relative ones."""
        import falkon

        jitter = JITTER[self.dtype]
        options = falkon.FalkonOptions(
            use_cpu=self.rows.device.type == "cpu",
            keops_active="no",
            cg_tolerance=tolerance,
            pc_epsilon_32=jitter,
            pc_epsilon_64=jitter,
        )
        model = falkon.Falkon(
            kernel=_kernel(falkon.kernels, self.kernel, options),
            penalty=penalty,
            M=len(self._chosen),
            center_selection=falkon.center_selection.FixedSelector(self._chosen),
            maxiter=maxiter,
            options=options,
        )
        with self.ledger.phase("iterate", self.rows.device):
            try:
                model.fit(self._features, self._values)
            except RuntimeError as error:
                raise KernelError(f"solver 'falkon' failed: {str(error).splitlines()[0]}") from None
        alpha = model.alpha_.to(self.centres.device, torch.float64)
        if not bool(alpha.isfinite().all()):
            raise KernelError("solver 'falkon' found no finite coefficients; a larger penalty may help")
        return Solution(penalty, alpha, self._mean, jitter)

    def path(self, penalties: Sequence[float], *, maxiter: int = 20, tolerance: float = 1e-4) -> list[Solution]:
        """A solution for each penalty, each from the start."""
        return [self.solve(penalty, maxiter=maxiter, tolerance=tolerance) for penalty in penalties]


def _kernel(made: Any, kernel: Kernel, options: Any) -> Any:
    """The package's kernel, for rows that are divided by sigma already."""
    if kernel.name == "gaussian":
        return made.GaussianKernel(1.0, opt=options)
    if kernel.name in ("laplacian", "matern12"):
        return made.LaplacianKernel(1.0, opt=options)
    if kernel.name in ("matern32", "matern52"):
        return made.MaternKernel(1.0, nu=1.5 if kernel.name == "matern32" else 2.5, opt=options)
    if kernel.name == "linear":
        return made.LinearKernel(beta=0.0, gamma=1.0, opt=options)
    if kernel.name == "polynomial":
        return made.PolynomialKernel(beta=kernel.coef0, gamma=1.0, degree=kernel.degree, opt=options)
    return made.SigmoidKernel(beta=kernel.coef0, gamma=1.0, opt=options)
