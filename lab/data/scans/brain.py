"""Where the brain is in a T1-weighted volume, by thresholds and morphology. NumPy and SciPy.

Good enough to choose slices and to keep air and scalp out of a metric; not a segmentation. For that, use SynthStrip or
the like and give the scans without skull.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

COARSE = 2.0
"""mm: voxels are averaged to about this size first. Finer ones change the mask little and cost much."""
GAP = 3.0
"""mm: about half of what the bridges between brain and scalp (vessels, nerves) are across."""
SULCUS = 9.0
"""mm: how far from tissue a fold filled with fluid still belongs to the brain."""
HEIGHT = 150.0
"""mm: from the crown of the head to below the cerebellum; what is lower is neck."""

TISSUE = 0.45
"""Times the brightness of white matter: between fluid and bone on one side and grey matter on the other."""


def brain_mask(values: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """bool (X, Y, Z): the largest bright piece that is left when everything thin is worn away, and what it encloses.

    values: real (X, Y, Z), brighter is more tissue. Empty when nothing is left.
    """
    factors = [max(1, int(COARSE // space)) for space in spacing]
    coarse = _averaged(values.astype(np.float32), factors)
    sides = [space * factor for space, factor in zip(spacing, factors, strict=True)]
    gap = max(GAP, max(sides))  # at least the outermost voxels are worn away
    top = np.percentile(coarse, 99)
    head = coarse > 0.1 * top
    if top <= 0 or not head.any():
        return np.zeros(values.shape, dtype=bool)
    bright = coarse[coarse > otsu(coarse[head])]
    tissue = coarse > TISSUE * np.median(bright)
    crown = np.flatnonzero(head.any(axis=(0, 1)))[-1]
    tissue[:, :, : max(0, crown - round(HEIGHT / sides[2]))] = False
    core = ndimage.distance_transform_edt(tissue, sampling=sides) > gap
    pieces, count = ndimage.label(core)
    if count == 0:
        return np.zeros(values.shape, dtype=bool)
    largest = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    grown = ndimage.distance_transform_edt(~largest, sampling=sides) <= gap + max(sides) / 2
    outside = ndimage.distance_transform_edt(~grown, sampling=sides) > SULCUS
    mask = ndimage.distance_transform_edt(~outside, sampling=sides) > SULCUS
    mask = ndimage.binary_fill_holes(mask | grown)
    return _enlarged(mask, factors, values.shape)


def otsu(values: np.ndarray, bins: int = 256) -> float:
    """The threshold that leaves the least variance within the two classes (Otsu 1979)."""
    counts, edges = np.histogram(values, bins=bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts), counts.sum() - np.cumsum(counts)
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1:][np.nanargmax(between[:-1])])


def _averaged(values: np.ndarray, factors: list[int]) -> np.ndarray:
    for axis, factor in enumerate(factors):
        if factor > 1:
            cut = np.take(values, range(values.shape[axis] // factor * factor), axis)
            parts = [n // factor if place == axis else n for place, n in enumerate(cut.shape)]
            parts.insert(axis + 1, factor)
            values = cut.reshape(parts).mean(axis + 1)
    return values


def _enlarged(mask: np.ndarray, factors: list[int], shape: tuple[int, ...]) -> np.ndarray:
    for axis, factor in enumerate(factors):
        mask = mask.repeat(factor, axis)
    missing = [(0, n - have) for n, have in zip(shape, mask.shape, strict=True)]
    return np.pad(mask, missing)
