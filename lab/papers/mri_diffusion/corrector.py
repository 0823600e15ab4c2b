"""The diffusion corrector: noise drowns the artifact, and the prior of clean slices draws what was drowned anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lab.data.base import Facts
from lab.errors import UserError
from lab.papers.mri.correction import Corrected, Correction
from lab.papers.mri.diffusion import Renoising
from lab.papers.mri_diffusion.config import DiffusionCorrectorConfig
from lab.stages.artefact import Artefact


class DiffusionCorrector(Renoising, Correction):
    """Affected slices noised to `sigma` and denoised by the model in `weights`, which has to be one of clean slices.

    The result is the mean of the draws. A single draw looks as sharp as a scan; the mean has the smaller error.
    """

    config: DiffusionCorrectorConfig

    def __init__(self, config: DiffusionCorrectorConfig, facts: Facts, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, facts, inputs)
        if config.sigma is not None:
            self.sigma = config.sigma
        elif "choice" in self.inputs:
            self.sigma = self.inputs["choice"].metrics["sigma"]
        else:
            raise UserError("mri_diffusion/corrector: give `sigma`, or `needs: {choice: …}`, a stage of the curve")
        self.step_of(self.sigma)  # an impossible one ends the stage now

    def correct(self, image: Tensor, generators: Sequence[torch.Generator]) -> Corrected:
        draws = torch.stack(
            [self.draw_anew(image, self.sigma, self.config, generators) for _ in range(self.config.draws)]
        )
        return Corrected(draws.mean(0), draws.std(0) if len(draws) > 1 else None)
