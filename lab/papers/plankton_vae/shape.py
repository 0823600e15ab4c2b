"""Descriptors of a mask alone: geometry, Zernike moments, Fourier descriptors of the outline. scikit-image, mahotas."""

from __future__ import annotations

import numpy as np

GEOMETRY = (
    "contour_area",
    *(f"hu_{number}" for number in range(1, 8)),
    "pixel_area",
    "perimeter",
    "equivalent_diameter",
    "eccentricity",
    "minor_axis",
    "major_axis",
    "roundness",
    "box_occupancy",
    "compactness",
    "rectangularity",
    "perimeter_ratio",
    "aspect_ratio",
    "long_side",
    "short_side",
)
ZERNIKE = tuple(f"zernike_{number}" for number in range(2, 25))
FOURIER = tuple(f"fourier_{number}" for number in range(1, 10))

OUTLINE = 256
"""Points of an outline for its Fourier descriptors."""


def geometry(mask: np.ndarray) -> np.ndarray:
    """The 22 of `GEOMETRY`: lengths in pixels, areas in their squares.

    contour_area: inside the outline through pixel centres' midpoints. roundness: 4 pi area / perimeter^2. compactness:
    area^2 / (2 pi (mu20 + mu02)), 1 for a disc. rectangularity: area in the smallest turned box, whose sides the last
    three are of. perimeter_ratio: perimeter over that of the convex hull. eccentricity and axes: of the ellipse with
    the same second moments. Perimeters are Crofton's, which turning changes little.

    mask: bool (h, w), one object.
    """
    from skimage import measure
    from skimage.morphology import convex_hull_image

    inside = _cut(mask)
    found = measure.regionprops(inside.astype(np.uint8))[0]
    central = measure.moments_central(inside.astype(np.float64), order=3)
    # Without its symmetry hu_7 would change sign in a mirror image; the published code keeps the sign, and so do we.
    hu = measure.moments_hu(measure.moments_normalized(central, order=3))
    outline = contour(inside)
    area, pixels = _polygon_area(outline), float(inside.sum())
    perimeter = measure.perimeter_crofton(inside, directions=4)
    hull = measure.perimeter_crofton(np.pad(convex_hull_image(inside), 1), directions=4)
    long, short = smallest_box(outline)
    height, width = np.ptp(np.argwhere(inside), axis=0) + 1
    return np.array(
        [
            area,
            *hu,
            pixels,
            perimeter,
            np.sqrt(4 * area / np.pi),
            found.eccentricity,
            found.axis_minor_length,
            found.axis_major_length,
            4 * np.pi * area / perimeter**2,
            pixels / (height * width),
            pixels**2 / (2 * np.pi * max(central[2, 0] + central[0, 2], 1e-12)),
            area / max(long * short, 1e-12),
            perimeter / hull,
            long / max(short, 1e-12),
            long,
            short,
        ]
    )


def zernike(mask: np.ndarray) -> np.ndarray:
    """The 23 of `ZERNIKE`: magnitudes of Zernike moments up to degree 8, without the first two, which are those of any
    shape in its centre.

    The disc is around the centroid and holds all of the object, so that neither turn nor size changes them. (The 2020
    code took half of the crop's shorter side as radius, which depends on how images were cut.)
    """
    from mahotas.features import zernike_moments

    inside = _cut(mask)
    centre = np.argwhere(inside).mean(axis=0)
    radius = np.linalg.norm(np.argwhere(inside) - centre, axis=1).max() + 0.5
    return np.asarray(zernike_moments(inside.astype(np.float64), radius, degree=8, cm=tuple(centre))[2:])


def fourier(mask: np.ndarray) -> np.ndarray:
    """The 9 of `FOURIER`: magnitudes at frequencies 1 to 9 of the distance of the outline from its centre, over its
    mean; the outline is walked in steps of equal length.
    """
    outline = contour(_cut(mask))
    steps = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(outline, axis=0), axis=1))])
    where = np.linspace(0, steps[-1], OUTLINE, endpoint=False)
    points = np.stack([np.interp(where, steps, axis) for axis in outline.T], axis=1)
    distance = np.linalg.norm(points - points.mean(axis=0), axis=1)
    spectrum = np.abs(np.fft.rfft(distance))
    return np.asarray(spectrum[1:10] / max(spectrum[0], 1e-12))


def contour(mask: np.ndarray) -> np.ndarray:
    """The longest closed outline, (points, 2), its first point again at the end. mask has an empty border."""
    from skimage.measure import find_contours

    return np.asarray(max(find_contours(mask.astype(np.float64), 0.5), key=len))


def smallest_box(points: np.ndarray) -> tuple[float, float]:
    """Long and short side of the turned box of least area around points (n, 2); one side is on their hull."""
    from scipy.spatial import ConvexHull

    corners = points[ConvexHull(points).vertices]
    edges = np.roll(corners, -1, axis=0) - corners
    along = edges / np.linalg.norm(edges, axis=1, keepdims=True)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    sides = np.stack([np.ptp(corners @ along.T, axis=0), np.ptp(corners @ across.T, axis=0)], axis=1)
    best = sides[sides.prod(axis=1).argmin()]
    return float(best.max()), float(best.min())


def _cut(mask: np.ndarray) -> np.ndarray:
    """The object's box with two empty pixels around."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.pad(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 2)


def _polygon_area(points: np.ndarray) -> float:
    y, x = points.T
    return float(abs((x[:-1] * y[1:] - x[1:] * y[:-1]).sum()) / 2)
