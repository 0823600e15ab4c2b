"""One miniature of MR-ART for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("nibabel")

from lab.data.scans.mr_art import MrArt, MrArtConfig
from lab.mri.config import MotionConfig


@pytest.fixture(scope="session")
def mr_art(tmp_path_factory) -> Path:
    """The root of a stand-in: 8 heads of 36 x 48 x 48 voxels, three scans each."""
    folder = tmp_path_factory.mktemp("mr_art")
    MrArt.write_stand_in(folder, MrArtConfig(stand_in_subjects=8, stand_in_size=48))
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    """Shared, so that slices are cut and pairs registered once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def opened(mr_art, cache):
    """Open the stand-in with other options."""

    def open_(**options) -> MrArt:
        options = {"root": str(mr_art), "image_size": 48, "val_fraction": 0.25, "test_fraction": 0.25, **options}
        return MrArt(MrArtConfig(**options), cache)

    return open_


@pytest.fixture
def simulated() -> MotionConfig:
    return MotionConfig("line_mixing", severity="heavy")
