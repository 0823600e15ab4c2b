"""What several commands share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from lab import env
from lab.config import resolve
from lab.config.schema import Experiment
from lab.stages.record import CONFIG, find_run


def open_run(name: str, runs_dir: Path | None, overrides: Sequence[str] = ()) -> tuple[Path, Experiment]:
    """A run's folder and its experiment, whose `runs_dir` is where the run was found."""
    path = find_run(name, runs_dir or env.RUNS.path())
    where = f"runs_dir={json.dumps(str(path.resolve().parent))}"
    return path, resolve(path / CONFIG, overrides=[*overrides, where]).experiment
