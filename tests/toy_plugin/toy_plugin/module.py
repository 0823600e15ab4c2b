import os
import signal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lab.data.base import Facts
from lab.data.module import LabDataModule, RowDataset
from lab.stages.module import StageModule, Summary


class Points(NamedTuple):
    index: Tensor
    x: Tensor
    y: Tensor


class PointRows(RowDataset[Points]):
    def __init__(self, rows: int, width: int, seed: int):
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.randn(rows, width, generator=generator)
        self.y = self.x.sum(1) + 1

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: list[int]) -> Points:
        return Points(torch.tensor(rows), self.x[rows], self.y[rows])


class Plane(LabDataModule):
    def __init__(self, config, loading, inputs=None):
        super().__init__(config, loading, inputs)
        sizes = {"train": config.rows, "val": config.rows // 2 + 1, "test": config.rows // 2 + 3}
        self._rows = {
            name: PointRows(size, config.width, config.seed + i) for i, (name, size) in enumerate(sizes.items())
        }
        self.facts = Facts(
            ("y",), (), np.zeros((0, 0), bool), (1, 1, config.width), sizes, np.zeros(1, int), np.zeros(0, int)
        )

    def rows(self, split):
        return self._rows[split]


class Linear(StageModule):
    def __init__(self, config, facts, inputs=None):
        super().__init__(config, facts, inputs)
        self.network = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(facts.image_shape[2], 1))
        self.mark = Path(config.mark) if config.mark else None

    def loss(self, batch: Points, noise: Tensor | float = 0.0) -> Tensor:
        return (self.network(batch.x)[:, 0] + noise - batch.y).square().mean()

    def training_step(self, batch: Points, batch_idx: int) -> Tensor:
        noise = self.draw("noise", lambda n, g: torch.randn(n, generator=g)) * self.config.noise
        loss = self.loss(batch, noise)
        if self.trainer.global_step == self.config.nan_at:
            loss = loss * float("nan")
        self.log("train/loss", loss)
        return loss

    def on_train_batch_end(self, *_):
        if self.mark is None:
            return
        with self.mark.open("a") as handle:
            handle.write(f"{self.trainer.global_step}\n")
        for at, signum in ((self.config.die_at, signal.SIGKILL), (self.config.stop_at, signal.SIGTERM)):
            once = self.mark.with_suffix(f".{signum}")
            if self.trainer.global_step == at and not once.exists():
                once.touch()
                os.kill(os.getpid(), signum)

    def validation_step(self, batch: Points, batch_idx: int) -> None:
        self.log("val/loss", self.loss(batch), batch_size=len(batch.index), on_epoch=True, sync_dist=True)

    def test_step(self, batch: Points, batch_idx: int) -> None:
        self.log("test/loss", self.loss(batch), batch_size=len(batch.index), on_epoch=True, sync_dist=True)

    def predict_step(self, batch: Points, batch_idx: int) -> dict[str, Tensor]:
        noise = torch.stack([torch.randn((), generator=g) for g in self.row_generators("predict", batch.index)])
        if self.mark is not None and self.config.die_at >= 0 and batch_idx == self.config.die_at:
            once = self.mark.with_suffix(".predict")
            if not once.exists():
                once.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return {"index": batch.index, "y": self.network(batch.x)[:, 0], "noise": noise}

    def summarise(self, table, names) -> Summary:
        return Summary({"mean_y": float(table["y"].mean()), "noise": float(table["noise"].double().sum())})

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.config.lr)
