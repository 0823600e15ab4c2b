"""Options of what DIMA and the evaluation of diffusion correctors share. Imports no torch.

The text of both papers could not be read: every default is ours unless a comment says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lab.config.fields import option
from lab.diffusion.config import SamplerName
from lab.mri.config import MotionConfig
from lab.networks.config import OptimizerConfig
from lab.papers.ddb.config import NoiseModelConfig


def lesion_motion() -> MotionConfig:
    """What lesions are tested under unless the experiment says otherwise."""
    return MotionConfig("line_mixing")


@dataclass
class SliceDiffusionConfig(NoiseModelConfig):
    """A diffusion model of slices: of affected ones for DIMA, of clean ones for the corrector and the control.

    Notes on both papers: T 1000, linear 1e-4 to .02; AdamW 1e-4; EMA .9999; U-Net 64 x (1, 2, 4, 4) (all unknown).
    """


@dataclass
class RenoiseConfig:
    """Noising to a middle step and denoising from there, by the diffusion model in `weights`."""

    sampler: SamplerName = option(
        "sde_dpmpp_2m", "ddpm: the reference, with `steps: null` all steps; sde_dpmpp_2m: like it, in few steps"
    )
    steps: int | None = option(20, "network calls from the middle step on; null: every time step")
    guide: float | None = option(
        None, "blur in pixels: frequencies lower than that are kept from the image at each step; null: none"
    )

    def check(self) -> Iterator[tuple[str, str]]:
        if self.steps is not None and self.steps < 1:
            yield "steps", f"must be at least 1 or null, is {self.steps}"
        if self.guide is not None and self.guide <= 0:
            yield "guide", f"must be above 0 or null, is {self.guide:g}"


@dataclass
class PairsConfig(RenoiseConfig):
    """DIMA's phase 2: each clean slice several times with artifacts drawn onto it."""

    sigma: float | None = option(
        0.5,
        "noise over signal at the middle step (n = 150 of 1000 linear steps: .52); null: as `needs: {choice: …}` says",
    )
    levels: tuple[float, ...] = option(
        (0.3, 0.55, 0.8, 1.0), "a draw of each slice at each of these shares of sigma; several, else the net over-fits"
    )

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if self.sigma is not None and self.sigma <= 0:
            yield "sigma", f"must be above 0 or null, is {self.sigma:g}"
        if not self.levels or min(self.levels) <= 0:
            yield "levels", f"needs one or more numbers above 0, is {self.levels}"


@dataclass
class EvaluationConfig:
    """How a corrector is tested, besides PSNR, SSIM and NMSE on what it corrects."""

    round_trip: bool = option(True, "correct clean slices too: what changes is invented")
    lesions: bool = option(True, "draw a lesion into clean slices before they move, and see what is left of it")
    motion: MotionConfig = option(help="motion that lesions are tested under", factory=lesion_motion)
    pictures: int = option(4, "slices that are shown")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.pictures < 0:
            yield "pictures", f"can't be negative, is {self.pictures}"


@dataclass
class CorrectionConfig:
    """Options of everything that corrects slices."""

    evaluation: EvaluationConfig = option(help="how it is tested", factory=EvaluationConfig)


@dataclass
class CorrectorConfig(OptimizerConfig, CorrectionConfig):
    """A residual U-Net that corrects slices.

    It learns from pairs as the data module gives them (DIMA's, or real ones), or from motion simulated at each step.
    """

    widths: tuple[int, ...] = option((32, 64, 128, 256), "channels per level (notes: 32-64, four levels; unknown)")
    lr: float = option(2e-4, "learning rate (unknown)")
    schedule: Literal["constant", "cosine"] = option("cosine", "learning rate over the steps")
    ssim: float = option(0.0, "weight of 1 - SSIM besides L1; .1-.2 are usual (unknown)")
    identity: float = option(0.0, "share of training rows that are clean on both sides (ours; .1-.2)")
    motion: MotionConfig = option(
        help="simulator: none trains on the data's own pairs, any other on its clean slices", factory=MotionConfig
    )

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if not self.widths or any(width < 4 or width % 4 for width in self.widths):
            yield "widths", f"needs at least one level, each a multiple of 4, is {tuple(self.widths)}"
        if self.ssim < 0:
            yield "ssim", f"can't be negative, is {self.ssim:g}"
        if not 0 <= self.identity < 1:
            yield "identity", f"must be in [0, 1), is {self.identity:g}"


@dataclass
class UnpairedConfig(CorrectionConfig):
    """CycleGAN (Zhu et al. 2017) from affected to clean slices: two generators, two patch discriminators."""

    width: int = option(64, "channels of the generators' first layer (CycleGAN: 64)")
    blocks: int = option(9, "residual blocks of each generator (CycleGAN: 9 at 256 px, 6 at 128)")
    critic: tuple[int, ...] = option(
        (64, 128, 256, 512), "channels of the discriminators (CycleGAN's: 70 x 70 patches)"
    )
    cycle: float = option(10.0, "weight of the cycle loss (CycleGAN)")
    identity: float = option(0.5, "weight of the identity loss, times that of the cycle loss (CycleGAN)")
    lr: float = option(2e-4, "Adam's learning rate, betas .5 and .999; falls to 0 over the second half (CycleGAN)")
    pool: int = option(50, "earlier generated images that discriminators are shown too (CycleGAN)")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.width < 4 or self.width % 4:
            yield "width", f"must be a multiple of 4, is {self.width}"
        if self.blocks < 1:
            yield "blocks", f"must be at least 1, is {self.blocks}"
        if len(self.critic) < 2:
            yield "critic", f"needs two layers or more, is {self.critic}"
        for name in ("cycle", "identity"):
            if getattr(self, name) < 0:
                yield name, f"can't be negative, is {getattr(self, name):g}"
        if self.lr <= 0:
            yield "lr", f"must be above 0, is {self.lr:g}"
        if self.pool < 1:
            yield "pool", f"must be at least 1, is {self.pool}"


@dataclass
class AutofocusConfig(CorrectionConfig):
    """Classical autofocus: the poses that make the entropy of the gradient smallest, slice by slice."""

    segments: int = option(8, "pieces of k-space with a pose of their own")
    strides: tuple[float, ...] = option((2.0, 1.0, 0.5), "pixels and degrees by which pieces are moved, coarse to fine")
    centre: float = option(0.1, "central share of the lines that stay")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.segments < 1:
            yield "segments", f"must be at least 1, is {self.segments}"
        if not self.strides or min(self.strides) <= 0:
            yield "strides", f"needs one or more numbers above 0, is {self.strides}"
        if not 0 < self.centre < 1:
            yield "centre", f"must be in (0, 1), is {self.centre:g}"


@dataclass
class SyntheticPairsConfig:
    """Pairs that a stage of `mri/pairs` made: `needs: {pairs: STAGE}`."""

    val_fraction: float = option(0.1, "share of the subjects held out: correctors are selected on their pairs")
    draws: int | None = option(None, "use the first so many draws of each slice only; null: all")

    def check(self) -> Iterator[tuple[str, str]]:
        if not 0 <= self.val_fraction < 1:
            yield "val_fraction", f"must be in [0, 1), is {self.val_fraction:g}"
        if self.draws is not None and self.draws < 1:
            yield "draws", f"must be at least 1 or null, is {self.draws}"
