"""Optuna's journal file, made safe against a process that is killed at any moment.

Optuna's own lock is a file that has to be deleted. One killed process leaves it behind and everybody waits 30 s
before it is broken by force; with a relative path they wait for ever, as the link that it is then points nowhere.
And half a line at the end of the journal, which a kill or a full disk can leave, spoils the line that is appended to
it and with it the whole study. Here the system frees the lock, and whoever appends first removes the half line.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock
from optuna.storages.journal import JournalFileBackend


class Journal(JournalFileBackend):
    """One JSON object a line; read without a lock, as the reader leaves out a last line that is not complete."""

    def __init__(self, path: Path):
        super().__init__(str(path))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        with lock(self._path), self._path.open("r+b") as file:
            file.truncate(file.seek(_end_of_last_line(file)))
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())


def lock(path: Path) -> FileLock:
    """A lock beside that file, for a moment's work: the others ask often."""
    return FileLock(path.with_name(f"{path.name}.lock"), poll_interval=0.005)


def _end_of_last_line(file: BinaryIO) -> int:
    """Bytes up to and including the last line end."""
    size = file.seek(0, os.SEEK_END)
    if size:
        file.seek(size - 1)
        if file.read(1) != b"\n":
            file.seek(0)
            return file.read().rfind(b"\n") + 1
    return size
