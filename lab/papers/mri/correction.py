"""What everything that corrects slices has in common: how it is tested, and what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lab.data.base import Facts
from lab.data.scans.module import SliceBatch
from lab.data.scans.slice_set import LESION
from lab.metrics.hallucination import false_lesions, rank_correlation, retained_contrast
from lab.metrics.image_quality import ImageQuality, per_image
from lab.mri.lesions import draw_lesions
from lab.mri.masks import bounding_box
from lab.mri.motion import simulate
from lab.papers.mri.config import CorrectionConfig
from lab.papers.mri.pictures import corrections
from lab.papers.mri.scores import summary_of_rows
from lab.stages.artefact import Artefact
from lab.stages.module import StageModule, Summary

QUALITY = ImageQuality.names


class Corrected(NamedTuple):
    """image: (B, 1, H, W) in [0, 1]. spread: standard deviation over draws, same shape; None for a single one."""

    image: Tensor
    spread: Tensor | None = None


class Rows(Metric):
    """Numbers of each row of a split, collected over all devices: float32 (n, columns), ordered by the first one."""

    full_state_update = False
    values: list[Tensor]

    def __init__(self, **options: Any):
        super().__init__(**options)
        self.add_state("values", [], dist_reduce_fx="cat")

    def update(self, values: Tensor) -> None:
        self.values.append(values)

    def compute(self) -> Tensor:
        joined: Tensor = dim_zero_cat(self.values)
        return joined[joined[:, 0].argsort()]


class Correction(StageModule):
    """Base of all correctors. A subclass writes `correct`.

    A test compares corrected slices with their clean twins (`select: pairs`) inside the bounding box of the brain. It
    logs the metrics of `summary_of_rows`, keeps the numbers of each slice as the artefact's table (columns `index`,
    `subject` and what was measured), and shows some slices. With `needs: {rival: STAGE}`, another such test on the
    same rows, it also logs the paired difference to that one.
    """

    config: CorrectionConfig
    applies_to = "scans"

    def __init__(self, config: CorrectionConfig, facts: Facts, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, facts, inputs)
        self.quality = ImageQuality()
        self.numbers = Rows()
        self.columns: list[str] = []
        self.shown: list[dict[str, Tensor]] = []
        self.tested: dict[str, Tensor] = {}

    def correct(self, image: Tensor, generators: Sequence[torch.Generator]) -> Corrected:
        """Slices without motion.

        image: (B, 1, H, W) in [0, 1]; generators: one a row, on the device, for methods that draw.
        """
        raise NotImplementedError

    def validation_step(self, batch: SliceBatch, batch_idx: int) -> None:
        found = self.correct(batch.image, self.row_generators("correct", batch.index)).image
        self.quality.update(found, batch.target, batch.subject, bounding_box(batch.mask > 0))

    def on_validation_epoch_end(self) -> None:
        found = self.quality.compute()
        self.quality.reset()
        self.log_dict({f"val/{name}": found[name].to(self.device, torch.float32) for name in QUALITY if name in found})

    def test_step(self, batch: SliceBatch, batch_idx: int) -> None:
        box = bounding_box(batch.mask > 0)
        found = self.correct(batch.image, self.row_generators("correct", batch.index))
        columns: dict[str, Tensor] = {"index": batch.index, "subject": batch.subject}
        columns |= _named("", per_image(found.image, batch.target, box))
        columns |= _named("input_", per_image(batch.image, batch.target, box))
        columns |= self.hallucination(batch, found)
        self.columns = list(columns)
        self.numbers.update(torch.stack([column.to(self.device, torch.float32) for column in columns.values()], dim=1))
        self._keep_pictures(batch, found)

    def hallucination(self, batch: SliceBatch, found: Corrected) -> dict[str, Tensor]:
        """Columns (B,) about what is invented and what is lost; NaN where something does not apply."""
        evaluation, columns = self.config.evaluation, {}
        brain = batch.mask > 0
        target, mask = _array(batch.target), _array(brain).astype(bool)
        lesion_free = mask & (_array(batch.mask) != LESION)
        spacing = [float(value) for value in batch.spacing[0]]
        columns["false_lesions"] = false_lesions(_array(found.image), target, lesion_free, spacing)
        if found.spread is not None:
            error = _array((found.image - batch.target).abs())
            columns["spread_to_error"] = rank_correlation(_array(found.spread), error, mask)
            columns["spread"] = (_array(found.spread) * mask).sum((1, 2)) / mask.sum((1, 2)).clip(1)
        if evaluation.round_trip:
            again = self.correct(batch.target, self.row_generators("round trip", batch.index)).image
            quality = per_image(again, batch.target, bounding_box(brain))
            columns["round_trip_psnr"] = quality[:, 0].cpu().numpy()
            columns["invented_lesions"] = false_lesions(_array(again), target, lesion_free, spacing)
        if evaluation.lesions:
            columns["retained"] = self._retained(batch, brain, spacing)
        return {name: torch.as_tensor(values) for name, values in columns.items()}

    def _retained(self, batch: SliceBatch, brain: Tensor, spacing: list[float]) -> Any:
        """Contrast (B,) left of a lesion that was there before the head moved."""
        lesion = draw_lesions(brain, self.row_generators("lesion", batch.index), spacing)
        with_lesion = (batch.target + lesion).clamp(0, 1)
        results = []
        for image in (with_lesion, batch.target):
            # Equal generators: the same motion, and the same noise of a method that draws.
            motion = self.config.evaluation.motion
            moved = simulate(image, self.row_generators("lesion motion", batch.index), motion, spacing).clamp(0, 1)
            results.append(_array(self.correct(moved, self.row_generators("lesion draw", batch.index)).image))
        return retained_contrast(results[0], results[1], _array(with_lesion - batch.target))

    def predict_step(self, batch: SliceBatch, batch_idx: int) -> dict[str, Tensor]:
        found = self.correct(batch.image, self.row_generators("correct", batch.index))
        columns = {"index": batch.index, "image": found.image.squeeze(1)}
        if found.spread is not None:
            columns["spread"] = found.spread.squeeze(1)
        return columns

    def _keep_pictures(self, batch: SliceBatch, found: Corrected) -> None:
        size, wanted = self.facts.sizes[self.trainer.datamodule.eval_split], self.config.evaluation.pictures  # type: ignore[attr-defined]
        chosen = {int((place + 0.5) * size / wanted) for place in range(wanted)}
        for row in [row for row, index in enumerate(batch.index.tolist()) if index in chosen]:
            parts = {"input": batch.image, "corrected": found.image, "target": batch.target}
            if found.spread is not None:
                parts["spread"] = found.spread
            self.shown.append({name: part[row, 0].float().cpu() for name, part in parts.items()})

    def on_test_epoch_end(self) -> None:
        values = self.numbers.compute()
        self.tested = {name: values[:, place].cpu() for place, name in enumerate(self.columns)}
        for name in ("index", "subject"):
            self.tested[name] = self.tested[name].long()
        rival = self.inputs["rival"].table() if "rival" in self.inputs else None
        metrics = summary_of_rows(self.tested, rival)
        self.log_dict({f"test/{name}": value for name, value in metrics.items()}, rank_zero_only=False)

    def summarise_test(self) -> Summary:
        """The numbers of each slice as a table, and the picture `corrections.png`."""
        return Summary(pictures={"corrections.png": corrections(self.shown)} if self.shown else {}, table=self.tested)


def _named(prefix: str, quality: Tensor) -> dict[str, Tensor]:
    return {f"{prefix}{name}": quality[:, place] for place, name in enumerate(QUALITY)}


def _array(images: Tensor) -> Any:
    """(B, 1, H, W) as NumPy (B, H, W)."""
    return images.squeeze(1).float().cpu().numpy()
