"""The diffusion corrector at many noise levels: what it removes, and what it invents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lab.data.base import Facts
from lab.data.scans.module import SliceBatch
from lab.metrics.hallucination import false_lesions, retained_contrast
from lab.metrics.image_quality import per_image
from lab.metrics.paired import subject_means
from lab.mri.lesions import draw_lesions
from lab.mri.masks import bounding_box
from lab.mri.motion import simulate
from lab.papers.mri.diffusion import Renoising
from lab.papers.mri.pictures import curves, rows_of_images
from lab.papers.mri_diffusion.config import CurveConfig
from lab.stages.artefact import Artefact
from lab.stages.module import Summary

SHOWN = 3
MEASURES = (
    "psnr",
    "ssim",
    "mean_psnr",
    "mean_ssim",
    "round_trip_psnr",
    "retained",
    "false_lesions",
    "invented_lesions",
)
UNCORRECTED = ("input_psnr", "input_ssim", "input_retained", "input_false_lesions")


class Curve(Renoising):
    """Slices with their clean twins (`select: pairs`), corrected at each noise level.

    Measured at each level: PSNR and SSIM of one draw and of the mean of all; PSNR of one draw of *clean* slices against
    themselves; contrast left of an inserted lesion; false lesions a slice, of corrected affected and clean slices.

    Metrics: `sigma` and `step` of the level with the best SSIM of one draw, to be chosen on validation subjects;
    `sigma_mean`, that of the mean of the draws; each measure `…_least` at the smallest level, `…_most` at the largest
    and `…_best` at the chosen one; and the same of the uncorrected slices. The picture `curve.png` shows all.
    """

    config: CurveConfig

    def __init__(self, config: CurveConfig, facts: Facts, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, facts, inputs)
        self.sigmas = sorted(self.level_of(self.step_of(sigma)) for sigma in config.sigmas)

    def predict_step(self, batch: SliceBatch, batch_idx: int) -> dict[str, Tensor]:
        brain, index = batch.mask > 0, batch.index
        box, spacing = bounding_box(brain), [float(value) for value in batch.spacing[0]]
        target, mask = _array(batch.target), _array(brain).astype(bool)
        lesion = draw_lesions(brain, self.row_generators("lesion", index), spacing)
        with_lesion = (batch.target + lesion).clamp(0, 1)
        motion = self.config.evaluation.motion
        moved = [
            simulate(image, self.row_generators("lesion motion", index), motion, spacing).clamp(0, 1)
            for image in (with_lesion, batch.target)
        ]
        inserted = _array(with_lesion - batch.target)

        quality = per_image(batch.image, batch.target, box)
        uncorrected = [
            quality[:, 0],
            quality[:, 1],
            retained_contrast(_array(moved[0]), _array(moved[1]), inserted),
            false_lesions(_array(batch.image), target, mask, spacing),
        ]
        levels, examples = [], [batch.target, batch.image]
        for place, sigma in enumerate(self.sigmas):
            generators = self.row_generators(f"draws {place}", index)
            draws = [self.draw_anew(batch.image, sigma, self.config, generators) for _ in range(self.config.draws)]
            one = per_image(draws[0], batch.target, box)
            mean = per_image(torch.stack(draws).mean(0), batch.target, box)
            again = self.draw_anew(batch.target, sigma, self.config, self.row_generators("round trip", index))
            kept = [
                _array(self.draw_anew(image, sigma, self.config, self.row_generators("lesion draw", index)))
                for image in moved
            ]
            measures = [
                *(one[:, 0], one[:, 1], mean[:, 0], mean[:, 1]),
                per_image(again, batch.target, box)[:, 0],
                retained_contrast(kept[0], kept[1], inserted),
                false_lesions(_array(draws[0]), target, mask, spacing),
                false_lesions(_array(again), target, mask, spacing),
            ]
            levels.append(_stacked(measures))
            examples.append(draws[0])
        return {
            "index": index,
            "subject": batch.subject,
            "uncorrected": _stacked(uncorrected),
            "levels": torch.stack(levels, dim=1),
            "examples": torch.cat(examples, dim=1).half(),
        }

    def summarise(self, table: Mapping[str, Tensor], names: Sequence[str]) -> Summary:
        subject = table["subject"].numpy()
        levels = np.nanmean(subject_means(table["levels"].double().numpy(), subject)[1], axis=0)
        before = np.nanmean(subject_means(table["uncorrected"].double().numpy(), subject)[1], axis=0)
        found = {name: levels[:, place] for place, name in enumerate(MEASURES)}
        best, best_mean = int(np.argmax(found["ssim"])), int(np.argmax(found["mean_ssim"]))
        metrics = {"sigma": self.sigmas[best], "step": float(self.step_of(self.sigmas[best]))}
        metrics["sigma_mean"] = self.sigmas[best_mean]
        metrics |= {name: float(value) for name, value in zip(UNCORRECTED, before, strict=True)}
        for name, values in found.items():
            metrics[f"{name}_least"], metrics[f"{name}_most"] = float(values[0]), float(values[-1])
            metrics[f"{name}_best"] = float(
                values.max() if name in ("psnr", "ssim", "mean_psnr", "mean_ssim") else values[best]
            )
        rows = np.linspace(0, len(subject) - 1, min(SHOWN, len(subject))).astype(int)
        titles = ["clean twin", "affected", *(f"sigma {sigma:.2f}" for sigma in self.sigmas)]
        examples = {title: table["examples"][rows, place].float().numpy() for place, title in enumerate(titles)}
        pictures = {
            "curve.png": curves(self.sigmas, _panels(found, before), "sigma", self.sigmas[best]),
            "examples.png": rows_of_images(examples),
        }
        return Summary(metrics, pictures)


def _panels(found: Mapping[str, np.ndarray], before: np.ndarray) -> dict[str, dict[str, list[float]]]:
    lines = {name: values.tolist() for name, values in found.items()}
    none = {name: [float(value)] for name, value in zip(UNCORRECTED, before, strict=True)}
    return {
        "PSNR, dB": {
            "one draw": lines["psnr"],
            "mean of draws": lines["mean_psnr"],
            "clean slices, to themselves": lines["round_trip_psnr"],
            "uncorrected": none["input_psnr"],
        },
        "SSIM": {"one draw": lines["ssim"], "mean of draws": lines["mean_ssim"], "uncorrected": none["input_ssim"]},
        "contrast left of a lesion": {"one draw": lines["retained"], "uncorrected": none["input_retained"]},
        "false lesions a slice": {
            "affected slices": lines["false_lesions"],
            "clean slices": lines["invented_lesions"],
            "uncorrected": none["input_false_lesions"],
        },
    }


def _stacked(columns: Sequence[Any]) -> Tensor:
    """Columns (B,), tensors or arrays, as float32 (B, columns) on the CPU."""
    return torch.stack([torch.as_tensor(column).float().cpu() for column in columns], dim=1)


def _array(images: Tensor) -> Any:
    """(B, 1, H, W) as NumPy (B, H, W)."""
    return images.squeeze(1).float().cpu().numpy()
