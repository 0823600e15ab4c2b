"""A drawn x-ray film: shapes add up what rays pass through, developing gives the picture. NumPy, SciPy and Pillow."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import gaussian_filter, zoom

Path = Sequence[tuple[float, float]] | np.ndarray
Place = Callable[[np.ndarray], np.ndarray]
"""From a drawing's own units to pixels of the film, (k, 2) to (k, 2)."""
FINE = 2
"""Outlines are drawn so many times larger and then shrunk, so that edges don't have steps."""


class Film:
    """What lies between source and film, as optical density float32 (height, width); 1 lets exp(-1) of the rays pass.

    Places are (x, y) in pixels; whole numbers are pixel centres.
    """

    def __init__(self, width: int, height: int):
        self.width, self.height = width, height
        self.density = np.zeros((height, width), dtype=np.float32)

    def tube(
        self, path: Path, radius: float | Sequence[float], density: float, hollow: float = 0.0, marrow: float = 0.6
    ) -> None:
        """A round rod along a line: a bone, a rib.

        Rays through its middle gather `density`. Of the share `hollow` of the radius, `marrow` is missing, so that the
        edges of a bone are bright, as its cortex is.

        Args:
            path: corners of the line, (k, 2).
            radius: pixels, for all corners or for each.
        """
        found = self._chords(np.asarray(path, dtype=float), radius, hollow, marrow)
        if found is not None:
            box, chord, widest = found
            self.density[box] += (density / (2 * widest)) * chord

    def limb(self, parts: Sequence[tuple[Path, float | Sequence[float]]], density: float) -> None:
        """Rods that are one body of soft tissue: where they overlap, the thickest counts. `density` at its thickest."""
        thickness = np.zeros_like(self.density)
        largest = 1e-6
        for path, radius in parts:
            found = self._chords(np.asarray(path, dtype=float), radius, 0.0, 0.0)
            if found is not None:
                box, chord, widest = found
                thickness[box] = np.maximum(thickness[box], chord)
                largest = max(largest, 2 * widest)
        self.density += (density / largest) * thickness

    def _chords(
        self, path: np.ndarray, radius: float | Sequence[float], hollow: float, marrow: float
    ) -> tuple[tuple[slice, slice], np.ndarray, float] | None:
        """Length of the rays inside a rod, over the box that holds it, and its largest radius; None if outside."""
        radii = np.broadcast_to(np.asarray(radius, dtype=float), (len(path),))
        widest = float(radii.max())
        box = self._box(path, widest)
        if box is None:
            return None
        chord = np.zeros((box[0].stop - box[0].start, box[1].stop - box[1].start), dtype=np.float32)
        for k in range(len(path) - 1):
            own = self._box(path[k : k + 2], widest)
            if own is None:
                continue
            y, x = (axis.astype(np.float32) for axis in np.ogrid[own])
            start, along = path[k], path[k + 1] - path[k]
            share = ((x - start[0]) * along[0] + (y - start[1]) * along[1]) / max(float(along @ along), 1e-9)
            share = share.clip(0, 1)
            away = (x - start[0] - share * along[0]) ** 2 + (y - start[1] - share * along[1]) ** 2
            r = radii[k] + share * (radii[k + 1] - radii[k])
            inside = 2 * np.sqrt((r**2 - away).clip(0))
            if hollow:
                inside = inside - 2 * marrow * np.sqrt(((hollow * r) ** 2 - away).clip(0))
            place = tuple(slice(o.start - b.start, o.stop - b.start) for o, b in zip(own, box, strict=True))
            chord[place] = np.maximum(chord[place], inside)
        return box, chord, widest

    def _box(self, path: np.ndarray, around: float) -> tuple[slice, slice] | None:
        """Rows and columns that hold a line and its surroundings; None where that is outside the film."""
        low = np.floor(path.min(0) - around - 1).astype(int).clip(0)
        high = np.minimum(np.ceil(path.max(0) + around + 2).astype(int), (self.width, self.height))
        return None if (low >= high).any() else (slice(low[1], high[1]), slice(low[0], high[0]))

    def ball(
        self, centre: tuple[float, float], axes: tuple[float, float], density: float, *, turn: float = 0.0,
        shell: float = 0.0,
    ) -> None:  # fmt: skip
        """An ellipsoid; with `shell` (share of the axes) hollow, as a skull is. turn: radians, clockwise."""
        y, x = np.mgrid[: self.height, : self.width].astype(np.float32)
        x, y = x - centre[0], y - centre[1]
        u = (x * np.cos(turn) + y * np.sin(turn)) / axes[0]
        v = (-x * np.sin(turn) + y * np.cos(turn)) / axes[1]
        away = u**2 + v**2
        chord = np.sqrt((1 - away).clip(0))
        if shell:
            chord = chord - (1 - shell) * np.sqrt((1 - away / (1 - shell) ** 2).clip(0))
            chord = chord / np.sqrt(1 - (1 - shell) ** 2)  # the edge is the thickest place
        self.density += density * chord

    def region(self, outline: Path, softness: float = 0.0) -> np.ndarray:
        """Cover float32 (height, width) in [0, 1] of a closed outline, its edge `softness` pixels wide."""
        sheet = Image.new("L", (FINE * self.width, FINE * self.height))
        corners = [(FINE * (x + 0.5), FINE * (y + 0.5)) for x, y in np.asarray(outline, dtype=float)]
        ImageDraw.Draw(sheet).polygon(corners, fill=255)
        small = sheet.resize((self.width, self.height), Image.Resampling.BOX)
        if softness:
            small = small.filter(ImageFilter.GaussianBlur(float(softness)))
        return np.asarray(small, dtype=np.float32) / 255

    def slab(self, outline: Path, density: float, softness: float = 0.0) -> None:
        """A flat body of that outline; a negative density is a cavity."""
        self.density += density * self.region(outline, softness)

    def develop(self, rng: np.random.Generator, *, letter: str = "") -> np.ndarray:
        """The picture, uint8 (height, width), bone bright: exposure, scatter, an uneven field, noise and collimator.

        letter: of the marker of lead in a corner, as radiographers put it.
        """
        density = self.density.clip(0) * rng.uniform(0.85, 1.2)
        density = density * (1 + 0.05 * _clouds(density.shape, rng))  # bodies aren't homogeneous
        dose = np.exp(-density)
        dose = gaussian_filter(dose, rng.uniform(0.5, 1.0))
        scatter = gaussian_filter(dose[::4, ::4], 0.02 * self.height)
        dose = dose + rng.uniform(0.01, 0.05) * zoom(scatter, np.divide(dose.shape, scatter.shape), order=1)
        y, x = np.mgrid[-1 : 1 : self.height * 1j, -1 : 1 : self.width * 1j]
        slope = rng.normal(0, 0.05, 2)
        dose = dose * (1 + slope[0] * x + slope[1] * y - rng.uniform(0, 0.12) * (x**2 + y**2))
        grain = gaussian_filter(rng.standard_normal(dose.shape), 0.6)
        dose = dose + rng.uniform(0.01, 0.03) * np.sqrt(dose.clip(0.02)) * grain
        light = -np.log(dose.clip(0.015, 1.2))
        low, high = np.percentile(light, (0.5, 99.7))
        light = ((light - low) / max(high - low, 1e-6)).clip(0, 1) ** rng.uniform(0.75, 1.15)
        levels = rng.uniform(0, 18) + light * rng.uniform(205, 237)
        sheet = Image.fromarray(levels.clip(0, 255).round().astype(np.uint8))
        _finish(sheet, rng, letter)
        return np.asarray(sheet)


