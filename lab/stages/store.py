"""The artefact store: finished stage outputs by key, work in progress, and the locks between runs."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lab.stages.artefact import MANIFEST, Artefact
from lab.stages.files import flush, sha256, write_json


class Store:
    """A folder shared by all runs.

    store/<key>/   finished artefacts, complete and read-only by convention
    work/<key>/    a stage in progress: recovery checkpoint, written batches; survives a kill
    locks/<key>    held while a stage is computed; the system frees it when its process dies
    cache/         decoded images, file hashes, stand-ins: can be deleted at any time
    """

    def __init__(self, root: Path):
        self.root = root

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def path(self, key: str) -> Path:
        return self.root / "store" / key

    def get(self, key: str) -> Artefact | None:
        """The finished artefact of that key, if there is one."""
        path = self.path(key)
        return Artefact(path) if (path / MANIFEST).exists() else None

    def work(self, key: str) -> Path:
        """Working folder of a stage; what an interrupted run left there is kept."""
        path = self.root / "work" / key
        path.mkdir(parents=True, exist_ok=True)
        return path

    @contextmanager
    def lock(self, key: str, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the right to compute a stage. While another process holds it, `waiting` is called about once a second;
        it may raise to give up."""
        path = self.root / "locks" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        while True:
            try:
                lock.acquire(timeout=1.0)
                break
            except Timeout:
                waiting()
        try:
            yield
        finally:
            lock.release()

    def publish(self, key: str, draft: Path, manifest: dict[str, Any]) -> Artefact:
        """Turn a folder of finished files into the artefact of `key`: hashed, flushed, renamed."""
        files = {}
        for path in sorted(p for p in draft.rglob("*") if p.is_file()):
            files[path.relative_to(draft).as_posix()] = {"size": path.stat().st_size, "sha256": sha256(path)}
            flush(path)
        for folder in sorted({p.parent for p in draft.rglob("*")}, reverse=True):
            flush(folder)
        write_json(draft / MANIFEST, {"format": 1, "key": key, **manifest, "files": files})
        final = self.path(key)
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists():  # without a manifest: not ours to trust
            shutil.rmtree(final)
        os.rename(draft, final)
        flush(final.parent)
        shutil.rmtree(self.root / "work" / key, ignore_errors=True)
        return Artefact(final)


def now() -> str:
    """UTC, ISO 8601, seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
