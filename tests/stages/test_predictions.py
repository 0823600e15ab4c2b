"""Predictions are merged by streaming: the same table as in memory, whole or refused, in the memory of one batch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lab.errors import LabError
from lab.stages.predictions import PredictionWriter

SIZES = (3, 3, 2)


def columns(start: int, size: int) -> dict[str, Tensor]:
    """One column of each width, of one, two and three dimensions."""
    index = torch.arange(start, start + size)
    return {
        "index": index,
        "label": (index % 3).to(torch.int8),
        "features": torch.randn(size, 5).half(),
        "brain": torch.randn(size, 2).to(torch.bfloat16),
        "image": torch.randint(0, 255, (size, 3, 2, 2), dtype=torch.uint8),
        "loss": torch.rand(size),
        "flag": index % 2 == 0,
    }


def write(folder: Path, batches: list[dict[str, Tensor]], size: int = 3) -> PredictionWriter:
    writer = PredictionWriter(folder, size)
    for batch in batches:
        writer.on_predict_batch_end(None, None, batch, None, 0)  # type: ignore[arg-type]
    return writer


@pytest.fixture
def batches() -> list[dict[str, Tensor]]:
    torch.manual_seed(0)
    return [columns(3 * place, size) for place, size in enumerate(SIZES)]


def test_the_table_is_all_batches_in_order(batches, tmp_path) -> None:
    writer = write(tmp_path, batches[::-1])
    writer.merge(8, tmp_path / "table.safetensors")
    table = load_file(tmp_path / "table.safetensors")
    assert set(table) == set(batches[0])
    for name, values in table.items():
        expected = torch.cat([batch[name] for batch in batches])
        assert values.dtype == expected.dtype and torch.equal(values, expected), name
        assert values.data_ptr() % values.element_size() == 0


def test_the_file_is_what_safetensors_would_have_written(batches, tmp_path) -> None:
    few = [{name: batch[name] for name in ("index", "features", "loss", "image")} for batch in batches]
    write(tmp_path, few).merge(8, tmp_path / "ours")
    save_file({name: torch.cat([batch[name] for batch in few]) for name in few[0]}, tmp_path / "theirs")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


@pytest.mark.parametrize("rows", [5, 7, 9])
def test_too_few_or_too_many_rows(batches, tmp_path, rows) -> None:
    with pytest.raises(LabError, match=f"not complete: 3 batches for {rows} rows"):
        write(tmp_path, batches).merge(rows, tmp_path / "table.safetensors")
    assert not (tmp_path / "table.safetensors").exists()


def test_no_batch_at_all(tmp_path) -> None:
    with pytest.raises(LabError, match="not complete: 0 batches for 0 rows"):
        write(tmp_path, []).merge(0, tmp_path / "table.safetensors")


def test_rows_that_are_there_twice(batches, tmp_path) -> None:
    batches[1]["index"][:] = torch.tensor([3, 4, 4])
    with pytest.raises(LabError, match="not complete"):
        write(tmp_path, batches).merge(8, tmp_path / "table.safetensors")


def test_batches_with_other_columns(batches, tmp_path) -> None:
    batches[2]["loss"] = batches[2]["loss"].double()
    with pytest.raises(LabError, match=r"3-2\.safetensors have other columns than those in"):
        write(tmp_path, batches).merge(8, tmp_path / "table.safetensors")


def test_batches_of_another_size_are_left_aside(batches, tmp_path) -> None:
    write(tmp_path, [columns(0, 4)], size=4)
    writer = write(tmp_path, batches)
    assert writer.done() == {0, 1, 2}
    writer.merge(8, tmp_path / "table.safetensors")
    assert len(load_file(tmp_path / "table.safetensors")["index"]) == 8


MEASURED = """
import resource, sys
from pathlib import Path
from lab.stages.artefact import Artefact
from lab.stages.predictions import PredictionWriter

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

folder, rows = Path(sys.argv[1]), int(sys.argv[2])
before = peak()
PredictionWriter(folder, 1000).merge(rows, folder / "table.safetensors")
table = Artefact(folder).table()
assert table["features"][::1000].float().sum() == table["index"][::1000].sum()
print(peak() - before)
"""


def test_memory_does_not_grow_with_the_rows(tmp_path) -> None:
    """120 MiB of features are merged, and a thousandth of them read, in the memory of a batch of 2 MiB or so."""
    rows = 60_000
    writer = PredictionWriter(tmp_path, 1000)
    for start in range(0, rows, 1000):
        features = torch.zeros(1000, 512)
        features[0, 0] = start
        batch = {"index": torch.arange(start, start + 1000), "features": features}
        writer.on_predict_batch_end(None, None, batch, None, 0)  # type: ignore[arg-type]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path), str(rows)], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 40
