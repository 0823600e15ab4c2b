"""Drawn heads: anatomy where it should be, no two alike; and the brain mask, which is tried on them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from lab.data.scans.brain import brain_mask, otsu
from lab.data.scans.phantoms import draw_head

SHAPE = (48, 64, 64)
SPACING = (4.0, 4.0, 4.0)


@pytest.fixture(scope="module")
def heads():
    return [draw_head([0, number], SHAPE, lesions=number) for number in range(3)]


def test_a_head_is_bright_outside_dark_in_the_skull_and_structured_within(heads):
    for head in heads:
        outside = head.values[:4, :, 40:]
        assert outside.mean() < 0.05 and head.values.min() >= 0
        distance = ndimage.distance_transform_edt(~head.brain, sampling=SPACING)
        above = np.zeros(SHAPE, dtype=bool)
        above[:, :, 40:] = True
        skull = above & (distance > 3) & (distance < 8)
        assert np.median(head.values[skull]) < 0.5 * head.values[head.brain].mean()
        tones = head.values[head.brain]
        assert np.quantile(tones, 0.9) > 0.75 and 0.4 < np.median(tones) < 0.95
        assert 0.03 < (tones < 0.35).mean() < 0.4  # fluid
        assert 700 < head.brain.sum() * np.prod(SPACING) / 1000 < 2200  # ml


def test_halves_are_alike_but_not_the_same(heads):
    for head in heads:
        mirrored = head.values[::-1]
        agreement = np.corrcoef(
            ndimage.gaussian_filter(head.values, 2).ravel(), ndimage.gaussian_filter(mirrored, 2).ravel()
        )
        assert 0.85 < agreement[0, 1] < 0.999


def test_a_seed_is_a_head(heads):
    again = draw_head([0, 1], SHAPE, lesions=1)
    assert (again.values == heads[1].values).all()
    assert np.abs(heads[0].values - heads[2].values).mean() > 0.03
    assert np.corrcoef(heads[0].brain.ravel(), heads[2].brain.ravel())[0, 1] > 0.7


def test_a_seed_gives_the_same_head_at_every_resolution():
    coarse, fine = draw_head([5], (24, 32, 32), noise=0.0), draw_head([5], SHAPE, noise=0.0)
    averaged = fine.values.reshape(24, 2, 32, 2, 32, 2).mean(axis=(1, 3, 5))
    assert np.corrcoef(coarse.values.ravel(), averaged.ravel())[0, 1] > 0.85
    smooth = draw_head([5], (24, 32, 32), noise=0.0, fine=True)
    assert np.corrcoef(smooth.values.ravel(), averaged.ravel())[0, 1] > 0.97


def test_lesions_are_marked_and_differ_from_what_is_around(heads):
    assert not heads[0].lesion.any() and heads[2].lesion.sum() > heads[1].lesion.sum() > 0
    plain = draw_head([0, 2], SHAPE)
    changed = np.abs(plain.values - heads[2].values)
    assert changed[heads[2].lesion].mean() > 0.1
    assert changed[~ndimage.binary_dilation(heads[2].lesion, iterations=2)].max() < 0.02
    assert heads[2].brain[heads[2].lesion].mean() > 0.9


def test_the_brain_mask_finds_the_brain(heads):
    for head in heads:
        mask = brain_mask(head.values, SPACING)
        assert 2 * (mask & head.brain).sum() / (mask.sum() + head.brain.sum()) > 0.88
    assert not brain_mask(np.zeros(SHAPE), SPACING).any()
    unit = brain_mask(900 * heads[0].values, SPACING)
    assert (unit == brain_mask(heads[0].values, SPACING)).all()


def test_otsu_is_scikit_images():
    filters = pytest.importorskip("skimage.filters")
    values = np.concatenate([np.random.default_rng(0).normal(m, 0.1, 500) for m in (0, 1)])
    assert otsu(values) == pytest.approx(filters.threshold_otsu(values), abs=np.ptp(values) / 128)
