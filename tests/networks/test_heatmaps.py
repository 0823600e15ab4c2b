"""Landmarks as heatmaps: exact coordinates, both losses against their equations, and bounds of what decoding loses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.measure import label, regionprops

from lab.networks.heatmaps import (
    HALF,
    channel_ce,
    confidence,
    contour_centroids,
    decode,
    discs,
    gaussians,
    spatial_ce,
    to_frame,
    to_original,
)

SIDE, SIGMA = 48, 3.0


@pytest.fixture
def points() -> torch.Tensor:
    return 8 + (SIDE - 16) * torch.rand(4, 5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.double)


def test_there_and_back_to_a_millionth():
    size = torch.tensor([[1935, 2400], [256, 256], [3001, 17]])
    places = torch.rand(3, 7, 2, dtype=torch.double) * size[:, None]
    assert torch.allclose(to_original(to_frame(places, size, 256), size, 256), places, atol=1e-6, rtol=0)
    assert torch.equal(to_frame(places[1:2], size[1:2], 256), places[1:2])


def test_edges_and_middle_stay_edges_and_middle():
    size = torch.tensor([[1935, 2400]])
    for share in (0.0, 0.5, 1.0):
        place = torch.tensor([[[1935.0, 2400.0]]], dtype=torch.double) * share - 0.5
        assert torch.allclose(to_frame(place, size, 256), torch.tensor(256 * share - 0.5, dtype=torch.double))


def test_maps_and_discs(points):
    maps = gaussians(points, SIDE, SIGMA)
    y, x = np.mgrid[:SIDE, :SIDE]
    px, py = points[1, 2].tolist()
    distance = np.hypot(x - px, y - py)
    assert np.allclose(maps[1, 2], np.exp(-(distance**2) / (2 * SIGMA**2)))
    disc = discs(points, SIDE, SIGMA)
    assert np.array_equal(disc[1, 2], distance <= SIGMA * math.sqrt(2 * math.log(2)))
    assert disc.sum((2, 3)).mean() == pytest.approx(math.pi * (HALF * SIGMA) ** 2, rel=0.05)


def test_a_point_that_is_unknown_or_outside_has_no_map(points):
    points[0, 0] = torch.nan
    points[0, 1] = torch.tensor([-0.6, 5.0])
    points[0, 2] = torch.tensor([SIDE - 0.51, 5.0])
    assert (gaussians(points, SIDE, SIGMA)[0].amax((1, 2)) > 0).tolist() == [False, False, True, True, True]


def test_channel_cross_entropy_is_its_equation(points):
    z = torch.randn(4, 5, SIDE, SIDE, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    y = discs(points, SIDE, SIGMA)
    log_share = z.numpy() - np.log(np.exp(z.numpy()).sum(1, keepdims=True))
    assert float(channel_ce(z, y)) == pytest.approx(-(y.numpy() * log_share).sum() / (4 * SIDE * SIDE))
    z.requires_grad_()
    channel_ce(z, y).backward()
    outside = (y.sum(1, keepdim=True) == 0).expand_as(y)
    assert (z.grad[outside] == 0).all() and (z.grad[~outside] != 0).any()
    assert float(channel_ce(z[:, :1], y[:, :1]).detach()) == 0


def test_spatial_cross_entropy_is_its_equation(points):
    z = 300 * torch.randn(4, 5, SIDE, SIDE, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    y = gaussians(points, SIDE, SIGMA)
    flat, target = z.numpy().reshape(4, 5, -1), y.numpy().reshape(4, 5, -1)
    high = flat.max(2, keepdims=True)
    log_share = flat - high - np.log(np.exp(flat - high).sum(2, keepdims=True))
    each = -(target / target.sum(2, keepdims=True) * log_share).sum(2)
    assert float(spatial_ce(z, y)) == pytest.approx(each.mean())
    y[0, 3] = 0
    known = np.ones((4, 5), dtype=bool)
    known[0, 3] = False
    assert float(spatial_ce(z, y)) == pytest.approx(each[known].mean())
    assert float(spatial_ce(z, torch.zeros_like(y))) == 0


@pytest.mark.parametrize(("how", "bound"), [("argmax", 1e-3), ("soft_argmax", 0.04), ("contour", 0.25)])
def test_what_was_encoded_is_decoded(how, bound, points):
    logits = torch.log(gaussians(points, SIDE, SIGMA) + 1e-30).float() + 100
    found = decode(logits, how, spatial=True, sigma=SIGMA)
    assert (found - points).norm(dim=-1).max() < bound


@pytest.mark.parametrize("raw", [False, True])
def test_the_centroid_of_a_disc_is_within_half_a_pixel(raw, points):
    found = decode(discs(points, SIDE, SIGMA), "contour", spatial=False, sigma=SIGMA, raw=raw)
    assert (found - points).norm(dim=-1).max() < 0.5
    whole = points.round()
    found = decode(discs(whole, SIDE, SIGMA), "contour", spatial=False, sigma=SIGMA, raw=raw)
    assert torch.allclose(found.double(), whole, atol=1e-4)


def test_contours_are_those_of_scikit_image():
    scores = torch.rand(2, 3, 20, 24, generator=torch.Generator().manual_seed(3))
    scores = torch.nn.functional.avg_pool2d(scores, 5, 1, 2)
    found = contour_centroids(scores)
    for place in np.ndindex(2, 3):
        parts = regionprops(label(scores[place].numpy() >= 0.5 * float(scores[place].max()), connectivity=2))
        row, column = max(parts, key=lambda part: part.area).centroid
        assert found[place].tolist() == pytest.approx([column, row], abs=1e-4)


def test_the_larger_part_wins_over_the_higher():
    scores = torch.zeros(1, 1, 20, 20)
    scores[0, 0, 2:8, 3:9] = 0.6
    scores[0, 0, 15, 15] = 1.0
    assert contour_centroids(scores)[0, 0].tolist() == [5.5, 4.5]


@pytest.mark.parametrize("how", ["argmax", "soft_argmax", "contour"])
def test_what_is_not_there_is_not_found(how, points):
    logits = gaussians(points, SIDE, SIGMA).float()
    logits[0, 0], logits[1, 1, 4, 4], logits[2, 2, 0, 0] = 7.0, torch.nan, torch.inf
    found = decode(logits, how, spatial=True, sigma=SIGMA)
    lost = found.isnan().all(-1)
    assert lost.nonzero().tolist() == [[0, 0], [1, 1], [2, 2]] and lost.equal(found.isnan().any(-1))
    sure = confidence(logits, found, spatial=True, sigma=SIGMA)
    assert (sure[lost] == 0).all() and (sure[~lost] > 0).all()


def test_raw_logits_below_zero_are_lost_only_as_published(points):
    logits = discs(points, SIDE, SIGMA) - 3
    assert decode(logits, "contour", spatial=False, sigma=SIGMA, raw=True).isnan().all()
    found = decode(logits, "contour", spatial=False, sigma=SIGMA)
    assert (found - points).norm(dim=-1).max() < 0.5


@pytest.mark.parametrize("how", ["argmax", "soft_argmax", "contour"])
def test_a_corner_is_found(how):
    corner = torch.tensor([[[0.0, SIDE - 1.0]]])
    found = decode(100 * gaussians(corner, SIDE, SIGMA), how, spatial=True, sigma=SIGMA)
    assert (found - corner).norm() < 2.0 and (found >= -0.5).all()


def test_confidence_knows_sure_from_unsure(points):
    sharp = torch.log(gaussians(points, SIDE, SIGMA) + 1e-30).float()
    sure = confidence(sharp, points.float(), spatial=True, sigma=SIGMA)
    assert ((sure > 0.97) & (sure <= 1)).all()
    assert (confidence(0 * sharp, points.float(), spatial=True, sigma=SIGMA) < 0.2).all()
    apart = torch.tensor([[[10.0, 10.0], [30.0, 30.0]]])
    own = confidence(20 * discs(apart, SIDE, SIGMA), apart, spatial=False, sigma=SIGMA)
    assert (own > 0.99).all()
    swapped = confidence(20 * discs(apart, SIDE, SIGMA), apart.flip(1), spatial=False, sigma=SIGMA)
    assert (swapped < 0.01).all()
