"""How a fit is done: which route, whether the kernel matrix is kept, and in which blocks, under a memory budget.

All sizes are bytes above the data. The costs are floating-point operations of the GEMMs, those of float64 factors
counted twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from lab.errors import KernelError
from lab.kernels.functions import panel_width

Route = Literal["cg", "gram", "falkon"]

SHARE_OF_FREE = 0.5
"""The default budget is this share of the memory that is free when a fit starts."""

SMALLEST_BLOCK, CPU_BLOCK = 64, 2048
"""Rows of a block: the fewest that the planner goes down to, and the most on a CPU, where more gain nothing (the
float64 sum over blocks of the Gram route costs 4 % at this size)."""

BLOCK_BYTES = {"cpu": 2**26, "cuda": 2**29}
"""What a block of kernel values may take at most: near the size of the last cache, or enough to fill a GPU."""

EXPECTED_ITERATIONS = 15
"""Iterations to 1e-4 with M near the number of centres that the penalty asks for."""

NARROW = 16
"""Products with fewer columns than this cost as much as with so many: reading the kernel matrix bounds them."""

LARGE_PART = 64
"""Columns that are kept beside K_nM in float32, see `lab.kernels.system`."""

WORKSPACE = 2**25
"""What linear algebra libraries keep for themselves: packed blocks of GEMMs, buffers of threads (measured)."""

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_memory(memory: int | float | str | None, device: torch.device) -> int:
    """A budget in bytes: a number, or a text as "2GiB" or "500 MB"; None is `SHARE_OF_FREE` of what is free now.

    Raises:
        KernelError: not a positive size.
    """
    if memory is None:
        return int(SHARE_OF_FREE * free_memory(device))
    size: float = -1
    if isinstance(memory, str):
        match = re.fullmatch(r"\s*([\d.]+)\s*([a-zA-Z]*)\s*", memory)
        if match and match[2].upper() in UNITS:
            try:
                size = float(match[1]) * UNITS[match[2].upper()]
            except ValueError:
                size = -1
    else:
        size = float(memory)
    if not size >= 1:
        raise KernelError(f"memory must be a size in bytes or a text such as '2GiB', not {memory!r}")
    return int(size)


def free_memory(device: torch.device) -> int:
    """Bytes that may still be taken: of the GPU, else of the machine or of the control group when that is less."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = 2**33
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text().strip()
        if limit != "max":
            free = min(free, int(limit) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):
        pass  # no such files on this system: the limit above
    return max(free, 0)


@dataclass(frozen=True)
class Plan:
    """`route`; whether K_nM is `stored`; `block` rows at a time; the `bytes` that the fit takes at its peak."""

    route: Route
    stored: bool
    block: int
    bytes: int


@dataclass(frozen=True)
class Size:
    """Of a problem: n rows here (all ranks count, each for itself), d columns, M centres, C targets, L penalties."""

    n: int
    d: int
    M: int
    C: int
    L: int = 1
    itemsize: int = 4

    def per_row(self) -> int:
        """Of a row in a block: as read, scaled, its kernel values, its products with weights."""
        return self.itemsize * (2 * self.d + 2 + self.M + 3 * LARGE_PART + 2 * self.C) + 8 * self.C

    def fixed(self, route: Route) -> int:
        """What is there whatever the block: centres, M x M matrices in float64, vectors, and `WORKSPACE`."""
        centres = WORKSPACE + self.M * (self.d + 2) * self.itemsize + 3 * 8 * self.M * self.d
        square = 8 * self.M**2
        if route == "gram":
            panel = self.itemsize * panel_width(self.M) * self.M
            return centres + 2 * square + panel + 8 * self.M * self.C * (2 + self.L)
        return centres + 2 * square + 8 * self.M * self.C * (8 + self.L)

    def kernel_matrix(self) -> int:
        return self.n * (self.M + LARGE_PART + 16) * self.itemsize

    def prediction_block(self, budget: int, device: str) -> int:
        """Rows at a time of k(X, C) alpha; one at least, however small the budget."""
        room = min(budget, BLOCK_BYTES[device]) - 2 * self.itemsize * self.M * (self.d + 2)
        most = CPU_BLOCK if device == "cpu" else self.n
        return max(1, min(SMALLEST_BLOCK, self.n), min(self.n, most, room // self.per_row()))

    def cost(self, route: Route, stored: bool, iterations: int) -> float:
        """Floating-point operations of a fit, float64 ones counted twice."""
        n, M, C = self.n, self.M, max(self.C, NARROW)
        kernel = 2.0 * n * M * self.d
        if route == "gram":
            return kernel + n * M * M + 2 * self.L * M**3 / 3
        steps = self.L * iterations
        passes = kernel * (1 if stored else steps + 1)
        return passes + steps * (4 * n * M * C + 2 * 4 * M * M * C) + 2 * (1 + self.L) * M**3


def make_plan(
    size: Size,
    budget: int,
    *,
    solver: Literal["auto", "cg", "gram"] = "auto",
    maxiter: int = 20,
    device: str = "cpu",
) -> Plan:
    """The cheapest way that fits the budget.

    Args:
        size: of the largest share of rows that a rank holds; the plan is then the same on every rank.
        budget: bytes above the data.
        solver: a route that is asked for, or "auto" for the cheaper one.
        maxiter: the most CG iterations.

    Raises:
        KernelError: the budget is too small for any block; the message says the least that works.
    """
    iterations = min(maxiter, EXPECTED_ITERATIONS)
    routes: tuple[Route, ...] = ("cg", "gram") if solver == "auto" else (solver,)
    options: list[tuple[float, Plan]] = []
    for route in routes:
        fixed = size.fixed(route)
        smallest = size.per_row() * min(SMALLEST_BLOCK, size.n)
        for stored in (True, False) if route == "cg" else (False,):
            base = fixed + (size.kernel_matrix() if stored else 0)
            if base + smallest > budget:
                continue
            room = min(budget - base, BLOCK_BYTES[device] + smallest)
            block = max(min(SMALLEST_BLOCK, size.n), room // size.per_row())
            block = min(size.n, block, CPU_BLOCK if device == "cpu" else block)
            plan = Plan(route, stored, block, base + block * size.per_row())
            options.append((size.cost(route, stored, iterations), plan))
    if not options:
        least = min(size.fixed(route) for route in routes) + size.per_row() * min(SMALLEST_BLOCK, size.n)
        raise KernelError(
            f"a memory budget of {_text(budget)} is too small for M={size.M} centres, {size.d} features and {size.C} "
            f"targets: the least is {_text(least)}, of which {_text(2 * 8 * size.M**2)} are for the M x M factors; "
            "give more memory or fewer centres"
        )
    return min(options, key=lambda option: option[0])[1]


def _text(size: int) -> str:
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= scale:
            return f"{size / scale:.2f} {unit}"
    return f"{size} B"
