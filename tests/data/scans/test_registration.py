"""Rigid registration of two scans of a head, and whether its check tells good from bad."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lab.data.scans.phantoms import draw_head
from lab.data.scans.registration import Alignment, kept_alignment, register, resample
from lab.data.scans.volume import Volume
from lab.mri.rigid import move

pytest.importorskip("SimpleITK")

SHAPE, SPACING = (36, 48, 48), (16 / 3,) * 3


def scan(values: np.ndarray) -> Volume:
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = [-90, -120, -100]
    return Volume(values, affine, "scan")


@pytest.fixture(scope="module")
def pair() -> tuple[Volume, Volume]:
    """A head, and the same turned by 4 degrees about the vertical and moved by 3, -4 and 2 mm."""
    values = draw_head([1], SHAPE).values
    there = move(
        torch.from_numpy(values)[None, None], torch.tensor([[0.0, 0.0, 4.0]]), torch.tensor([[3.0, -4.0, 2.0]]), SPACING
    )
    return scan(values), scan(there.abs()[0, 0].numpy())


@pytest.fixture(scope="module")
def alignment(pair) -> Alignment:
    return register(*pair)


def test_the_motion_is_found(alignment):
    degrees = np.degrees(alignment.angles)
    assert np.abs(degrees[:2]).max() < 0.7 and abs(abs(degrees[2]) - 4) < 0.7
    assert np.abs(alignment.shift) == pytest.approx([3, 4, 2], abs=0.8)
    assert alignment.after > 0.95 > alignment.before + 0.1


def test_the_scan_is_laid_on_the_other(pair, alignment):
    still, moved = pair
    head = still.values > 0.1
    placed = resample(moved, still, alignment)
    assert placed.shape == still.values.shape
    error = np.abs(placed - still.values)[head].mean()
    assert error < 0.4 * np.abs(moved.values - still.values)[head].mean()
    assert alignment.doubt(0.6) == ""


def test_bad_alignments_are_doubted(pair, alignment):
    other = scan(draw_head([2], SHAPE).values[::-1, ::-1, ::-1].copy())
    assert "correlation within the head" in register(pair[0], other).doubt(0.6)
    assert "fell from 0.90 to 0.80" in replace(alignment, before=0.9, after=0.8).doubt(0.6)
    assert "turned by 57 degrees" in replace(alignment, angles=(1.0, 0.0, 0.0)).doubt(0.6)
    assert "moved by 50 mm" in replace(alignment, shift=(30.0, 40.0, 0.0)).doubt(0.6)


def test_an_alignment_is_remembered(pair, alignment, tmp_path, monkeypatch):
    path = tmp_path / "deep" / "pair.json"
    assert kept_alignment(path, *pair) == alignment
    monkeypatch.setattr("lab.data.scans.registration.register", lambda *_: pytest.fail("registered again"))
    assert kept_alignment(path, *pair) == alignment
