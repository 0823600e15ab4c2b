"""Errors of located landmarks: mean radial error, successful detection rates, outliers, and what was not found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import Metric


def radial_errors(points: Tensor, truth: Tensor, scale: Tensor) -> Tensor:
    """||(p - g) s||_2, (B, L), NaN where p or g is. points, truth: (B, L, 2), in pixels; scale: (B, 2), of x and y."""
    return ((points.double() - truth.double()) * scale.double()[:, None]).square().sum(-1).sqrt()


class LandmarkErrors(Metric):
    """Errors over all landmarks of all images, each once on however many devices.

    A landmark that was not found (NaN) is counted in `missing`, is no detection at any radius, and has no part in the
    mean error; one whose truth isn't known is left out of everything.

    `compute()` returns, with `unit` mm or px:
        mre_<unit>, sd_<unit>: mean radial error and standard deviation (n - 1) of the errors.
        mre_px, sd_px: the same in pixels, also where the unit is mm.
        sdr_<radius><unit>: share of the landmarks with an error of at most the radius (`sdr_2.5mm`).
        outliers: landmarks found with an error above the largest radius.
        missing: landmarks not found.
        points: landmarks whose truth is known.
        landmark/<name>_mre_<unit>: mean error of one landmark, with `per_landmark`.
    Without points there is only `points`; means over nothing found are NaN.

    Args:
        names: of the L landmarks.
        unit: of the radii.
        radii: at which detections are counted.
        missing_at_origin: what wasn't found is counted in `missing` and measured as if found at (0, 0), the corner of
            the image, as released code does.
        per_landmark: whether each landmark's error is among the results.
        options: of `torchmetrics.Metric`.
    """

    full_state_update = False

    known: Tensor
    missing: Tensor
    measured: Tensor
    total: Tensor
    squares: Tensor
    hits: Tensor
    outliers: Tensor

    def __init__(
        self,
        names: Sequence[str],
        unit: Literal["mm", "px"],
        radii: Sequence[float],
        *,
        missing_at_origin: bool = False,
        per_landmark: bool = False,
        **options: Any,
    ):
        super().__init__(**options)
        self.names, self.unit, self.radii = tuple(names), unit, tuple(radii)
        self.missing_at_origin, self.per_landmark = missing_at_origin, per_landmark
        self.units = ("px",) if unit == "px" else ("mm", "px")
        count = len(self.names)
        for name in ("known", "missing", "measured", "outliers"):
            self.add_state(name, torch.zeros(count, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("hits", torch.zeros(len(self.radii), count, dtype=torch.long), dist_reduce_fx="sum")
        for name in ("total", "squares"):
            self.add_state(name, torch.zeros(len(self.units), count, dtype=torch.double), dist_reduce_fx="sum")

    def update(self, points: Tensor, truth: Tensor, pixels: Tensor, spacing: Tensor) -> None:
        """points, truth: (B, L, 2), pixels of the original images; NaN: not found, not known.

        pixels: (B, 2), pixels that are counted in a pixel of the original, along x and y (1 where those are counted).
        spacing: (B, 2), mm in a pixel of the original, along x and y; not read where the unit is px.
        """
        known = ~truth.isnan().any(-1)
        found = ~points.isnan().any(-1)
        if self.missing_at_origin:
            points = torch.where(found[..., None], points, 0)
        measured = known & (found | self.missing_at_origin)
        self.known += known.sum(0)
        self.missing += (known & ~found).sum(0)
        self.measured += measured.sum(0)
        for number, name in enumerate(self.units):
            error = radial_errors(points, truth, spacing if name == "mm" else pixels)
            counted = torch.where(measured, error, 0)
            self.total[number] += counted.sum(0)
            self.squares[number] += counted.square().sum(0)
            if number == 0:
                for place, radius in enumerate(self.radii):
                    self.hits[place] += (measured & (error <= radius)).sum(0)
                self.outliers += (measured & (error > max(self.radii))).sum(0)

    def compute(self) -> dict[str, Tensor]:
        points = self.known.sum()
        if points == 0:
            return {"points": points}
        measured = self.measured.sum()
        found: dict[str, Tensor] = {}
        for number, name in enumerate(self.units):
            mean = self.total[number].sum() / measured
            variance = (self.squares[number].sum() - measured * mean**2) / (measured - 1)
            found |= {f"mre_{name}": mean, f"sd_{name}": variance.clamp(min=0).sqrt()}
        for place, radius in enumerate(self.radii):
            found[f"sdr_{radius:g}{self.unit}"] = self.hits[place].sum() / points
        found |= {"outliers": self.outliers.sum(), "missing": self.missing.sum(), "points": points}
        if self.per_landmark:
            means = self.total[0] / self.measured
            found |= {f"landmark/{n}_mre_{self.unit}": mean for n, mean in zip(self.names, means, strict=True)}
        return found
