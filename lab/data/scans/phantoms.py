"""Drawn heads, T1-weighted: scalp, skull, folded cortex, white matter, ventricles, cerebellum, face; no two alike.

Not anatomy: enough of its structure (edges at all scales, symmetry with differences, dark fluid in bright tissue) that
motion artifacts look and act as they do on a head. NumPy and SciPy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.interpolate import make_interp_spline

FIELD = (192.0, 256.0, 256.0)
"""Field of view in mm along x (to the right), y (to the front), z (up): MR-ART's."""

AIR, SKULL, FLUID, GREY, WHITE, FAT, MUSCLE = 0.0, 0.07, 0.13, 0.56, 0.86, 1.0, 0.32
"""T1-weighted intensities, on a scale where fat is 1."""


@dataclass(frozen=True)
class Head:
    """values: float32 (X, Y, Z), at least 0, in the order right, front, up. brain, lesion: bool, same shape."""

    values: np.ndarray
    brain: np.ndarray
    lesion: np.ndarray


def draw_head(
    seed: list[int], shape: tuple[int, int, int], *, lesions: int = 0, noise: float = 0.012, fine: bool = False
) -> Head:
    """A head in `FIELD`, sampled at `shape`. A seed gives the same head at every resolution, as far as voxels can show.

    lesions: how many ellipsoids, brighter or darker than white matter, lie in the brain (`Head.lesion`).
    noise: standard deviation of the Rician noise.
    fine: average each voxel over 2 x 2 x 2 samples, as a scanner does; takes eight times as long.
    """
    samples = (2 * shape[0], 2 * shape[1], 2 * shape[2]) if fine else shape
    values, brain, lesion = _draw(seed, samples, lesions)
    if fine:
        values, brain, lesion = _halved(values), _halved(brain) >= 0.5, _halved(lesion) >= 0.5
    waves = np.random.default_rng([*seed, 2]).normal(0, noise, (2, *shape))
    return Head(np.hypot(values + waves[0], waves[1]).astype(np.float32), brain, lesion)


