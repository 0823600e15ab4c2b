"""For all tests: runs go to a temporary folder, and parallel workers share the cores."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # before anything imports torch; commands that tests start inherit it
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """LAB_RUNS of this test, so that no test writes into the checkout."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("LAB_RUNS", str(folder))
    monkeypatch.delenv("LAB_TRACEBACK", raising=False)
    return folder
