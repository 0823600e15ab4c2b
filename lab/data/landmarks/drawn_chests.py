"""Drawn chests from the front, with the six landmarks of the lungs: apex, outer and inner corner of each."""

# ruff: noqa: RUF005 (adding a pair to a point moves it; nothing is joined)
from __future__ import annotations

import numpy as np

from lab.data.landmarks.film import Film, Place, curve

NAMES = ("right_apex", "right_outer", "right_inner", "left_apex", "left_outer", "left_inner")
"""Sides are the patient's, whose right lung is on the left of the film; after where they lie in the official labels."""

# Mean shape and its first four principal components (each times its standard deviation; together 92 % of the variance)
# of the published labels of 279 Shenzhen radiographs (github.com/MIRACLE-Center/YOLO_Universal_Anatomical_Landmark_
# Detection, MIT licence), as shares of width and height.
MEAN = np.array([(0.388, 0.136), (0.156, 0.759), (0.405, 0.645), (0.619, 0.136), (0.835, 0.762), (0.714, 0.68)])
MODES = np.array([
    [(0.004, -0.011), (0.01, -0.085), (-0.001, -0.06), (-0.006, -0.012), (-0.009, -0.085), (0.004, -0.067)],
    [(-0.007, 0.014), (0.011, -0.001), (-0.009, 0.002), (-0.022, 0.016), (-0.04, 0.0), (-0.038, 0.0)],
    [(-0.0, 0.038), (-0.008, -0.009), (-0.005, 0.005), (0.002, 0.04), (0.01, -0.009), (0.019, 0.003)],
    [(0.023, 0.005), (0.031, -0.002), (0.022, -0.0), (0.011, 0.004), (-0.004, 0.003), (0.001, 0.002)],
])  # fmt: skip


NOISE = 0.006
"""Standard deviation of what the four leave out."""


