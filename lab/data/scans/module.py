"""Slices of brain scans as Lightning data modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lab.data.base import Acquisition, Facts, Split
from lab.data.module import LabDataModule, Loading, RowDataset
from lab.data.prepare import prepared
from lab.data.scans.slice_set import STEPS, SliceSet
from lab.data.scans.slices import SPLITS, SliceConfig, SlicedData
from lab.errors import DataError
from lab.stages.artefact import Artefact


class SliceBatch(NamedTuple):
    """Rows of a data set of slices. The columns of `SliceSet`, as tensors.

    index: int64 (B,), row in its split.
    image: float32 (B, 1, H, W) in [0, 1].
    target: float32 (B, 1, H, W) in [0, 1]: the clean twin with `select: pairs`, another clean slice with `both`, else
        equal to `image`.
    mask: uint8 (B, 1, H, W): 1 brain, 2 lesion, 0 elsewhere.
    label: int64 (B,), 0 clean, 1 affected by motion.
    subject: int64 (B,), index into `SliceDataModule.subject_names(split)`.
    number: int64 (B,), place of the slice in its volume.
    plane: int64 (B,), index into `lab.data.scans.volume.PLANES`; -1 where it isn't known.
    spacing: float32 (B, 2), mm between rows and between columns.
    """

    index: Tensor  # type: ignore[assignment]  # a tuple has a method of that name
    image: Tensor
    target: Tensor
    mask: Tensor
    label: Tensor
    subject: Tensor
    number: Tensor
    plane: Tensor
    spacing: Tensor


class SliceRows(RowDataset[SliceBatch]):
    """Batches of a `SliceSet`."""

    def __init__(self, slices: SliceSet):
        self.slices = slices

    def __len__(self) -> int:
        return len(self.slices)

    def __getitem__(self, rows: list[int]) -> SliceBatch:
        s = self.slices
        image = _grey(s.images[rows])
        return SliceBatch(
            index=torch.tensor(rows),
            image=image,
            target=image if s.targets is s.images else _grey(s.targets[rows]),
            mask=torch.from_numpy(np.array(s.masks[rows])).unsqueeze(1),
            label=torch.from_numpy(s.labels[rows]),
            subject=torch.from_numpy(s.subjects[rows]),
            number=torch.from_numpy(s.numbers[rows]),
            plane=torch.from_numpy(s.planes[rows]),
            spacing=torch.from_numpy(s.spacing[rows]),
        )


def _grey(levels: np.ndarray) -> Tensor:
    return torch.from_numpy(levels.astype(np.float32) / STEPS).unsqueeze(1)


class SliceDataModule(LabDataModule):
    """Slices of one data set: the one that it is registered with."""

    dataset_class: type[SlicedData] | None = None

    def __init__(self, config: SliceConfig, loading: Loading, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, loading, inputs)
        assert self.dataset_class is not None, "registered without a data set"
        self.dataset = self.dataset_class(prepared(self.dataset_class, config, loading.cache), loading.cache)
        slices = {split: self.dataset.split(split) for split in SPLITS}
        self._rows = {split: SliceRows(rows) for split, rows in slices.items()}
        known = np.concatenate([rows.spacing for rows in slices.values()])
        if not len(known):
            raise DataError(
                f"{self.dataset.card.title}: there are no {config.select} slices in {', '.join(config.splits)}"
            )
        self.facts = Facts(
            class_names=self.dataset.class_names,
            bias_names=(),
            aligned=self.dataset.aligned,
            image_shape=(1, config.image_size, config.image_size),
            sizes={split: len(rows) for split, rows in slices.items()},
            label_counts=np.bincount(slices["train"].labels, minlength=2),
            group_counts=np.zeros(0, dtype=np.int64),
            acquisition=Acquisition(
                modality=self.dataset.modality,
                planes=self.dataset.planes,
                percentiles=(config.percentiles[0], config.percentiles[1]),
                spacing=(float(np.median(known[:, 0])), float(np.median(known[:, 1]))),
            ),
        )

    def rows(self, split: Split) -> SliceRows:
        return self._rows[split]

    def names(self, split: Split) -> Sequence[str]:
        return self._rows[split].slices.names

    def subject_names(self, split: Split) -> Sequence[str]:
        """Names of the subjects of a split, by number."""
        return self._rows[split].slices.subject_names

    def labels_and_groups(self) -> tuple[Tensor, Tensor]:
        labels = torch.from_numpy(self._rows["train"].slices.labels)
        return labels, torch.full_like(labels, -1)
