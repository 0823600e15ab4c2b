"""Tiny coloured squares, a stub data module, and signal tables on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lab.data.base import Facts
from lab.data.batch import Batch
from lab.data.sampling import TrainRows
from lab.data.signals import SignalTable
from lab.networks.config import NetworkConfig
from lab.stages.artefact import TABLE, Artefact

ROWS, BATCH, SIDE = 48, 16, 8
SMALL = {"arch": "cnn", "arch_options": {"width": 4}}


def small_network() -> NetworkConfig:
    return NetworkConfig(**SMALL)


def coloured(rows: int = ROWS, conflicting_every: int = 6) -> Batch:
    """Two classes (bright upper or lower half) of two colours; one row in `conflicting_every` has the other's."""
    generator = torch.Generator().manual_seed(0)
    index = torch.arange(rows)
    label = index // conflicting_every % 2
    bias = torch.where(index % conflicting_every == 0, 1 - label, label)
    image = torch.rand(rows, 3, SIDE, SIDE, generator=generator) * 0.3
    for row in range(rows):
        half = slice(0, SIDE // 2) if label[row] == 0 else slice(SIDE // 2, SIDE)
        image[row, :, half] += 0.2
        image[row, bias[row]] += 0.5
    return Batch(index, image, label, 2 * label + bias)


def facts_of(batch: Batch) -> Facts:
    return Facts(
        class_names=("up", "down"),
        bias_names=("red", "green"),
        aligned=np.eye(2, dtype=bool),
        image_shape=(3, SIDE, SIDE),
        sizes={split: len(batch.label) for split in ("train", "val", "test")},
        label_counts=np.bincount(batch.label, minlength=2),
        group_counts=np.bincount(batch.group, minlength=4),
    )


class Rows(L.LightningDataModule):
    """The part of a lab data module that modules see, over one batch of rows for all splits."""

    def __init__(self, batch: Batch, weights: Tensor | None = None):
        super().__init__()
        self.batch, self.weights = batch, weights
        self.global_rows = BATCH
        self.local_rows = slice(0, BATCH)

    def _loader(self, rows: Any) -> DataLoader[Any]:
        chosen = [torch.tensor(r) for r in rows]
        return DataLoader([Batch(*(column[r] for column in self.batch)) for r in chosen], batch_size=None)  # type: ignore[arg-type]

    def train_dataloader(self) -> DataLoader[Any]:
        return self._loader(TrainRows(len(self.batch.label), BATCH, weights=self.weights))

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader(torch.arange(len(self.batch.label)).split(20))

    test_dataloader = val_dataloader
    predict_dataloader = val_dataloader


def trainer(epochs: int = 1, **options: Any) -> L.Trainer:
    """One epoch has three steps."""
    return L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )


@pytest.fixture
def batch() -> Batch:
    return coloured()


@pytest.fixture
def facts(batch: Batch) -> Facts:
    return facts_of(batch)


@pytest.fixture
def signal(tmp_path: Path, batch: Batch) -> Callable[..., Artefact]:
    """An artefact of a model that sees the colour alone; `mistakes` adds wrong answers of low loss."""

    def make(mistakes: int = 0, **columns: Tensor) -> Artefact:
        bias = batch.group % 2
        prediction = bias.clone()
        aligned = (bias == batch.label).nonzero().flatten()
        prediction[aligned[:mistakes]] = 1 - prediction[aligned[:mistakes]]
        sure = torch.full((len(bias),), 0.95)
        sure[aligned[:mistakes]] = 0.51
        probabilities = torch.stack([1 - sure, sure], 1)
        probabilities = torch.where((prediction == 0)[:, None], probabilities.flip(1), probabilities)
        loss = -probabilities.gather(1, batch.label[:, None])[:, 0].log()
        made = {
            "index": batch.index,
            "label": batch.label,
            "prediction": prediction,
            "probabilities": probabilities,
            "loss": loss,
            "bias": bias,
            "group": batch.group,
        }
        folder = tmp_path / f"signal-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        SignalTable.from_columns(made | columns).write(folder / TABLE)
        return Artefact(folder)

    return make
