"""X-rays with landmarks as Lightning data modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lab.data.base import Facts, LandmarkFacts, Split
from lab.data.landmarks.base import SPLITS, LandmarkConfig, LandmarkData, LandmarkSet
from lab.data.module import LabDataModule, Loading, RowDataset
from lab.data.prepare import prepared
from lab.errors import DataError
from lab.stages.artefact import Artefact


class LandmarkBatch(NamedTuple):
    """Rows of a landmark set.

    index: int64 (B,), row in its split.
    image: float32 (B, 1, s, s) in [0, 1] (uint8 in [0, 255] until the data module's `on_after_batch_transfer`).
    landmarks: float32 (B, L, 2), (x, y) in pixels of the original image; NaN where labels are withheld.
    size: int64 (B, 2), width and height of the original images.
    spacing: float32 (B, 2), mm between columns and between rows of the original image; NaN where it isn't known.
    """

    index: Tensor  # type: ignore[assignment]  # a tuple has a method of that name
    image: Tensor
    landmarks: Tensor
    size: Tensor
    spacing: Tensor


class LandmarkRows(RowDataset[LandmarkBatch]):
    """Batches of a `LandmarkSet`."""

    def __init__(self, rows: LandmarkSet):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: list[int]) -> LandmarkBatch:
        own = self.rows
        return LandmarkBatch(
            index=torch.tensor(rows),
            image=torch.from_numpy(np.ascontiguousarray(np.moveaxis(own.images[rows], 3, 1))),
            landmarks=torch.from_numpy(own.landmarks[rows]),
            size=torch.from_numpy(own.sizes[rows]),
            spacing=torch.from_numpy(own.spacing[rows]),
        )


class LandmarkDataModule(LabDataModule):
    """X-rays of one data set: the one that it is registered with."""

    dataset_class: type[LandmarkData] | None = None

    def __init__(self, config: LandmarkConfig, loading: Loading, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, loading, inputs)
        assert self.dataset_class is not None, "registered without a data set"
        self.dataset = self.dataset_class(prepared(self.dataset_class, config, loading.cache), loading.cache)
        self._rows = {split: LandmarkRows(self.dataset.split(split)) for split in SPLITS}
        if not len(self._rows["train"]):
            raise DataError(f"{self.dataset.root} has no training images")
        self.facts = Facts(
            class_names=(),
            bias_names=(),
            aligned=self.dataset.aligned,
            image_shape=(1, config.image_size, config.image_size),
            sizes={split: len(rows) for split, rows in self._rows.items()},
            label_counts=np.zeros(0, dtype=np.int64),
            group_counts=np.zeros(0, dtype=np.int64),
            landmarks=LandmarkFacts(
                self.dataset.names, self.dataset.unit, tuple(self.dataset.radii), self.dataset.frame
            ),
        )

    def rows(self, split: Split) -> LandmarkRows:
        return self._rows[split]

    def names(self, split: Split) -> Sequence[str]:
        return self._rows[split].rows.names

    def labels_and_groups(self) -> tuple[Tensor, Tensor]:
        """There are no classes: -1 for all."""
        unknown = torch.full((self.facts.sizes["train"],), -1)
        return unknown, unknown

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch._replace(image=batch.image.float() / 255) if isinstance(batch, LandmarkBatch) else batch
