"""Rows of feature stages as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lab.data.base import Split
from lab.data.module import LabDataModule, Loading, RowDataset
from lab.data.sampling import EvalRows
from lab.errors import UserError
from lab.papers.features.config import FeatureRowsConfig
from lab.papers.features.stage import NAME
from lab.stages.artefact import Artefact

SPLITS: tuple[Split, ...] = ("train", "val", "test")


class FeatureBatch(NamedTuple):
    """Rows of features.

    index: int64 (B,), row in its split. features: float32 (B, d). label: int64 (B,). group: int64 (B,), as in `Batch`.
    """

    index: Tensor  # type: ignore[assignment]  # a tuple has a method of that name
    features: Tensor
    label: Tensor
    group: Tensor


class FeatureRows(RowDataset[FeatureBatch]):
    """One split, a memory map: only the rows that are asked for are read.

    features: (n, d) in the type that they are stored in. label, group: int64 (n,).
    """

    def __init__(self, artefact: Artefact):
        table = artefact.table()
        self.features, self.label = table["features"], table["label"]
        self.group = table.get("group", torch.full_like(self.label, -1))

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, rows: list[int]) -> FeatureBatch:
        index = torch.tensor(rows)
        return FeatureBatch(index, self.features[index].float(), self.label[index], self.group[index])


class FeatureData(LabDataModule):
    """The rows of the feature stages in the roles `train`, `val` and `test`, those that are there.

    Facts are those of the images, so that whoever was fitted to features knows what images to make features of.

    Raises:
        UserError: no role, a role that names no features, roles of different backbones or classes, or test rows to
            train on or to choose by.
    """

    def __init__(self, config: FeatureRowsConfig, loading: Loading, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, loading, inputs)
        sources = {split: self.inputs[split] for split in SPLITS if split in self.inputs}
        if not sources:
            raise UserError("features: needs the stages that made them; give `needs: {train: …, val: …, test: …}`")
        for split, source in sources.items():
            _check(split, source, next(iter(sources.values())))
        self._rows = {split: FeatureRows(source) for split, source in sources.items()}
        self._names = {split: source.names() for split, source in sources.items()}
        facts = next(iter(sources.values())).facts()
        self.facts = replace(facts, sizes={split: len(rows) for split, rows in self._rows.items()})
        self.in_one_step = False
        """Whether a fit reads the rows itself: its single epoch then has one batch of one row."""

    def rows(self, split: Split) -> FeatureRows:
        if split not in self._rows:
            raise UserError(f"features: there are none of split '{split}'; name a stage for it under `needs`")
        return self._rows[split]

    def names(self, split: Split) -> Sequence[str]:
        return self._names[split]

    def labels_and_groups(self) -> tuple[Tensor, Tensor]:
        rows = self.rows("train")
        return rows.label, rows.group

    def train_dataloader(self) -> DataLoader[Any]:
        if not self.in_one_step:
            return super().train_dataloader()
        return self._loader(self.rows("train"), EvalRows(1, 1))


def _check(split: Split, source: Artefact, first: Artefact) -> None:
    made, same = source.manifest["stage"], first.manifest["stage"]
    if made["module"]["name"] != NAME:
        raise UserError(f"features: `needs: {split}` names a stage of '{made['module']['name']}', not of '{NAME}'")
    if (made["module"], made["inputs"]) != (same["module"], same["inputs"]):
        raise UserError(f"features: those of `needs: {split}` are of another backbone or preprocessing than the others")
    if source.facts().class_names != first.facts().class_names:
        raise UserError(f"features: those of `needs: {split}` are of other classes than the others")
    if split != "test" and made["split"] == "test":
        raise UserError(
            f"features: `needs: {split}` names features of test images; nothing is fitted or chosen by those"
        )
