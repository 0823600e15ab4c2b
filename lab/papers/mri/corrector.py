"""Correctors that are no diffusion model: a residual U-Net, autofocus, and none at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lab.data.base import Facts
from lab.data.scans.module import SliceBatch
from lab.errors import UserError
from lab.metrics.image_quality import ssim_map
from lab.mri.autofocus import autofocus
from lab.mri.motion import simulate
from lab.networks.optimizers import build_optimizer
from lab.networks.unet2d import ResidualUNet
from lab.papers.mri.config import AutofocusConfig, CorrectionConfig, CorrectorConfig
from lab.papers.mri.correction import Corrected, Correction
from lab.stages.artefact import Artefact


class Corrector(Correction):
    """A residual U-Net, trained by L1 (and SSIM) on the pairs of its data or on motion that it simulates itself.

    With simulated motion the rows are clean slices, and each epoch moves them differently. Validation is on pairs
    of the same kind, with motion that belongs to the row; `val/psnr` and `val/ssim` may select the weights.
    """

    config: CorrectorConfig

    def __init__(self, config: CorrectorConfig, facts: Facts, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, facts, inputs)
        self.network = ResidualUNet(tuple(config.widths), facts.image_shape[0])
        least = 2 ** (len(config.widths) - 1)
        if any(side % least for side in facts.image_shape[1:]):
            size = "x".join(str(side) for side in facts.image_shape[1:])
            raise UserError(
                f"mri/corrector: slices of {size} need a multiple of {least} pixels; change image_size or widths"
            )

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the network in place."""
        self.network.compile(*args, **kwargs)

    def correct(self, image: Tensor, generators: Sequence[torch.Generator]) -> Corrected:
        return Corrected(self.network(image).float().clamp(0, 1))

    def configure_optimizers(self) -> Any:
        return build_optimizer(self.parameters(), self.config, int(self.trainer.estimated_stepping_batches))

    def training_step(self, batch: SliceBatch, batch_idx: int) -> Tensor:
        image, config = batch.image, self.config
        if config.motion.simulator != "none":
            seeds = self.draw("motion", lambda n, g: torch.randint(2**62, (n,), generator=g, device=g.device))
            image = self.moved(batch.target, [self._generator(seed) for seed in seeds.tolist()])
        if config.identity:
            uniform = self.draw("identity", lambda n, g: torch.rand(n, generator=g, device=g.device))
            image = torch.where((uniform < config.identity).view(-1, 1, 1, 1), batch.target, image)
        found = self.network(image).float()
        loss: Tensor = (found - batch.target).abs().mean()
        if config.ssim:
            loss = loss + config.ssim * (1 - ssim_map(found, batch.target).mean())
        self.log("train/loss", loss, batch_size=len(image))
        return loss

    def validation_step(self, batch: SliceBatch, batch_idx: int) -> None:
        if self.config.motion.simulator != "none":
            batch = batch._replace(image=self.moved(batch.target, self.row_generators("motion", batch.index)))
        super().validation_step(batch, batch_idx)

    def moved(self, image: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Clean slices (B, 1, H, W) as they look after motion, in [0, 1]."""
        assert self.facts.acquisition is not None
        return simulate(image, generators, self.config.motion, self.facts.acquisition.spacing).clamp(0, 1)

    def _generator(self, seed: int) -> torch.Generator:
        return torch.Generator(device=self.device).manual_seed(seed)


class Uncorrected(Correction):
    """Slices as they are: the row that every table needs."""

    config: CorrectionConfig

    def correct(self, image: Tensor, generators: Sequence[torch.Generator]) -> Corrected:
        return Corrected(image)


class Autofocus(Correction):
    """Classical autofocus; learns nothing, and optimises each slice for itself (`lab.mri.autofocus`)."""

    config: AutofocusConfig

    def correct(self, image: Tensor, generators: Sequence[torch.Generator]) -> Corrected:
        config = self.config
        found, _ = autofocus(image, segments=config.segments, strides=config.strides, centre=config.centre)
        return Corrected(found.clamp(0, 1))