def _halved(values: np.ndarray) -> np.ndarray:
    x, y, z = (n // 2 for n in values.shape)
    return np.asarray(values.reshape(x, 2, y, 2, z, 2).mean(axis=(1, 3, 5)))


def _draw(seed: list[int], shape: tuple[int, int, int], lesions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values without noise, where the brain is, and where the lesions are."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*_axes(shape), indexing="ij", sparse=True)
    x, y, z = (along + rng.uniform(2, 4) * _field(rng, shape, 80.0) for along in (x, y, z))
    tilt = np.float32(np.radians(rng.normal(0, 2.5)))
    x, z = x * np.cos(tilt) - z * np.sin(tilt), x * np.sin(tilt) + z * np.cos(tilt)

    # Distance in mm to the brain's surface, positive inside; the bottom is flat, the front narrower than the back.
    wide, long, high = rng.normal(66, 2.5), rng.normal(84, 3), rng.normal(66, 2.5)
    flat = np.where(z < 0, np.float32(1.25), np.float32(1))
    depth = _solid(x / (wide * (1 - 0.0009 * y)), y / long, z * flat / high, 2.2) * (wide + high) / 2
    halves = ((x - side * 22) / 29 for side in (-1, 1))
    cerebellum = np.maximum(*(_solid(half, (y + 40) / 27, (z + 45) / 23, 2.2) for half in halves))
    head = np.maximum(depth + 12.5, 27 * cerebellum + 13) + _field(rng, shape, 60.0)
    folds = _field(rng, shape, 13.0)
    fine = _field(rng, shape, 6.0)
    values = np.full(shape, AIR, dtype=np.float32)

    # Face and neck below the brain, drawn first so that the head covers them.
    face = _solid(x / 54, (y - 34) / 56, (z + 66) / 56, 2.6)
    neck = _solid(x / 56, (y + 26) / 48, (z + 106) / 66, 2.6)
    flesh = np.maximum(face * 55, neck * 48)
    _paint(values, flesh > 0, FAT * 0.85)
    _paint(values, flesh > 6, MUSCLE + 0.1 * folds + 0.04 * fine)
    for side in (-1, 1):
        _paint(values, _solid((x - side * 19) / 14, (y - 52) / 20, (z + 62) / 15, 2) > 0, SKULL)
    _paint(values, _solid(x / 8, (y - 62) / 24, (z + 74) / 20, 2.5) > 0, AIR)
    _paint(values, _solid(x / 22, (y - 30) / 34, (z + 104) / 10, 2.2) > 0, MUSCLE * 1.25)
    _paint(values, _solid(x / 13, (y + 36) / 12, (z + 105) / 50, 3) > 0, WHITE * 0.7)
    _paint(values, _solid(x / 8, (y + 36) / 7, (z + 105) / 60, 3) > 0, GREY)

    scalp = rng.uniform(4.0, 6.0)
    outside = flesh < 6
    _paint(values, (head > 0) & outside, FAT * rng.uniform(0.85, 1.05))
    _paint(values, (head > scalp) & (outside | (z > -62)), SKULL)
    _paint(values, (head > scalp + 6) & (z > -66), MUSCLE + 0.1 * folds)
    _paint(values, (head > scalp + 2) & (head < scalp + 3.5) & outside & (fine > 0), 0.3)  # marrow
    for side in (-1, 1):
        eye = _solid((x - side * 31) / 12.5, (y - 78) / 12.5, (z + 34) / 12.5, 2)
        _paint(values, _solid((x - side * 30) / 19, (y - 66) / 26, (z + 34) / 17, 2) > 0, FAT * 0.8)
        _paint(values, eye > 0, MUSCLE)
        _paint(values, eye > 0.12, FLUID * 1.2)

    # The brain: white matter, and a ribbon of grey matter along its surface and along the sulci, which are filled with
    # fluid. Sulci are where a random field is 0, down to a depth that varies; so are the fissures, at known places.
    reach = rng.uniform(15, 19) + 4 * _field(rng, shape, 30.0)
    sulcus = 4.2 * np.abs(folds + 0.25 * fine) + np.clip(depth - reach, 0, None)
    midline = np.abs(x + 0.6 * folds) + np.clip(depth - 26, 0, None) + np.clip(-8 - z, 0, None)
    sylvian = (
        np.abs(z + 8 - 0.35 * y + 1.5 * folds) + np.clip(np.abs(y - 8) - 26, 0, None) + np.clip(depth - 24, 0, None)
    )
    crease = np.minimum(np.minimum(sulcus, midline), sylvian)
    ribbon = rng.uniform(2.8, 3.6)
    inside = depth > 0
    _paint(values, (depth > -2) | (cerebellum > -0.08), FLUID)
    _paint(values, inside, GREY + 0.03 * fine)
    _paint(values, inside & (depth > ribbon) & (crease > ribbon + 0.7), WHITE + 0.015 * fine)
    _paint(values, inside & (crease < 1.0), FLUID + 0.05)

    # Deep grey matter and ventricles.
    size = rng.uniform(0.8, 1.5)
    for side in (-1, 1):
        tone = GREY + rng.uniform(0.04, 0.1)
        _paint(values, _solid((x - side * 11) / 9, (y + 8) / 15, (z - 4) / 10, 2.2) > 0, tone)
        _paint(values, _solid((x - side * 25) / 6.5, (y - 8) / 19, (z - 3) / 10, 2.2) > 0, tone - 0.06)
        _paint(values, _solid((x - side * (13 + 0.1 * y)) / 5, (y - 14) / 17, (z - 15) / 8, 2) > 0, tone - 0.04)
        bow = 15 - 0.006 * (y - 5) ** 2
        aside = side * (7.5 + 0.0022 * (y - 12) ** 2 + 2)
        wall = rng.uniform(0.85, 1.15) * size
        _paint(
            values,
            _solid((x - aside) / (5.5 * wall), (y + 4) / (36 + 4 * size), (z - bow) / (7.5 * wall), 2) > 0,
            FLUID,
        )
        horn = _solid((x - side * 24) / (4 * wall), (y + 30 - 0.3 * z) / 15, (z + 2) / (11 * wall), 2)
        _paint(values, horn > 0, FLUID)
    _paint(values, _solid(x / 30, (y - 2) / 40, (z - 24 + 0.005 * (y - 5) ** 2) / 3.5, 2.5) > 0, WHITE * 1.02)
    _paint(values, _solid(x / (2.2 * size), (y + 4) / 14, (z - 1) / 10, 2) > 0, FLUID)

    # Cerebellum and brain stem.
    leaves = np.sin((0.9 * (z + 47) + 0.35 * (y + 40) + 1.5 * folds + 0.012 * x**2) * 2 * np.pi / 6.5)
    _paint(values, cerebellum > 0, GREY + 0.09 * leaves)
    _paint(values, cerebellum > 0.38 + 0.12 * leaves, WHITE * 0.97)
    stem = _solid(x / (14 - 0.06 * (z + 40)), (y + 10) / (13 - 0.06 * (z + 40)), (z + 46) / 34, 3)
    _paint(values, _solid(x / 22, (y + 10) / 22, (z + 46) / 22, 2.5) > 0.15, FLUID)
    _paint(values, stem > 0, WHITE * 0.93)
    _paint(values, _solid(x / 5.5, (y + 25) / 4, (z + 46) / 11, 2) > 0, FLUID)

    brain = (inside & (z > -40 - 0.1 * y)) | (cerebellum > 0) | (stem > 0)
    lesion = np.zeros(shape, dtype=bool)
    spots = np.random.default_rng([*seed, 1])
    for _ in range(lesions):
        lesion |= _lesion(values, (x, y, z), depth, spots)

    values = ndimage.gaussian_filter(values, [0.35 * n / f for n, f in zip(shape, FIELD, strict=True)])
    values *= np.exp(0.1 * _field(rng, shape, 70.0))  # uneven coils
    return values, brain, lesion


def _lesion(values: np.ndarray, at: tuple[np.ndarray, ...], depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint an ellipsoid of 4 to 9 mm (radius) into the cerebrum and return where it is."""
    side = rng.choice([-1, 1])
    centre = (side * rng.uniform(22, 44), rng.uniform(-45, 45), rng.uniform(0, 34))
    radii = rng.uniform(4, 9, 3)
    x, y, z = ((along - c) / r for along, c, r in zip(at, centre, radii, strict=True))
    where = (_solid(x, y, z, 2) > 0) & (depth > 4)
    _paint(values, where, WHITE * rng.choice([0.5, 0.72, 1.22]))
    return where


def _axes(shape: tuple[int, int, int]) -> list[np.ndarray]:
    """Coordinates in mm of the voxels; 0 is the middle of the brain, 30 mm above that of the field of view."""
    axes = [(((np.arange(n) + 0.5) / n - 0.5) * f).astype(np.float32) for n, f in zip(shape, FIELD, strict=True)]
    axes[2] -= 30
    return axes


def _solid(x: np.ndarray, y: np.ndarray, z: np.ndarray, power: float) -> np.ndarray:
    """1 in the middle of a rounded box with radii 1 (an ellipsoid for power 2), 0 on its surface, negative outside."""
    return np.asarray(1 - (np.abs(x) ** power + np.abs(y) ** power + np.abs(z) ** power) ** (1 / power))


def _paint(values: np.ndarray, where: np.ndarray, tone: np.ndarray | float) -> None:
    np.copyto(values, tone, where=np.broadcast_to(where, values.shape), casting="same_kind")


def _field(rng: np.random.Generator, shape: tuple[int, int, int], scale: float) -> np.ndarray:
    """Smooth random field, mean 0 and standard deviation about 1, with features of `scale` mm: float32 (X, Y, Z).

    A cubic spline over random numbers on a grid of half that distance, so it is the same at every resolution.
    """
    grid = [round(2 * f / scale) + 4 for f in FIELD]
    field: np.ndarray = ndimage.gaussian_filter(rng.standard_normal(grid, dtype=np.float32), 0.8, mode="nearest")
    field /= field.std()
    for axis, (knots, size) in enumerate(zip(grid, shape, strict=True)):
        place = (np.arange(size) + 0.5) / size * (knots - 3) + 1
        weights = make_interp_spline(np.arange(knots), np.eye(knots), k=3)(place).astype(np.float32)
        field = np.moveaxis(np.tensordot(weights, field, axes=(1, axis)), 0, axis)
    return field
