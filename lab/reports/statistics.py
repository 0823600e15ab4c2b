"""Means with Student's t intervals, and differences in pairs. Pure: numbers in, numbers out."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """What runs with different seeds say of one quantity, taken as independent and normal.

    values: one of each run, finite, at least one.

    Raises:
        ValueError: there is none, or one that is not finite.
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values or not all(map(math.isfinite, self.values)):
            raise ValueError(f"an estimate needs finite values, got {self.values}")

    @property
    def n(self) -> int:
        return len(self.values)

    @cached_property
    def mean(self) -> float:
        return statistics.mean(self.values)  # exact: of equal values it is that value

    @cached_property
    def std(self) -> float | None:
        """Standard deviation with n - 1; None for a single value."""
        return statistics.stdev(self.values) if self.n > 1 else None

    @cached_property
    def half(self) -> float | None:
        """Half the width of the 95 % interval of the mean, t(n - 1) std / sqrt(n); None for a single value."""
        if self.std is None:
            return None
        from scipy.special import stdtrit  # late: a third of a second

        return float(stdtrit(self.n - 1, (1 + CONFIDENCE) / 2)) * self.std / math.sqrt(self.n)

    @property
    def low(self) -> float | None:
        return None if self.half is None else self.mean - self.half

    @property
    def high(self) -> float | None:
        return None if self.half is None else self.mean + self.half


def estimate(values: Iterable[float]) -> Estimate | None:
    """None where there are no values."""
    found = tuple(values)
    return Estimate(found) if found else None


def paired(left: Mapping[int, float], right: Mapping[int, float]) -> Estimate | None:
    """`left - right` on the seeds that both have; None where they share none.

    Runs of one seed share data and draws, so that the differences vary less than the sides: a paired t interval.
    """
    return estimate(left[seed] - right[seed] for seed in sorted(left.keys() & right.keys()))
