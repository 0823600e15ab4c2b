"""Options of choosing DIMA's middle step. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lab.config.fields import option
from lab.papers.mri.config import RenoiseConfig

Score = Literal["entropy_focus", "gradient_entropy", "edge_strength", "ghost_energy"]


@dataclass
class ChoiceConfig(RenoiseConfig):
    """The noise level at which drawn slices look as affected as real ones (the paper's rule is unread; ours)."""

    sigmas: tuple[float, ...] = option(
        (0.16, 0.25, 0.34, 0.52, 0.72, 0.95, 1.23), "noise levels that are tried (n = 50 … 300 of 1000 linear steps)"
    )
    scores: tuple[Score, ...] = option(
        ("gradient_entropy", "edge_strength", "ghost_energy"), "no-reference scores that are compared"
    )
    agreement: float = option(0.95, "least SSIM of drawn and clean slices after a blur: the anatomy has to stay")
    blur: float = option(4.0, "that blur, in mm (4 pixels of MR-ART's)")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if not self.sigmas or min(self.sigmas) <= 0:
            yield "sigmas", f"needs one or more numbers above 0, is {self.sigmas}"
        if not self.scores:
            yield "scores", "needs one or more"
        if not -1 <= self.agreement <= 1:
            yield "agreement", f"must be in [-1, 1], is {self.agreement:g}"
        if self.blur <= 0:
            yield "blur", f"must be above 0, is {self.blur:g}"
