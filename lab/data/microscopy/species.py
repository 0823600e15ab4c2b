"""Twelve kinds of drawn plankton, as darkness over a plane. NumPy only.

Each function draws n individuals at once: it is given coordinates u, v of shape (n, h, w) in the organism's own frame,
where it reaches to about 1, and draws how the individuals differ from one another. It returns darkness (n, h, w) in
[0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Array = np.ndarray
EDGE = 0.03
"""Width of soft edges, in the organism's units."""


def inside(distance: Array, edge: float = EDGE) -> Array:
    """1 where a signed distance is below 0, 0 where it is above, soft between."""
    return np.asarray(0.5 - 0.5 * np.tanh(distance / (2 * edge)))


def line(distance: Array, width: Array | float) -> Array:
    """A stroke of that half width around distance 0."""
    return inside(np.abs(distance) - width, 0.02)


def segment(u: Array, v: Array, u0: Array, v0: Array, u1: Array, v1: Array) -> Array:
    """Distance from a straight piece."""
    along_u, along_v = u1 - u0, v1 - v0
    where = ((u - u0) * along_u + (v - v0) * along_v) / np.maximum(along_u**2 + along_v**2, 1e-9)
    where = np.clip(where, 0, 1)
    return np.asarray(np.hypot(u - u0 - where * along_u, v - v0 - where * along_v))


def each(rng: np.random.Generator, n: int, low: float, high: float) -> Array:
    """A number for each individual, (n, 1, 1)."""
    return rng.uniform(low, high, (n, 1, 1)).astype(np.float32)


def union(*parts: Array) -> Array:
    return np.asarray(np.maximum.reduce(parts))


def centric_diatom(u: Array, v: Array, rng: np.random.Generator) -> Array:
    """A disc with a dark rim and radial ribs."""
    n = len(u)
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    size = each(rng, n, 0.75, 0.9)
    ribs = 0.5 + 0.5 * np.cos(angle * each(rng, n, 9, 16).round() + each(rng, n, 0, 6))
    body = inside(radius - size) * (0.3 + 0.25 * ribs * np.clip(radius / size, 0, 1))
    return union(body, 0.85 * line(radius - size, 0.05), 0.5 * inside(radius - 0.18))


def chain_diatom(u: Array, v: Array, rng: np.random.Generator) -> Array:
    """Cells like beads on a line, which is slightly bent."""
    n = len(u)
    v = v - each(rng, n, -0.25, 0.25) * (u**2 - 0.4)
    period = each(rng, n, 0.26, 0.36)
    cell = (u / period + 0.5) % 1 - 0.5
    body = inside(np.maximum(np.abs(cell) * period - 0.4 * period, np.abs(v) - each(rng, n, 0.11, 0.16)))
    return np.asarray(union(0.75 * body, 0.5 * line(v, 0.02)) * inside(np.abs(u) - 1, 0.01))


def crescent(u: Array, v: Array, rng: np.random.Generator) -> Array:
    """A bow that ends in points, with a paler middle (Closterium)."""
    n = len(u)
    bend = each(rng, n, 0.35, 0.6)
    across = v + bend * u**2 - 0.5 * bend
    width = each(rng, n, 0.17, 0.23) * np.maximum(1 - u**2, 0)
    body = inside(np.abs(across) - width)
    return np.asarray(body * (0.75 - 0.35 * inside(np.abs(u) - 0.12)) * inside(np.abs(u) - 0.97))


def ciliate(u: Array, v: Array, rng: np.random.Generator) -> Array:
    """An oval with a fringe of cilia and a dark nucleus."""
    n = len(u)
    flat = each(rng, n, 0.5, 0.62)
    radius, angle = np.hypot(u, v / flat), np.arctan2(v / flat, u)
    fringe = inside(radius - 0.98, 0.03) * (0.5 + 0.5 * np.cos(angle * 34)) * 0.5
    body = 0.45 * inside(radius - 0.82)
    nucleus = 0.85 * inside(np.hypot(u - each(rng, n, -0.3, 0.3), (v - each(rng, n, -0.1, 0.1)) * 1.2) - 0.2)
    return union(fringe, body, 0.7 * line((radius - 0.82) * 0.6, 0.025), nucleus)


def flagellate(u: Array, v: Array, rng: np.random.Generator) -> Array:
    """A small drop with a long wavy flagellum."""
    n = len(u)
    head = np.hypot((u - 0.6) / 1.25, v) - each(rng, n, 0.24, 0.3)
    wave = each(rng, n, 0.1, 0.2) * np.sin(u * each(rng, n, 6, 9) + each(rng, n, 0, 6))
    tail = line(v - wave, 0.035) * inside(u - 0.5) * inside(-1 - u)
    return union(0.8 * inside(head), 0.7 * tail)


def radiolarian(u: Array, v: Array, rng: np.random.Generator) -> Array:
    """A small dark middle with many long spines."""
    n = len(u)
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    spines = each(rng, n, 10, 18).round()
    away = np.abs((angle * spines / (2 * np.pi) + 0.5) % 1 - 0.5) / spines * 2 * np.pi * radius
    length = 0.8 + 0.2 * np.cos(angle * each(rng, n, 2, 5).round() + each(rng, n, 0, 6))
    return union(0.65 * inside(away - 0.022, 0.015) * inside(radius - length), 0.9 * inside(radius - 0.22))


