"""Nyström kernel methods (Falkon): kernels, centres, preconditioner, solvers, and a scikit-learn estimator."""

from __future__ import annotations

from lab.kernels.falkon import Falkon
from lab.kernels.functions import KERNELS, Kernel, kernel_matrix, median_distance
from lab.kernels.grid import GridResult, condition_numbers, solve_grid, solve_path
from lab.kernels.rows import Ranks

__all__ = [
    "KERNELS",
    "Falkon",
    "GridResult",
    "Kernel",
    "Ranks",
    "condition_numbers",
    "kernel_matrix",
    "median_distance",
    "solve_grid",
    "solve_path",
]
