"""Running experiments of the toy plugin, in this process and in others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import registry
from lab.cli import main
from lab.stages.artefact import CURVES, WEIGHTS, Artefact
from lab.stages.record import run_artefact

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "tests" / "toy_plugin"


class Killed(BaseException):
    """What a SIGKILL is to a test that goes on in the same process."""


@contextmanager
def installed() -> Iterator[None]:
    """The toy plugin as an installed package of this process; its SIGKILL raises `Killed`."""

    system_kill = os.kill

    def kill(pid: int, signum: int) -> None:
        if signum == signal.SIGKILL and pid == os.getpid():
            raise Killed
        system_kill(pid, signum)

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PLUGIN)
        clear()
        patch.setattr(os, "kill", kill)
        yield
    clear()


def clear() -> None:
    registry.plugins.cache_clear()
    registry._table.cache_clear()


def fit(runs: Path, *overrides: str, config: str | Path = "toy_line") -> int:
    """Exit status of `lab fit` in this process."""
    return main(["fit", "--config", str(config), f"runs_dir={runs}", "trainer.accelerator=cpu", *overrides])


def start(runs: Path, *overrides: str, config: str | Path = "toy_line") -> subprocess.Popen[str]:
    """`lab fit` in a process of its own; its stderr goes to its stdout."""
    command = [sys.executable, "-m", "lab", "fit", "--config", str(config), f"runs_dir={runs}"]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{PLUGIN}", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, "trainer.accelerator=cpu", *overrides],
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def finished(process: subprocess.Popen[str], timeout: float = 120) -> tuple[int, str]:
    """Exit status and output; a process that takes too long is killed."""
    try:
        output, _ = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return process.returncode, output


def artefact(runs: Path, stage: str) -> Artefact:
    """Of the only run in a folder."""
    (run,) = (path.parent for path in runs.glob("*/run.json"))
    return run_artefact(run, stage)


def outcome(runs: Path, stage: str) -> dict[str, object]:
    """Everything that a fit leaves, to be compared with `==`."""
    made = artefact(runs, stage)
    files = {name: (made.path / name).read_bytes() for name in (CURVES, WEIGHTS)}
    return {**made.metrics, **files}


def steps(mark: Path) -> list[int]:
    """Optimiser steps that were taken, in the order of time."""
    return [int(line) for line in mark.read_text().split()] if mark.exists() else []