def draw_chest(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A picture uint8 (height, width) and its landmarks float64 (6, 2), (x, y) in its pixels. size: width, height."""
    width, height = size
    p = random_shape(rng)

    def place(shares: np.ndarray) -> np.ndarray:
        return np.asarray(shares, dtype=float) * (width, height) - 0.5

    film = Film(width, height)
    spine = float((p[0, 0] + p[3, 0]) / 2 + 0.01)
    lungs = [_lung(p[:3], rng), _lung(p[3:], rng)]
    _body(film, place, width, p, spine, rng)
    for lung in lungs:
        film.slab(place(lung), -0.95, softness=0.006 * width)
    _vessels(film, place, width, p, spine, lungs, rng)
    _spine_and_heart(film, place, width, p, spine, rng)
    _ribs(film, place, width, p, spine, rng)
    _shoulders(film, place, width, p, spine, rng)
    return film.develop(rng, letter="R"), place(p)


def random_shape(rng: np.random.Generator) -> np.ndarray:
    """Landmarks float64 (6, 2) of one chest, as shares of width and height."""
    along_modes = np.tensordot(rng.normal(0, 1, len(MODES)).clip(-2, 2), MODES, 1)
    return np.asarray(MEAN + along_modes + rng.normal(0, NOISE, MEAN.shape))


def _lung(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Outline of a lung in shares (k, 2), through its apex, outer and inner corner, which are its sharpest places."""
    apex, outer, inner = p
    out = np.sign(outer[0] - apex[0])
    bulge = np.array([out * (0.045 + 0.01 * rng.normal()), -0.02])
    side = curve(np.array([apex, apex + (out * 0.075, 0.035), 0.62 * apex + 0.38 * outer + (out * 0.055, 0) + bulge / 4,
                           0.25 * apex + 0.75 * outer + bulge, outer]), 8)  # fmt: skip
    dome = curve(np.array([outer, outer + (-out * 0.035, -0.045), 0.5 * (outer + inner) +
                           (0, -0.045 - 0.01 * rng.normal()), inner]), 8)  # fmt: skip
    deep = 0.015 if out < 0 else 0.045  # the left one reaches behind the heart's upper border
    middle = curve(np.array([inner, 0.65 * inner + 0.35 * apex + (-out * 0.7 * deep, 0), 0.35 * inner + 0.65 * apex +
                             (-out * deep, 0), apex + (-out * 0.03, 0.035), apex]), 8)  # fmt: skip
    return np.concatenate([side, dome, middle])


def _body(film: Film, place: Place, width: int, p: np.ndarray, spine: float, rng: np.random.Generator) -> None:
    left, right = p[1, 0] - rng.uniform(0.05, 0.1), p[4, 0] + rng.uniform(0.05, 0.1)
    top = float(min(p[0, 1], p[3, 1]))
    trunk = [(left, 1.1), (left + 0.005, 0.62), (left - 0.005, 0.42), (-0.1, 0.55), (-0.1, top + 0.07),
             (0.16, top - 0.02), (spine - 0.11, top - 0.085), (spine - 0.085, -0.1), (spine + 0.085, -0.1),
             (spine + 0.11, top - 0.085), (0.84, top - 0.02), (1.1, top + 0.07), (1.1, 0.55), (right + 0.005, 0.42),
             (right - 0.005, 0.62), (right, 1.1)]  # fmt: skip
    film.slab(place(np.array(trunk)), 1.25, softness=0.012 * width)
    below = [(left, 1.1), (left, p[1, 1]), *curve(np.array([p[1], (p[1] + p[2]) / 2 - (0, 0.04), p[2], p[5],
             (p[4] + p[5]) / 2 - (0, 0.03), p[4]]), 5), (right, p[4, 1]), (right, 1.1)]  # fmt: skip
    film.slab(place(np.array(below)), 0.5, softness=0.02 * width)
    bubble = p[5] + (0.03, 0.09)
    film.slab(place(curve(np.array([bubble + (-0.05, 0), bubble + (0, -0.03), bubble + (0.06, 0), bubble + (0, 0.03),
                                    bubble + (-0.05, 0)]), 5)), -0.35, softness=0.008 * width)  # fmt: skip


def _vessels(
    film: Film, place: Place, width: int, p: np.ndarray, spine: float, lungs: list[np.ndarray],
    rng: np.random.Generator,
) -> None:  # fmt: skip
    before = film.density.copy()
    for side in (0, 1):
        apex, outer, inner = p[3 * side : 3 * side + 3]
        out = 1 if side else -1
        root = np.array([spine + out * 0.075, 0.5 * (apex[1] + inner[1]) - 0.01])
        for _ in range(14):
            goal = root + (outer - root) * rng.uniform(0.3, 0.85, 2) + (0, rng.uniform(-0.32, 0.05))
            bend = (root + goal) / 2 + rng.normal(0, 0.02, 2)
            line = curve(np.array([root, bend, goal]), 4)
            film.tube(place(line), list(width * np.linspace(0.009, 0.002, len(line))), rng.uniform(0.1, 0.25))
        x, y = place(root[None])[0]
        film.ball((float(x), float(y)), (0.04 * width, 0.06 * width), 0.3)
    inside = np.maximum(film.region(place(lungs[0])), film.region(place(lungs[1])))
    film.density = before + inside * (film.density - before)


def _spine_and_heart(
    film: Film, place: Place, width: int, p: np.ndarray, spine: float, rng: np.random.Generator
) -> None:
    lower, upper = float(max(p[2, 1], p[5, 1])), float(p[0, 1])
    for number, y in enumerate(np.arange(-0.02, 1.05, 0.058)):
        wide = 0.03 + 0.012 * y
        box = np.array([(spine - wide, y), (spine + wide, y), (spine + wide, y + 0.045), (spine - wide, y + 0.045)])
        film.slab(place(box), 0.25, softness=0.005 * width)
        if number % 2:
            film.tube(place(np.array([(spine, y), (spine, y + 0.02)])), 0.008 * width, 0.2)
    film.slab(place(np.array([(spine - 0.014, -0.1), (spine + 0.014, -0.1), (spine + 0.012, upper + 0.17),
                              (spine - 0.012, upper + 0.17)])), -0.3, softness=0.005 * width)  # fmt: skip
    big = rng.normal(1, 0.06)
    right, apex = p[2] + (-0.01, -0.09), p[5] + (-0.005, -0.02)
    arch = np.array([spine + 0.075 * big, upper + 0.2])
    heart = [(spine - 0.045, upper + 0.12), (spine - 0.055, upper + 0.24), right - (0.012 * big, 0),
             p[2] + (0.01, 0.02), (spine + 0.05, lower + 0.05), apex + (0.0, 0.03), apex + (-0.01, -0.07),
             arch + (0.02, 0.16), arch + (-0.008, 0.07), arch, arch + (-0.03, -0.045)]  # fmt: skip
    film.slab(place(curve(np.array([*heart, heart[0]]), 6)), 0.62, softness=0.012 * width)


def _ribs(film: Film, place: Place, width: int, p: np.ndarray, spine: float, rng: np.random.Generator) -> None:
    slope = rng.normal(1, 0.12)
    for side in (0, 1):
        apex, outer, _ = p[3 * side : 3 * side + 3]
        out = 1 if side else -1
        high, low = apex[1] - 0.015, outer[1] + 0.03
        for number in range(10):
            share = number / 9
            y = high + share * (low - high) * 0.88
            # The wall of the chest at this height: from near the apex to the outer corner, which it slightly exceeds.
            far = apex[0] + (outer[0] - apex[0]) * min(1.0, 0.52 + 0.75 * share) + out * 0.02
            drop = slope * (0.035 + 0.07 * min(1.0, share * 2))
            start = np.array([spine + out * 0.03, y + 0.01])
            back = [start, (0.6 * start[0] + 0.4 * far, y - 0.012), (0.2 * start[0] + 0.8 * far, y + 0.35 * drop),
                    (far, y + drop)]  # fmt: skip
            radius = width * (0.0125 - 0.002 * share)
            film.tube(place(curve(np.array(back), 5)), radius, 0.32, hollow=0.7, marrow=0.75)
            if 0 < number < 7:  # the front end, which falls towards the middle
                front = [(far, y + drop), (far - out * 0.02, y + 1.6 * drop), (far - out * 0.09, y + 2.4 * drop)]
                film.tube(place(curve(np.array(front), 4)), 0.95 * radius, 0.2, hollow=0.7, marrow=0.75)


def _shoulders(film: Film, place: Place, width: int, p: np.ndarray, spine: float, rng: np.random.Generator) -> None:
    for side in (0, 1):
        apex = p[3 * side]
        out = 1 if side else -1
        tilt = rng.normal(0.0, 0.015)
        collar = [(spine + out * 0.035, apex[1] + 0.075), (spine + out * 0.13, apex[1] + 0.03), (apex[0] + out * 0.14,
                  apex[1] + 0.015 + tilt), (apex[0] + out * 0.27, apex[1] - 0.02 + tilt)]  # fmt: skip
        film.tube(place(curve(np.array(collar), 5)), 0.0155 * width, 0.5, hollow=0.7, marrow=0.7)
        tip = np.array(collar[-1])
        blade = [tip + (0, 0.02), tip + (-out * 0.06, 0.07), tip + (-out * 0.07, 0.25), tip + (out * 0.02, 0.13)]
        film.slab(place(np.array(blade)), 0.14, softness=0.008 * width)
        head = tip + (out * 0.045, 0.055)
        x, y = place(head[None])[0]
        film.ball((float(x), float(y)), (0.042 * width, 0.042 * width), 0.55)
        film.tube(place(np.array([head, head + (out * 0.22, 0.3)])), 0.028 * width, 0.5, hollow=0.7, marrow=0.6)
