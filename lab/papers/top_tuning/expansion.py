"""Heads whose scores are weighted kernel values with some rows, the centres."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lab.kernels import Kernel, kernel_matrix
from lab.papers.top_tuning.head import ClosedForm

BLOCK = 1024
"""Rows whose kernel values are in memory at once."""


class KernelExpansion(ClosedForm):
    """`centres` (m, d), as `located` gives them, and `sigma` (1,) or (d,).

    Kernel values are computed in float64: small penalties have large coefficients, which cancel.
    """

    centres: Tensor
    sigma: Tensor

    def kernel(self) -> Kernel:
        raise NotImplementedError

    def located(self, features: Tensor) -> Tensor:
        """float64 (n, d): features where the kernel sees them."""
        raise NotImplementedError

    def values(self, features: Tensor, centres: Tensor, sigma: Tensor) -> Iterator[Tensor]:
        """k(features, centres), a block of rows (q, m) at a time."""
        for block in torch.split(features, BLOCK):
            rows = self.located(block.to(centres.device))
            yield kernel_matrix(self.kernel(), rows, centres.double(), sigma)
