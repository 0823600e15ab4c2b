"""Options of the diffusion corrector. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lab.config.fields import option
from lab.papers.mri.config import CorrectionConfig, EvaluationConfig, RenoiseConfig


@dataclass
class DiffusionCorrectorConfig(RenoiseConfig, CorrectionConfig):
    """Correction by the diffusion model of clean slices in `weights`."""

    sigma: float | None = option(
        0.16,
        "noise over signal at the middle step (n = 50 of 1000 linear steps: .17); null: as `needs: {choice: …}` says",
    )
    draws: int = option(1, "draws whose mean is the result; from two on their spread is a map of doubt")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if self.sigma is not None and self.sigma <= 0:
            yield "sigma", f"must be above 0 or null, is {self.sigma:g}"
        if self.draws < 1:
            yield "draws", f"must be at least 1, is {self.draws}"


@dataclass
class CurveConfig(RenoiseConfig):
    """The corrector at several noise levels, on pairs of validation or test subjects."""

    sigmas: tuple[float, ...] = option(
        (0.085, 0.16, 0.27, 0.41, 0.55, 0.9, 1.67), "noise levels (notes: n / T from .02 to .4)"
    )
    draws: int = option(4, "draws at each level")
    evaluation: EvaluationConfig = option(help="how it is tested; pictures are of the mean", factory=EvaluationConfig)

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if not self.sigmas or min(self.sigmas) <= 0:
            yield "sigmas", f"needs one or more numbers above 0, is {self.sigmas}"
        if self.draws < 1:
            yield "draws", f"must be at least 1, is {self.draws}"
