"""The signal table: what a model said of each row of a split. All debiasing papers read and write it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from lab.errors import DataError

TOLERANCE = 1e-2
"""How far from 1 the probabilities of a row may sum (they may have been computed in bfloat16)."""


@dataclass(frozen=True)
class SignalTable:
    """Columns with one value a row, ordered by index, on the CPU.

    index: int64 (n,), row in its split, increasing.
    label: int64 (n,), in 0..C-1.
    prediction: int64 (n,), the most probable class.
    probabilities: float32 (n, C).
    loss: float32 (n,), cross-entropy of the label, in nats.
    features: float32 (n, d), what the head took, or None.
    bias: int64 (n,), the true bias attribute, -1 where it isn't known; None where the data have none.
    group: int64 (n,), `label * biases + bias` or -1; None likewise.
    """

    index: Tensor
    label: Tensor
    prediction: Tensor
    probabilities: Tensor
    loss: Tensor
    features: Tensor | None = None
    bias: Tensor | None = None
    group: Tensor | None = None

    @classmethod
    def from_columns(cls, columns: Mapping[str, Tensor], where: str = "signal table") -> SignalTable:
        """From the columns of a stage's table. Columns that the signal table doesn't have are left aside.

        Args:
            where: what errors call the table.

        Raises:
            DataError: a column is absent, of another length or shape, or holds impossible values.
        """
        names = [field.name for field in fields(cls)]
        absent = [name for name in names[:5] if name not in columns]
        if absent:
            raise DataError(f"{where}: has no column {', '.join(absent)}; it has {', '.join(sorted(columns))}")
        table = cls(**{name: _typed(name, columns[name]) for name in names if name in columns})
        table.validate(where)
        return table

    def validate(self, where: str = "signal table") -> None:
        """Raise `DataError` for the first rule that is broken."""
        rows, classes = len(self.index), self.probabilities.shape[-1]
        for name, values in self.to_columns().items():
            if len(values) != rows:
                raise DataError(f"{where}: column {name} has {len(values)} rows, index has {rows}")
            wide = name in ("probabilities", "features")
            if values.ndim != 1 + wide:
                raise DataError(f"{where}: column {name} has shape {tuple(values.shape)}, not {1 + wide} dimension(s)")
            if values.is_floating_point() and not values.isfinite().all():
                raise DataError(f"{where}: column {name} holds NaN or infinite values")
        if rows == 0:
            raise DataError(f"{where}: has no rows")
        if self.index[0] < 0 or (self.index.diff() <= 0).any():
            raise DataError(f"{where}: index must be at least 0 and increasing, each row once")
        for name, low in (("label", 0), ("prediction", 0), ("bias", -1), ("group", -1)):
            column = getattr(self, name)
            if column is None:
                continue
            high = classes - 1 if low == 0 else None
            if column.min() < low or (high is not None and column.max() > high):
                bounds = f"{low}..{high}" if high is not None else f"at least {low}"
                raise DataError(f"{where}: column {name} must be {bounds}, is {int(column.min())}..{int(column.max())}")
        total = self.probabilities.sum(1)
        if self.probabilities.min() < 0 or ((total - 1).abs() > TOLERANCE).any():
            raise DataError(f"{where}: probabilities must be at least 0 and sum to 1 in each row")
        if self.loss.min() < 0:
            raise DataError(f"{where}: loss must be at least 0")

    def __len__(self) -> int:
        return len(self.index)

    @property
    def num_classes(self) -> int:
        return self.probabilities.shape[1]

    def to_columns(self) -> dict[str, Tensor]:
        """The columns that are there, by name."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: values for name, values in columns.items() if values is not None}

    def conflicting_true(self, aligned: Tensor) -> Tensor:
        """int64 (n,): 1 where the true bias doesn't go with the label, 0 where it does, -1 where it isn't known.

        aligned: bool (C, biases).

        Raises:
            DataError: the table has other classes or biases than `aligned`.
        """
        if self.bias is None or aligned.numel() == 0:
            return torch.full_like(self.label, -1)
        if self.num_classes != aligned.shape[0] or self.bias.max() >= aligned.shape[1]:
            raise DataError(f"signal table: its classes or biases are not the {tuple(aligned.shape)} of the data")
        conflicting = (~aligned[self.label, self.bias.clamp(min=0)]).long()
        return torch.where(self.bias < 0, -1, conflicting)

    def require_rows(self, labels: Tensor, where: str = "signal table") -> None:
        """Raise `DataError` unless the table speaks of exactly the rows with these labels (n,), in order."""
        if len(self) != len(labels) or self.index[-1] != len(labels) - 1:
            raise DataError(f"{where}: holds {len(self)} rows, the training split {len(labels)}; predict on that split")
        if (self.label != labels.cpu()).any():
            raise DataError(f"{where}: its labels are not those of the training split; it was made on other data")

    def write(self, path: Path) -> None:
        """As safetensors."""
        from safetensors.torch import save_file

        save_file({name: values.clone().contiguous() for name, values in self.to_columns().items()}, path)

    @classmethod
    def read(cls, path: Path) -> SignalTable:
        """What `write` wrote.

        Raises:
            DataError: no such file, damaged, or not a signal table.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            columns = load_file(path)
        except (OSError, SafetensorError) as error:
            raise DataError(f"{path}: can't be read as a signal table ({error})") from error
        return cls.from_columns(columns, str(path))

    def to_parquet(self, path: Path, names: Sequence[str] | None = None) -> None:
        """Export with one column a field (lists for probabilities and features), and `name` where names are given."""
        import pyarrow as pa
        from pyarrow import parquet

        columns = {} if names is None else {"name": pa.array(list(names))}
        for name, values in self.to_columns().items():
            flat = pa.array(values.flatten().numpy())
            columns[name] = flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
        parquet.write_table(pa.table(columns), path)


def _typed(name: str, values: Tensor) -> Tensor:
    return values.detach().cpu().to(torch.float32 if name in ("probabilities", "loss", "features") else torch.int64)
