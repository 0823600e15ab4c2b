"""Small stand-ins of the three sets, drawn once for all tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.data.landmarks.cephalometric import CephalometricLandmarks, CephalometricLandmarksConfig
from lab.data.landmarks.chest import ChestLandmarks, ChestLandmarksConfig
from lab.data.landmarks.hand import HandLandmarks, HandLandmarksConfig

SETS: dict[str, tuple[Any, Any]] = {
    "chest": (ChestLandmarks, ChestLandmarksConfig),
    "cephalo": (CephalometricLandmarks, CephalometricLandmarksConfig),
    "hand": (HandLandmarks, HandLandmarksConfig),
}
COUNT = 13


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with 13 images of each set."""
    root = tmp_path_factory.mktemp("drawn")
    for dataset, config in SETS.values():
        dataset.write_stand_in(root, config(stand_in_size=COUNT))
    return root


@pytest.fixture
def root(drawn: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(drawn, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., Any]:
    """Opens a set by its folder's name, with options."""

    def build(name: str, root: Path, **options: Any) -> Any:
        dataset, config = SETS[name]
        return dataset(config(root=str(root), **{"image_size": 32, **options}), tmp_path / "cache")

    return build
