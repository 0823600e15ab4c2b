"""Options of simulated motion. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lab.config.fields import option

Simulator = Literal["none", "line_mixing", "torchio"]
Severity = Literal["minor", "moderate", "heavy"]
ScheduleKind = Literal["segments", "steps", "random"]

SHARES: dict[Severity, tuple[float, float]] = {"minor": (0.05, 0.10), "moderate": (0.10, 0.25), "heavy": (0.25, 0.50)}
"""Shares of k-space lines acquired in another pose, by severity (defaults of ours; no paper read states them)."""


@dataclass
class MotionConfig:
    """Rigid motion during the acquisition of an image or a volume. All defaults are ours; the papers' are unread."""

    simulator: Simulator = option("none", "none; line_mixing: lab's own; torchio: TorchIO's RandomMotion")
    severity: Severity = option("moderate", "line_mixing: minor 5-10 %, moderate 10-25 %, heavy 25-50 % of the lines")
    share: tuple[float, float] | None = option(None, "line_mixing: least and largest share instead of the severity's")
    schedule: ScheduleKind = option(
        "segments",
        "line_mixing: segments: the head moves and comes back; steps: it lies elsewhere before and after the middle of "
        "k-space; random: single lines here and there",
    )
    movements: tuple[int, int] = option((1, 5), "fewest and most poses besides the reference")
    degrees: float = option(5.0, "largest rotation, either way, in degrees")
    shift: float = option(5.0, "largest shift along each axis, either way, in mm")
    centre: tuple[float, float] = option((0.03, 0.07), "line_mixing: central share of the lines, always in reference")
    phase_axis: int | None = option(
        None, "axis of the image that the lines follow each other along (0: ghosts run up and down); null: drawn"
    )

    def check(self) -> Iterator[tuple[str, str]]:
        low, high = self.shares
        if not 0 <= low <= high <= 1:
            yield "share", f"needs 0 <= least <= largest <= 1, is {self.share}"
        if not 0 < self.centre[0] <= self.centre[1] <= 1 - high:
            yield "centre", f"has to be positive, and leave room for {high:.0%} moved lines, is {self.centre}"
        if not 1 <= self.movements[0] <= self.movements[1]:
            yield "movements", f"needs 1 <= fewest <= most, is {self.movements}"
        if not 0 <= self.degrees <= 45:
            yield "degrees", f"has to be in [0, 45], is {self.degrees:g}"
        if self.shift < 0:
            yield "shift", f"can't be negative, is {self.shift:g}"
        if self.phase_axis not in (None, 0, 1, 2):
            yield "phase_axis", f"has to be 0, 1, 2 (of volumes) or null, is {self.phase_axis}"

    @property
    def shares(self) -> tuple[float, float]:
        """Least and largest share of moved lines."""
        return SHARES[self.severity] if self.share is None else self.share
