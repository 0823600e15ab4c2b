from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.config.resolve import find_experiment
from lab.sweeps.plan import Request
from tests.stages.toy import PLUGIN, ROOT, installed


@pytest.fixture(scope="module", autouse=True)
def toy() -> Iterator[None]:
    """The toy plugin is installed, also for the processes that a sweep starts."""
    with installed(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{PLUGIN}")
        yield


@pytest.fixture
def ask(tmp_path: Path):
    """A request for toy experiments; what is given replaces the defaults."""

    def made(*overrides: str, config: str | Path = "toy_line", **options) -> Request:
        runs = (f"runs_dir={tmp_path / 'runs'}", "trainer.accelerator=cpu")
        return Request((str(find_experiment(config).resolve()),), overrides=(*runs, *overrides), **options)

    return made
