from __future__ import annotations

import errno
import json

import pytest
import torch
from safetensors.torch import save_file

from lab.errors import StageFailed
from lab.stages.files import disk_errors, write_atomically, write_json


def test_writing(tmp_path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": [1, None]})
    assert json.loads(path.read_text()) == {"b": [1, None]}
    write_json(path, 2)
    assert path.read_text() == "2\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_failure_leaves_the_file_as_it_was(tmp_path, error) -> None:
    path = tmp_path / "a"
    path.write_text("before")

    def write(draft):
        draft.write_text("half")
        raise error

    with pytest.raises(type(error)):
        write_atomically(path, write)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_json_has_no_nan(tmp_path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "a", float("nan"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("how", ["python", "torch", "safetensors"])
def test_a_full_disk_is_one_line(tmp_path, file_size_limit, how) -> None:
    data = {"a": torch.zeros(100_000)}

    def write(draft):
        if how == "safetensors":
            return save_file(data, draft)
        with draft.open("wb") as handle:
            return torch.save(data, handle) if how == "torch" else handle.write(bytes(400_000))

    with pytest.raises(StageFailed) as caught, disk_errors("a thing", tmp_path), file_size_limit(100_000):
        write_atomically(tmp_path / "a", write)
    assert str(caught.value) == (
        f"no space left on the disk while writing a thing under {tmp_path}; nothing was damaged: "
        "free some space and run the same command again"
    )
    assert not list(tmp_path.iterdir())


def test_other_errors_stay_what_they_are(tmp_path) -> None:
    for error in (PermissionError(errno.EACCES, "no"), ValueError("a"), StageFailed("b")):
        with pytest.raises(type(error)) as caught, disk_errors("a thing", tmp_path):
            raise error
        assert caught.value is error
