"""Choosing the middle step without any pair of affected and clean slices (DIMA notes, section 3.2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from lab.data.base import Facts
from lab.data.scans.module import SliceBatch
from lab.diffusion.renoise import low_pass
from lab.metrics.artifacts import SCORES
from lab.metrics.image_quality import ssim
from lab.papers.dima.config import ChoiceConfig
from lab.papers.mri.diffusion import Renoising
from lab.papers.mri.pictures import curves, rows_of_images
from lab.stages.artefact import Artefact
from lab.stages.module import Summary

SHOWN = 3


class Choice(Renoising):
    """Scores of affected slices, and of clean ones of other subjects before and after drawing artifacts onto them.

    Reads data with `select: both`. The distance at a noise level is the mean over the scores of `|mean of the drawn -
    mean of the affected|`, in standard deviations of the affected. Chosen is the level of least distance among those
    whose drawn slices agree with the clean ones after a blur; where none agrees enough, the one that agrees most.

    Metrics: `sigma`, `step` (n), `distance` and `agreement` of the chosen level. Pictures: both curves, and examples.
    """

    config: ChoiceConfig

    def __init__(self, config: ChoiceConfig, facts: Facts, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, facts, inputs)
        self.sigmas = [self.level_of(self.step_of(sigma)) for sigma in config.sigmas]

    def predict_step(self, batch: SliceBatch, batch_idx: int) -> dict[str, Tensor]:
        affected, clean = batch.image, batch.target
        assert self.facts.acquisition is not None
        blur = self.config.blur / min(self.facts.acquisition.spacing)
        drawn = [
            self.draw_anew(clean, sigma, self.config, self.row_generators(f"choice {place}", batch.index))
            for place, sigma in enumerate(self.sigmas)
        ]
        blurred = low_pass(clean, blur)
        return {
            "index": batch.index,
            "affected": self.scores(affected),
            "clean": self.scores(clean),
            "drawn": torch.stack([self.scores(images) for images in drawn], dim=1),
            "agreement": torch.stack([ssim(low_pass(images, blur), blurred) for images in drawn], dim=1),
            "examples": torch.cat([affected, clean, *drawn], dim=1).half(),
        }

    def scores(self, images: Tensor) -> Tensor:
        """(B, number of scores) of slices (B, 1, H, W) in [0, 1]."""
        return torch.stack([SCORES[name](images).float() for name in self.config.scores], dim=1)

    def summarise(self, table: Mapping[str, Tensor], names: Sequence[str]) -> Summary:
        numbers = {name: table[name].double().numpy() for name in ("affected", "clean", "drawn", "agreement")}
        distance = distances(numbers["affected"], numbers["drawn"])
        agreement = np.nanmean(numbers["agreement"], axis=0)
        chosen = choose(distance, agreement, self.config.agreement)
        metrics = {
            "sigma": self.sigmas[chosen],
            "step": self.step_of(self.sigmas[chosen]),
            "distance": float(distance[chosen]),
            "agreement": float(agreement[chosen]),
        }
        panels: dict[str, dict[str, list[float]]] = {"choice": {"distance to affected, in sd": distance.tolist()}}
        panels["choice"]["agreement of low frequencies"] = agreement.tolist()
        for place, name in enumerate(self.config.scores):
            panels[name] = {
                "drawn": np.nanmean(numbers["drawn"][:, :, place], axis=0).tolist(),
                "affected slices": [float(np.nanmean(numbers["affected"][:, place]))],
                "clean slices": [float(np.nanmean(numbers["clean"][:, place]))],
            }
        rows = np.linspace(0, len(table["examples"]) - 1, min(SHOWN, len(table["examples"]))).astype(int)
        titles = ["affected (another head)", "clean", *(f"sigma {sigma:.2f}" for sigma in self.sigmas)]
        examples = {title: table["examples"][rows, place].float().numpy() for place, title in enumerate(titles)}
        pictures = {
            "choice.png": curves(self.sigmas, panels, "sigma", self.sigmas[chosen]),
            "examples.png": rows_of_images(examples),
        }
        return Summary(metrics, pictures)


def distances(affected: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Mean distance (levels,) of the scores of drawn slices (n, levels, scores) from affected ones (n, scores)."""
    centre, spread = np.nanmean(affected, axis=0), np.nanstd(affected, axis=0)
    apart = np.abs(np.nanmean(drawn, axis=0) - centre) / np.where(spread > 0, spread, math.inf)
    return np.asarray(apart.mean(axis=1))


def choose(distance: np.ndarray, agreement: np.ndarray, least: float) -> int:
    """Place of the smallest distance among the levels that agree well enough, else of the best agreement. Both (n,)."""
    allowed = agreement >= least
    if not allowed.any():
        return int(np.argmax(agreement))
    return int(np.argmin(np.where(allowed, distance, math.inf)))
