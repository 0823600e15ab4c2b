"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lab.errors import StageFailed


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to disk, then give it its name."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(draft)
        flush(draft)
        os.replace(draft, path)
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    flush(path.parent)


def write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=1, sort_keys=False, allow_nan=False) + "\n"
    write_atomically(path, lambda draft: draft.write_text(text))


def sha256(path: Path) -> str:
    """Of a file's content, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def flush(path: Path) -> None:
    """fsync a file or a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def disk_errors(what: str, where: Path) -> Iterator[None]:
    """Turn a full disk into one clear line.

    Raises:
        StageFailed: when the block met a full disk, an exceeded quota or file size limit.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, StageFailed) or not _is_full(error):
            raise
        raise StageFailed(
            f"no space left on the disk while writing {what} under {where}; nothing was damaged: "
            "free some space and run the same command again"
        ) from error


def _is_full(error: BaseException | None) -> bool:
    """Whether a full disk is behind an error.

    torch raises an error of its own while it handles the system's; safetensors keeps only the system's text.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        if any(text in str(error) for text in ("No space left", "File too large", "quota exceeded")):
            return True
        error = error.__cause__ or error.__context__
    return False