def _clouds(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of about unit variance."""
    coarse = rng.standard_normal((9, 9))
    fine = zoom(coarse, (shape[0] / 9, shape[1] / 9), order=1)
    return np.asarray(fine, dtype=np.float32)


def _finish(sheet: Image.Image, rng: np.random.Generator, letter: str) -> None:
    """Marker, and edges that the collimator kept dark, each on some films."""
    pen = ImageDraw.Draw(sheet)
    width, height = sheet.size
    if letter and rng.random() < 0.6:
        at = (rng.uniform(0.05, 0.1) * width, rng.uniform(0.04, 0.1) * height)
        pen.text(at, letter, fill=235, font_size=max(9, height // 18))
    for side in range(4):
        if rng.random() < 0.2:
            wide = int(rng.uniform(0.01, 0.03) * width) + 1
            box = ((0, 0, wide, height), (width - wide, 0, width, height), (0, 0, width, wide),
                   (0, height - wide, width, height))[side]  # fmt: skip
            pen.rectangle(box, fill=int(rng.uniform(0, 12)))


def curve(corners: Path, points: int = 8) -> np.ndarray:
    """A smooth line (n, 2) through corners (k, 2): a Catmull-Rom spline, `points` for each piece."""
    given = np.asarray(corners, dtype=float)
    padded = np.concatenate([2 * given[:1] - given[1:2], given, 2 * given[-1:] - given[-2:-1]])
    t = np.linspace(0, 1, points, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], strict=True):
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate([*pieces, given[-1:]])


def turned(points: np.ndarray, angle: float, centre: np.ndarray) -> np.ndarray:
    """Points (n, 2) turned by `angle` radians about `centre`, clockwise on the film."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.asarray((points - centre) @ np.array([[cos, sin], [-sin, cos]]) + centre)
