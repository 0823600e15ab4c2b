"""Predictions on disk: one file a batch while they are made, one table when all are there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lab.errors import LabError
from lab.stages.files import disk_errors, write_atomically

SHARDS = "batches"


class PredictionWriter(L.Callback):
    """Writes what `predict_step` returns (columns by name, `index` among them) as one file a batch.

    A batch is named by its first row and the batch size, which don't depend on the number of devices: batches that an
    interrupted run left are not computed again, on however many devices it goes on.
    """

    def __init__(self, folder: Path, batch_size: int):
        self.folder, self.batch_size = folder / SHARDS, batch_size
        self.folder.mkdir(exist_ok=True)

    def done(self) -> frozenset[int]:
        """Numbers of the batches that are written."""
        numbers = (path.stem.split("-") for path in self.folder.glob("*.safetensors"))
        return frozenset(int(number) for size, number in numbers if int(size) == self.batch_size)

    def on_predict_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Mapping[str, Tensor],
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        number = int(outputs["index"][0]) // self.batch_size
        columns = {name: value.detach().cpu().contiguous() for name, value in outputs.items()}
        path = self.folder / f"{self.batch_size}-{number}.safetensors"
        with disk_errors("predictions", self.folder.parent):
            write_atomically(path, lambda draft: save_file(columns, draft))

    def merged(self, rows: int) -> dict[str, Tensor]:
        """All batches as one table ordered by index.

        Raises:
            LabError: a row is missing or there twice.
        """
        parts = [load_file(self.folder / f"{self.batch_size}-{number}.safetensors") for number in sorted(self.done())]
        table = {name: torch.cat([part[name] for part in parts]) for name in parts[0]} if parts else {}
        if not parts or not torch.equal(table["index"], torch.arange(rows)):
            raise LabError(f"predictions under {self.folder} are not complete: {len(parts)} batches for {rows} rows")
        return table
