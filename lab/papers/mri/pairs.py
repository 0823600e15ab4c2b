"""Artifacts drawn onto clean slices, and the pairs that come of it as training data (DIMA, phase 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lab.data.base import Facts, Split
from lab.data.module import LabDataModule, Loading, RowDataset
from lab.data.scans.module import SliceBatch
from lab.errors import UserError
from lab.metrics.image_quality import per_image
from lab.papers.mri.config import PairsConfig, SyntheticPairsConfig
from lab.papers.mri.diffusion import Renoising
from lab.papers.mri.pictures import rows_of_images
from lab.stages.artefact import Artefact
from lab.stages.module import Summary

SHOWN = 4


class PairMaker(Renoising):
    """For each clean slice one drawn slice per level, from the diffusion model in `weights`.

    The table has the columns `image` float16 (n, levels, h, w) and `target` float16 (n, h, w) in [0, 1], `mask` uint8,
    `subject`, `number`, `plane` and `spacing` as of `SliceBatch`. Metrics: `sigma` and `step` of the largest level,
    `psnr` of drawn against clean slices (the severity).
    """

    config: PairsConfig

    def __init__(self, config: PairsConfig, facts: Facts, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, facts, inputs)
        if config.sigma is not None:
            sigma = config.sigma
        elif "choice" in self.inputs:
            sigma = self.inputs["choice"].metrics["sigma"]
        else:
            raise UserError("mri/pairs: give `sigma`, or `needs: {choice: …}`, a stage of dima/choice")
        self.sigmas = [self.level_of(self.step_of(level * sigma)) for level in config.levels]

    def predict_step(self, batch: SliceBatch, batch_idx: int) -> dict[str, Tensor]:
        drawn = [
            self.draw_anew(batch.image, sigma, self.config, self.row_generators(f"pair {level}", batch.index))
            for level, sigma in enumerate(self.sigmas)
        ]
        columns = {name: getattr(batch, name) for name in ("index", "subject", "number", "plane", "spacing")}
        columns["image"] = torch.cat(drawn, dim=1).half()
        columns["target"] = batch.image.squeeze(1).half()
        columns["mask"] = batch.mask.squeeze(1)
        return columns

    def summarise(self, table: Mapping[str, Tensor], names: Sequence[str]) -> Summary:
        """`psnr` over all draws, and the picture `pairs.png`: clean slices with what was drawn of them."""
        target = table["target"].float().unsqueeze(1)
        values = [
            float(per_image(drawn.float().unsqueeze(1), target)[:, 0].mean()) for drawn in table["image"].unbind(1)
        ]
        largest = max(self.sigmas)
        metrics = {"sigma": largest, "step": self.step_of(largest), "psnr": float(np.mean(values))}
        chosen = np.linspace(0, len(target) - 1, min(SHOWN, len(target))).astype(int)
        columns = {"clean": target[chosen, 0].numpy()}
        for level, sigma in enumerate(self.sigmas):
            columns[f"sigma {sigma:.2f}"] = table["image"][chosen, level].float().numpy()
        return Summary(metrics, {"pairs.png": rows_of_images(columns)})


class PairRows(RowDataset[SliceBatch]):
    """A row for each draw of the chosen slices of a table of `PairMaker`."""

    def __init__(self, table: Mapping[str, Tensor], slices: Tensor, draws: int):
        self.table, self.slices, self.draws = table, slices, draws

    def __len__(self) -> int:
        return len(self.slices) * self.draws

    def __getitem__(self, rows: list[int]) -> SliceBatch:
        index = torch.tensor(rows)
        which, table = self.slices[index // self.draws], self.table
        return SliceBatch(
            index=index,
            image=table["image"][which, index % self.draws].float().unsqueeze(1),
            target=table["target"][which].float().unsqueeze(1),
            mask=table["mask"][which].unsqueeze(1),
            label=torch.ones_like(index),
            subject=table["subject"][which],
            number=table["number"][which],
            plane=table["plane"][which],
            spacing=table["spacing"][which],
        )


class SyntheticPairs(LabDataModule):
    """Pairs of the stage that `needs: {pairs: …}` names; the subjects of its slices are divided, never a slice.

    Raises:
        UserError: there are too few subjects to hold some out.
    """

    def __init__(self, config: SyntheticPairsConfig, loading: Loading, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, loading, inputs)
        if "pairs" not in self.inputs:
            raise UserError("synthetic_pairs: needs `needs: {pairs: STAGE}`, a stage of mri/pairs")
        source = self.inputs["pairs"]
        table = source.table()
        draws = table["image"].shape[1] if config.draws is None else min(config.draws, table["image"].shape[1])
        subjects = torch.unique(table["subject"])
        order = torch.randperm(len(subjects), generator=torch.Generator().manual_seed(0))
        count = round(config.val_fraction * len(subjects))
        if config.val_fraction and not 0 < count < len(subjects):
            raise UserError(
                f"synthetic_pairs: {config.val_fraction:.0%} of {len(subjects)} subjects can't be held out; change "
                "data.val_fraction"
            )
        held = torch.isin(table["subject"], subjects[order[:count]])
        parts = {"train": (~held).nonzero().flatten(), "val": held.nonzero().flatten()}
        self._rows = {split: PairRows(table, rows, draws) for split, rows in parts.items()}
        sizes = {split: len(rows) for split, rows in self._rows.items()}
        self.facts = replace(source.facts(), sizes=sizes, label_counts=np.array([0, sizes["train"]]))

    def rows(self, split: Split) -> PairRows:
        return self._rows[split]

    def labels_and_groups(self) -> tuple[Tensor, Tensor]:
        labels = torch.ones(len(self._rows["train"]), dtype=torch.long)
        return labels, torch.full_like(labels, -1)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch
