"""Pairs of images that differ in known factors, as a data module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lab.data.base import ImageSet, Split
from lab.data.microscopy.texture_dsprites import SPLITS, Pairs, TextureDsprites, TextureDspritesConfig
from lab.data.module import LabDataModule, Loading, RowDataset, facts_of
from lab.data.prepare import prepared
from lab.stages.artefact import Artefact


class PairBatch(NamedTuple):
    """Rows are pairs.

    index: int64 (B,). first, second: float32 (B, C, H, W) in [0, 1] (uint8 until they are on the device). changed: bool
    (B, F), the factors that were drawn anew. first_factors, second_factors: int64 (B, F).
    """

    index: Tensor  # type: ignore[assignment]  # a tuple has a method of that name
    first: Tensor
    second: Tensor
    changed: Tensor
    first_factors: Tensor
    second_factors: Tensor


class PairRows(RowDataset[PairBatch]):
    """images: uint8 (2P, h, w, 3), members of pair i in rows 2i and 2i+1."""

    def __init__(self, images: np.ndarray, pairs: Pairs):
        self.images, self.pairs = images, pairs

    def __len__(self) -> int:
        return len(self.pairs.first)

    def __getitem__(self, rows: list[int]) -> PairBatch:
        chosen = np.array(rows)
        both = self.images[np.concatenate([2 * chosen, 2 * chosen + 1])]
        first, second = torch.from_numpy(np.ascontiguousarray(np.moveaxis(both, 3, 1))).chunk(2)
        first_factors, second_factors, changed = (torch.from_numpy(values[chosen]) for values in self.pairs)
        return PairBatch(torch.tensor(rows), first, second, changed, first_factors, second_factors)


class TexturePairs(LabDataModule):
    """Pairs of Texture-dSprites; its facts are those of the images, sizes count pairs."""

    def __init__(self, config: TextureDspritesConfig, loading: Loading, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, loading, inputs)
        ready = prepared(TextureDsprites, config, loading.cache)
        self.dataset = TextureDsprites(ready, loading.cache)  # type: ignore[arg-type]
        splits: dict[str, ImageSet] = {name: self.dataset.split(name) for name in SPLITS}
        self._rows = {name: PairRows(splits[name].images, self.dataset.pairs(name)) for name in SPLITS}
        sizes: dict[str, int] = {name: len(rows) for name, rows in self._rows.items()}
        self.facts = replace(facts_of(self.dataset, splits), sizes=sizes)

    def rows(self, split: Split) -> PairRows:
        return self._rows[split]

    def names(self, split: Split) -> Sequence[str]:
        return [name[:-1] for name in self.dataset.split(split).names[::2]]

    def labels_and_groups(self) -> tuple[Tensor, Tensor]:
        label = torch.from_numpy(self._rows["train"].pairs.label)
        return label, torch.full_like(label, -1)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        if not isinstance(batch, PairBatch):
            return batch
        return batch._replace(first=batch.first.float() / 255, second=batch.second.float() / 255)
