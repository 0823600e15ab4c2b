"""A diffusion model of slices, and partial noising with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lab.data.base import Facts
from lab.diffusion.renoise import build_partial_sampler, nearest_step, noise_levels, renoise
from lab.errors import UserError
from lab.papers.ddb.diffusion import NoiseModel, to_signed
from lab.papers.mri.config import RenoiseConfig, SliceDiffusionConfig
from lab.stages.artefact import Artefact
from lab.stages.load import load_module
from lab.stages.module import StageModule


class SliceDiffusion(NoiseModel):
    """A diffusion model of the slices that it is fitted on: clean or affected ones, as `data.select` says."""

    config: SliceDiffusionConfig


class Renoising(StageModule):
    """Base of the stages that noise slices to a middle step and denoise them with the model in `weights`.

    Raises:
        UserError: without such a model.
    """

    config: Any

    def __init__(self, config: Any, facts: Facts, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, facts, inputs)
        name = type(self).__name__
        if "weights" not in self.inputs:
            raise UserError(f"{name}: needs `weights:`, the stage that fitted the diffusion model")
        model = load_module(self.inputs["weights"], facts)
        if not isinstance(model, SliceDiffusion):
            raise UserError(f"{name}: `weights` names a {type(model).__name__}, not a diffusion model of slices")
        self.variances, self.prediction = model.variances, model.config.prediction
        # Named as in the diffusion module, so that its weights fit this module, too.
        self.unet, self.ema = model.unet, model.ema
        self.requires_grad_(False)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the network in place, for batches of one size."""
        self.network().compile(*args, **kwargs)

    def network(self) -> torch.nn.Module:
        """The network that samples: with averaged weights where there are some."""
        return self.unet if self.ema is None else self.ema.module

    def step_of(self, sigma: float) -> int:
        """The middle step n, from 1, with noise over signal `sigma`. Raises UserError outside of the schedule."""
        try:
            return nearest_step(self.variances, sigma) + 1
        except ValueError as error:
            raise UserError(f"{type(self).__name__}: {error}") from None

    def level_of(self, step: int) -> float:
        """Noise over signal after `step` steps."""
        return float(noise_levels(self.variances)[step - 1])

    def draw_anew(
        self, images: Tensor, sigma: float, options: RenoiseConfig, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Slices (B, 1, H, W) in [0, 1] after noising to `sigma` and denoising."""
        start = self.step_of(sigma) - 1
        made = renoise(
            self.network(),
            to_signed(images),
            scheduler=build_partial_sampler(options.sampler, self.variances, start, options.steps),
            generators=generators,
            prediction=self.prediction,
            guide=options.guide,
        )
        return (made + 1) / 2
