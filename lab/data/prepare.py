"""Where a data set's files are: the user's own, or a generated stand-in. No torch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from filelock import FileLock

from lab.config.fields import as_plain
from lab.data.base import DataConfig

STAND_IN_VERSION = 2
"""Raised when a generator changes what it draws."""


def stand_in_folder(dataset_class: type[Any], config: DataConfig, cache: Path) -> Path:
    """Folder of the stand-in for these options; it may not exist yet."""
    chosen = getattr(dataset_class, "stand_in_options", lambda options: as_plain(options, keep_runtime=False))
    options = json.dumps([STAND_IN_VERSION, chosen(config)], sort_keys=True)
    digest = hashlib.sha256(options.encode()).hexdigest()[:12]
    return cache / "stand_in" / f"{dataset_class.__name__.lower()}-{digest}"


def prepared(dataset_class: type[Any], config: DataConfig, cache: Path) -> DataConfig:
    """The options with `root` set to existing files; a stand-in is generated once and then shared.

    Raises:
        DataError: the data set is not there.
    """
    if not config.stand_in:
        return config
    folder = stand_in_folder(dataset_class, config, cache)
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not folder.exists():
                draft = folder.with_suffix(f".{os.getpid()}")
                shutil.rmtree(draft, ignore_errors=True)
                dataset_class.write_stand_in(draft, config)
                draft.rename(folder)
    return dataclasses.replace(config, root=str(folder), stand_in=False)