def spiral(u: Array, v: Array, rng: np.random.Generator) -> Array:
    """A coil seen from the side (Arthrospira)."""
    n = len(u)
    height = each(rng, n, 0.26, 0.36)
    phase = u * each(rng, n, 8, 12) + each(rng, n, 0, 6)
    slope = np.sqrt(1 + (height * 10 * np.cos(phase)) ** 2)
    return np.asarray(0.75 * inside(np.abs(v - height * np.sin(phase)) / slope - 0.06, 0.02) * inside(np.abs(u) - 0.95))


def desmid(u: Array, v: Array, rng: np.random.Generator) -> Array:
    """Two half cells with a narrow waist (Cosmarium)."""
    n = len(u)
    half, flat = each(rng, n, 0.42, 0.48), each(rng, n, 0.6, 0.72)
    lobe = np.hypot(np.abs(u) - half, v * flat) - 0.46
    grain = 0.1 * np.sin(u * 25) * np.sin(v * 25)
    waist = inside(np.maximum(np.abs(u) - 0.1, np.abs(v) - 0.2))
    return union(inside(lobe) * (0.55 + grain), 0.6 * waist, 0.5 * line(lobe, 0.03))


def colony(u: Array, v: Array, rng: np.random.Generator) -> Array:
    """Many dots in a pale ball of jelly (Volvox)."""
    n = len(u)
    found: Array = 0.16 * inside(np.hypot(u, v) - 0.92)
    angle = 2 * np.pi * rng.random((n, 26), dtype=np.float32)
    radius = 0.8 * np.sqrt(rng.random((n, 26), dtype=np.float32))
    for a, r in zip(angle.T[..., None, None], radius.T[..., None, None], strict=True):
        found = np.maximum(found, 0.75 * inside(np.hypot(u - r * np.cos(a), v - r * np.sin(a)) - 0.075, 0.02))
    return found


def copepod(u: Array, v: Array, rng: np.random.Generator) -> Array:
    """A drop-shaped body with two long antennae, and a tail that forks."""
    n = len(u)
    body = np.hypot((u - 0.15) / 0.5, v / (0.25 + 0.07 * (u - 0.15)) * 0.95) - 1
    tail = segment(u, v, -0.3 + 0 * u, 0 * u, -0.75 + 0 * u, 0 * u) - 0.05
    fork = np.minimum(*(segment(u, v, -0.72 + 0 * u, 0 * u, -0.98 + 0 * u, side + 0 * u) for side in (-0.16, 0.16)))
    reach, sweep = each(rng, n, 0.75, 0.95), each(rng, n, -0.35, 0.1)
    antennae = segment(u, np.abs(v), 0.55 + 0 * u, 0.05 + 0 * u, 0.5 + sweep, reach)
    rings = 0.1 * np.cos(u * 24)
    return union(
        inside(body * 0.3) * (0.7 + rings), 0.75 * inside(tail), 0.6 * inside(np.minimum(fork, antennae) - 0.03, 0.02)
    )


def dinoflagellate(u: Array, v: Array, rng: np.random.Generator) -> Array:
    """A body with one horn ahead and two, bent, behind (Ceratium)."""
    n = len(u)
    zero = 0 * u
    body = np.hypot(u, v) - each(rng, n, 0.26, 0.32)
    front = segment(u, v, zero, zero, 0.98 + zero, each(rng, n, -0.08, 0.08) + zero)
    bend = each(rng, n, 0.35, 0.6)
    behind = segment(u, np.abs(v), -0.1 + zero, 0.2 + zero, -0.35 + zero, bend)
    ends = segment(u, np.abs(v), -0.35 + zero, bend, each(rng, n, -0.15, 0.25) + zero - 0.4, bend + 0.3)
    horns = np.minimum(np.minimum(front - 0.07 * np.clip(1 - u, 0.2, 1), behind - 0.06), ends - 0.045)
    girdle = 0.25 * line(u + 0.02, 0.03) * inside(body)
    return np.asarray(np.clip(0.7 * inside(np.minimum(body, horns)) + girdle, 0, 1))


def medusa(u: Array, v: Array, rng: np.random.Generator) -> Array:
    """A pale bell with a dark edge and tentacles."""
    n = len(u)
    bell = np.maximum(np.hypot(u - 0.1, v) - each(rng, n, 0.68, 0.8), 0.1 - u)
    found = union(0.22 * inside(bell), 0.7 * line(bell, 0.035))
    for place in np.linspace(-0.6, 0.6, 6):
        wave = place + 0.07 * np.sin(u * each(rng, n, 5, 9) + each(rng, n, 0, 6))
        found = np.maximum(found, 0.55 * line(v - wave, 0.022) * inside(u - 0.1) * inside(-each(rng, n, 0.6, 1) - u))
    return np.asarray(found)


SPECIES: tuple[Callable[[Array, Array, np.random.Generator], Array], ...] = (
    centric_diatom,
    chain_diatom,
    crescent,
    ciliate,
    flagellate,
    radiolarian,
    spiral,
    desmid,
    colony,
    copepod,
    dinoflagellate,
    medusa,
)
NAMES = tuple(draw.__name__ for draw in SPECIES)
