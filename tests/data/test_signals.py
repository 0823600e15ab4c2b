"""The signal table: round trips and each broken rule in one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lab.data.signals import SignalTable
from lab.errors import DataError


def columns(rows: int = 5, classes: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(rows, classes, generator=generator)
    label = torch.arange(rows) % classes
    bias = torch.tensor([0, 1, 0, 1, -1])[:rows]
    return {
        "index": torch.arange(rows),
        "label": label,
        "prediction": logits.argmax(1),
        "probabilities": logits.softmax(1),
        "loss": torch.nn.functional.cross_entropy(logits, label, reduction="none"),
        "features": torch.randn(rows, 4, generator=generator),
        "bias": bias,
        "group": torch.where(bias < 0, -1, 2 * label + bias),
    }


def test_round_trip_through_a_file(tmp_path: Path) -> None:
    table = SignalTable.from_columns(columns())
    table.write(tmp_path / "table.safetensors")
    back = SignalTable.read(tmp_path / "table.safetensors")
    assert back.to_columns().keys() == columns().keys()
    for name, values in table.to_columns().items():
        assert torch.equal(values, back.to_columns()[name])
    assert len(back) == 5
    assert back.num_classes == 3


def test_types_are_made_right_and_other_columns_left_aside() -> None:
    given = columns() | {"extra": torch.zeros(2), "loss": columns()["loss"].double(), "label": columns()["label"].int()}
    table = SignalTable.from_columns(given)
    assert table.loss.dtype == torch.float32
    assert table.label.dtype == torch.int64
    assert "extra" not in table.to_columns()


def test_optional_columns_may_be_absent() -> None:
    given = columns()
    for name in ("features", "bias", "group"):
        del given[name]
    table = SignalTable.from_columns(given)
    assert table.features is None
    assert set(table.to_columns()) == set(given)
    assert table.conflicting_true(torch.eye(3, 2).bool()).tolist() == [-1] * 5


def test_true_conflict_is_read_off_the_aligned_cells() -> None:
    aligned = torch.tensor([[True, False], [False, True], [True, False]])
    # labels 0 1 2 0 1, biases 0 1 0 1 unknown
    assert SignalTable.from_columns(columns()).conflicting_true(aligned).tolist() == [0, 0, 0, 1, -1]
    with pytest.raises(DataError, match="classes or biases"):
        SignalTable.from_columns(columns()).conflicting_true(aligned[:, :1])


BROKEN = {
    "has no column label, loss": lambda c: [c.pop("label"), c.pop("loss")],
    "column loss has 4 rows, index has 5": lambda c: c.update(loss=c["loss"][:4]),
    "column loss has shape": lambda c: c.update(loss=c["loss"][:, None]),
    "index must be": lambda c: c.update(index=torch.tensor([0, 1, 1, 2, 3])),
    "column label must be 0..2, is 0..3": lambda c: c.update(label=torch.tensor([0, 1, 2, 3, 0])),
    "column bias must be at least -1": lambda c: c.update(bias=torch.full((5,), -2)),
    "probabilities must be": lambda c: c.update(probabilities=c["probabilities"] * 2),
    "column loss holds NaN": lambda c: c["loss"].fill_(float("nan")),
    "loss must be at least 0": lambda c: c.update(loss=-c["loss"]),
    "has no rows": lambda c: c.update({name: values[:0] for name, values in c.items()}),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_table_is_one_clear_line(message: str) -> None:
    given = columns()
    BROKEN[message](given)
    with pytest.raises(DataError) as caught:
        SignalTable.from_columns(given, "stage 'amplifier'")
    assert str(caught.value).startswith("stage 'amplifier': ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "table.safetensors"
    SignalTable.from_columns(columns()).write(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="can't be read as a signal table"):
        SignalTable.read(path)
    with pytest.raises(DataError, match="nowhere"):
        SignalTable.read(tmp_path / "nowhere")


def test_a_table_of_another_split_or_data_set_is_refused() -> None:
    table = SignalTable.from_columns(columns())
    table.require_rows(table.label)
    with pytest.raises(DataError, match="holds 5 rows, the training split 6"):
        table.require_rows(torch.zeros(6))
    with pytest.raises(DataError, match="its labels are not"):
        table.require_rows(torch.zeros(5))


def test_parquet_holds_the_same_values(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = SignalTable.from_columns(columns())
    table.to_parquet(tmp_path / "table.parquet", names=list("abcde"))
    back = parquet.read_table(tmp_path / "table.parquet").to_pydict()
    assert back["name"] == list("abcde")
    assert torch.equal(torch.tensor(back["probabilities"]), table.probabilities)
    assert torch.equal(torch.tensor(back["loss"]), table.loss)
    assert back["group"] == table.group.tolist()  # type: ignore[union-attr]
