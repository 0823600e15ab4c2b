"""Predictions on disk: one file a batch while they are made, one table when all are there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import IO, Any

import lightning.pytorch as L
import numpy as np
from safetensors.torch import save_file
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
        path = self._path(number)
        with disk_errors("predictions", self.folder.parent):
            write_atomically(path, lambda draft: save_file(columns, draft))

    def merge(self, rows: int, target: Path) -> None:
        """Write all batches as one table ordered by index, column by column: memory is needed for one piece of a batch.

        Raises:
            LabError: a row is missing or there twice, or batches differ in their columns.
        """
        parts = [_Part.of(self._path(number)) for number in sorted(self.done())]
        starts = [0, *accumulate(part.rows for part in parts)]
        whole = bool(parts) and starts[-1] == rows
        if not whole or not all(part.holds(start) for part, start in zip(parts, starts, strict=False)):
            raise LabError(f"predictions under {self.folder} are not complete: {len(parts)} batches for {rows} rows")
        _join(parts, target)

    def _path(self, number: int) -> Path:
        return self.folder / f"{self.batch_size}-{number}.safetensors"


@dataclass(frozen=True)
class _Part:
    """One batch on disk: the header of a safetensors file, and where its data begin."""

    path: Path
    header: dict[str, dict[str, Any]]
    begin: int

    @classmethod
    def of(cls, path: Path) -> _Part:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        return cls(path, header, 8 + length)

    @property
    def rows(self) -> int:
        return int(self.header["index"]["shape"][0])

    def kinds(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Type and shape of a row, by column."""
        return {name: (entry["dtype"], tuple(entry["shape"][1:])) for name, entry in self.header.items()}

    def size(self, name: str) -> int:
        """Bytes of a column."""
        first, last = self.header[name]["data_offsets"]
        return int(last - first)

    def holds(self, start: int) -> bool:
        """Whether its index counts on from `start`."""
        first, last = self.header["index"]["data_offsets"]
        with self.path.open("rb") as file:
            file.seek(self.begin + first)
            index = np.frombuffer(file.read(last - first), np.int64)
        return np.array_equal(index, np.arange(start, start + self.rows))

    def copy(self, name: str, target: IO[bytes]) -> None:
        """Append a column's bytes to a file."""
        with self.path.open("rb") as file:
            file.seek(self.begin + self.header[name]["data_offsets"][0])
            target.write(file.read(self.size(name)))


def _join(parts: Sequence[_Part], target: Path) -> None:
    """Tables one below the other, in safetensors' format: the header's length, the header, the columns' bytes."""
    kinds = parts[0].kinds()
    for part in parts:
        if part.kinds() != kinds:
            raise LabError(f"predictions in {part.path} have other columns than those in {parts[0].path}")
    rows, begin = sum(part.rows for part in parts), 0
    header: dict[str, Any] = {}
    # Wide types first, as safetensors does: each column then begins at a multiple of its type's size.
    for name in sorted(kinds, key=lambda name: (-_width(parts[0], name), name)):
        end = begin + sum(part.size(name) for part in parts)
        dtype, shape = kinds[name]
        header[name] = {"dtype": dtype, "shape": [rows, *shape], "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with target.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in header:
            for part in parts:
                part.copy(name, file)


def _width(part: _Part, name: str) -> float:
    """Bytes of one number of a column."""
    return part.size(name) / max(1, int(np.prod(part.header[name]["shape"])))
