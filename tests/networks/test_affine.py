"""Images and places are moved together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from lab.networks.affine import UNIFORMS, move_points, random_affine, warp
from lab.networks.heatmaps import decode, gaussians

OPTIONS = {"shift": 0.1, "degrees": 15.0, "scale": 0.2, "probability": 1.0}


@pytest.fixture
def uniforms() -> torch.Tensor:
    return torch.rand(6, UNIFORMS, generator=torch.Generator().manual_seed(0), dtype=torch.double)


def test_a_moved_blob_is_where_its_point_went(uniforms):
    points = 20 + 24 * torch.rand(6, 3, 2, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    maps = random_affine(uniforms, 64, **OPTIONS)
    moved = warp(gaussians(points, 64, 3.0), maps)
    found = decode(torch.log(moved + 1e-9), "argmax", spatial=True, sigma=3.0)
    assert (found - move_points(points, maps)).norm(dim=-1).max() < 0.15  # bilinear interpolation moves tops a little


def test_warping_is_that_of_scipy(uniforms):
    images = torch.rand(6, 1, 20, 20, generator=torch.Generator().manual_seed(2), dtype=torch.double)
    maps = random_affine(uniforms, 20, **OPTIONS)
    for image, moved, matrix in zip(images, warp(images, maps), maps.numpy(), strict=True):
        # scipy's matrix leads from the result back, in (row, column)
        back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
        rows = back[::-1][:, [1, 0, 2]]
        expected = affine_transform(image[0].numpy(), rows[:, :2], rows[:, 2], order=1, mode="nearest")
        assert np.allclose(moved[0], expected, atol=1e-6)


def test_its_ranges():
    low, high = torch.zeros(1, UNIFORMS, dtype=torch.double), torch.ones(1, UNIFORMS, dtype=torch.double)
    high[:, 0] = 0
    for uniforms, sign in ((low, -1), (high, 1)):
        maps = random_affine(uniforms, 50, shift=0.02, degrees=2, scale=0.1, probability=0.5)
        assert float(maps[0, :, :2].det().sqrt()) == pytest.approx(1 + sign * 0.1)
        middle = torch.full((1, 1, 2), 24.5, dtype=torch.double)
        assert (move_points(middle, maps) - middle).flatten().tolist() == pytest.approx([sign, sign])
        angle = torch.atan2(maps[0, 1, 0], maps[0, 0, 0])
        assert float(torch.rad2deg(angle)) == pytest.approx(2 * sign)


def test_rows_that_are_left_alone(uniforms):
    images = torch.rand(6, 2, 16, 16)
    uniforms[:, 0] = torch.tensor([0.1, 0.6, 0.2, 0.9, 0.5, 0.49])
    maps = random_affine(uniforms, 16, **{**OPTIONS, "probability": 0.5}).float()
    same = [torch.allclose(a, b, atol=1e-5) for a, b in zip(images, warp(images, maps), strict=True)]
    assert same == [False, True, False, True, True, False]
    points = torch.tensor([[[3.0, 4.0], [torch.nan, torch.nan]]]).expand(6, 2, 2)
    moved = move_points(points, maps)
    assert moved[:, 1].isnan().all() and torch.allclose(moved[1, 0], points[1, 0], atol=1e-5)


def test_the_border_is_repeated():
    uniforms = torch.tensor([[0.0, 1.0, 0.5, 0.5, 0.5]])
    maps = random_affine(uniforms, 10, shift=0.3, degrees=0, scale=0, probability=1)
    image = torch.arange(10.0).expand(1, 1, 10, 10)
    assert warp(image, maps)[0, 0, 0].tolist() == pytest.approx([0, 0, 0, 0, 1, 2, 3, 4, 5, 6], abs=1e-4)
