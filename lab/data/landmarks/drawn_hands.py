"""Drawn left hands, palm on the film: 37 known landmarks at the wrist, the carpus, the joints, finger tips and webs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lab.data.landmarks.film import Film, Place, turned

# In shares of a hand's length, wrist at y = 0, middle finger up, thumb to the right.
BASES = np.array([(0.075, 0.225), (0.02, 0.23), (-0.035, 0.215), (-0.085, 0.195)])
LENGTHS = np.array([(0.30, 0.195, 0.115, 0.085), (0.29, 0.215, 0.135, 0.09), (0.26, 0.20, 0.125, 0.09),
                    (0.235, 0.16, 0.09, 0.08)])  # fmt: skip
SPLAY = np.radians((9.0, 1.0, -7.0, -15.0))
THUMB_BASE, THUMB_LENGTHS, THUMB_TURN = np.array((0.105, 0.165)), np.array((0.2, 0.15, 0.115)), np.radians(42.0)
CARPALS = np.array([(0.07, 0.115), (0.02, 0.1), (-0.035, 0.105), (-0.065, 0.13), (0.085, 0.165), (0.055, 0.175),
                    (0.015, 0.165), (-0.04, 0.165)])  # fmt: skip
WRIST = np.array([(-0.1, 0.05), (-0.093, 0.015), (-0.02, 0.05), (0.005, 0.055), (0.105, 0.055), (0.099, 0.015)])
"""Sides of ulna and radius. The first and the fifth point are the wrist whose width is taken for 50 mm."""
NAMED_CARPALS = (0, 1, 6)


@dataclass
class Hand:
    """Points of one hand in its own shares: joints of four fingers (4, 5, 2), of the thumb (4, 2), and the others."""

    fingers: np.ndarray
    thumb: np.ndarray
    carpals: np.ndarray
    wrist: np.ndarray
    webs: np.ndarray

    def landmarks(self) -> np.ndarray:
        """float64 (37, 2): wrist 6, carpus 3, thumb 4, four fingers 5 each from index to little, webs 4."""
        parts = (self.wrist, self.carpals[list(NAMED_CARPALS)], self.thumb, self.fingers.reshape(-1, 2), self.webs)
        return np.concatenate(parts)


def draw_hand(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A picture uint8 (height, width) and its landmarks float64 (37, 2), (x, y) in pixels. size: width, height."""
    width, height = size
    plump, age = rng.uniform(0.85, 1.2), rng.uniform(0, 1)
    own = _hand(rng)
    points = own.landmarks()
    room = 0.06  # kept free around the landmarks
    spread = points.max(0) - points.min(0)
    scale = min(width * (1 - 2 * room) / spread[0], height * (1 - 2 * room) / (spread[1] + 0.06)) * rng.uniform(
        0.8, 0.98
    )
    angle = rng.normal(0, np.radians(5))
    middle = (points.max(0) + points.min(0)) / 2
    jitter = rng.uniform(-0.5, 0.5, 2) * (np.array(size) - scale * spread).clip(0) * 0.5
    centre = np.array([width / 2, 0.49 * height]) + jitter

    def place(shares: np.ndarray) -> np.ndarray:
        flipped = (shares - middle) * (scale, -scale) + centre
        return turned(flipped.reshape(-1, 2), angle, centre).reshape(shares.shape)

    for _ in range(20):  # a turned hand may stick out: smaller, until it doesn't
        landmarks = place(points)
        if (landmarks > 3).all() and (landmarks < np.array(size) - 4).all():
            break
        scale *= 0.96
        centre = centre + 0.2 * (np.array([width / 2, height / 2]) - centre)
    film = Film(width, height)
    _soft_tissue(film, own, place, scale * plump)
    _bones(film, own, place, scale * rng.uniform(0.9, 1.1), age, rng)
    return film.develop(rng, letter="L"), place(points)


def _hand(rng: np.random.Generator) -> Hand:
    """Proportions and pose of one hand."""
    lengths = LENGTHS * rng.normal(1, 0.035, (4, 1)) * rng.normal(1, 0.02, LENGTHS.shape)
    broad = rng.normal(1, 0.05)
    spread = rng.normal(1, 0.18)
    bases = BASES * (broad, 1) + rng.normal(0, 0.003, BASES.shape)
    splay = SPLAY * spread + rng.normal(0, np.radians(1.5), 4)
    fingers = np.zeros((4, 5, 2))
    for f in range(4):
        bends = np.cumsum(np.concatenate([[splay[f]], rng.normal(0, np.radians(2.2), 3)]))
        fingers[f] = _chain(bases[f], lengths[f], bends)
    thumb_turn = THUMB_TURN * rng.normal(1, 0.15)
    bends = thumb_turn + np.array([0, -rng.uniform(0.05, 0.35), -rng.uniform(-0.1, 0.3)])
    thumb = _chain(THUMB_BASE * (broad, 1), THUMB_LENGTHS * rng.normal(1, 0.04, 3), bends)
    carpals = CARPALS * (broad, 1) + rng.normal(0, 0.004, CARPALS.shape)
    wrist = WRIST * (broad * rng.normal(1, 0.03), 1) + rng.normal(0, 0.002, WRIST.shape)
    joints = fingers[:, 1] + 0.42 * (fingers[:, 2] - fingers[:, 1])  # webs end below the middle of the first phalanx
    webs = np.concatenate([[0.5 * thumb[1] + 0.5 * fingers[0, 1] - (0.0, 0.06)], 0.5 * (joints[:-1] + joints[1:])])
    return Hand(fingers, thumb, carpals, wrist, webs)


def _chain(base: np.ndarray, lengths: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Joints (k + 1, 2) from a base on; angles from the vertical, to the thumb."""
    steps = lengths[:, None] * np.stack([np.sin(angles), np.cos(angles)], 1)
    return np.concatenate([base[None], base + np.cumsum(steps, 0)])


def _soft_tissue(film: Film, own: Hand, place: Place, scale: float) -> None:
    parts = []
    for joints, radii in [(own.thumb, (0.052, 0.048, 0.04, 0.033))] + [
        (own.fingers[f], np.array((0.05, 0.046, 0.04, 0.035, 0.029)) * (1.0, 1.02, 0.98, 0.86)[f]) for f in range(4)
    ]:
        tip = joints[-1] + 0.012 * (joints[-1] - joints[-2]) / np.linalg.norm(joints[-1] - joints[-2])
        line = np.concatenate([joints[:-1], tip[None]])
        parts.append((place(line), [scale * r for r in radii]))
    film.limb(parts, 0.55)
    left, right = own.wrist[0] - (0.035, 0.0), own.wrist[4] + (0.035, 0.0)
    palm = [left - (0.0, 0.3), left, own.fingers[3, 0] - (0.06, 0.0), own.fingers[3, 1] - (0.045, 0.0),
            own.fingers[3, 1] + (-0.03, 0.05), own.webs[3], own.webs[2], own.webs[1],
            own.fingers[0, 1] + (0.035, 0.03), own.webs[0], own.thumb[1] + (0.02, -0.02), own.thumb[0] + (0.045, -0.03),
            right, right - (0.0, 0.3)]  # fmt: skip
    film.slab(place(np.array(palm)), 0.5, softness=0.012 * scale)


def _bones(film: Film, own: Hand, place: Place, scale: float, age: float, rng: np.random.Generator) -> None:
    gap = 0.004 + 0.007 * (1 - age)
    for chain, thick in [(own.thumb, 1.1), *((own.fingers[f], (1.0, 1.03, 0.93, 0.83)[f]) for f in range(4))]:
        for number, (start, end) in enumerate(pairwise(chain)):
            along = (end - start) / np.linalg.norm(end - start)
            stem = (0.0175, 0.0165, 0.0135, 0.0105)[number + (4 - len(chain) + 1 if number else 0)] * thick
            shares = np.array((0, 0.15, 0.4, 0.6, 0.85, 1.0))
            flare = np.array((1.15, 1.2, 0.8, 0.75, 1.1, 1.05))
            if number == len(chain) - 2:  # the last phalanx ends in a tuft
                flare = np.array((1.25, 1.1, 0.7, 0.6, 0.85, 0.65))
            # Rods have round ends; the joint's gap is between these.
            first, last = start + (gap + stem * flare[0]) * along, end - (gap + stem * flare[-1]) * along
            line = first + shares[:, None] * (last - first)
            film.tube(place(line), list(scale * stem * flare), 1.15, hollow=0.62, marrow=0.65)
            if age < 0.5 and number:  # the epiphysis of a child
                across = 0.9 * np.array([along[1], -along[0]]) * stem
                at = start + 0.2 * gap * along
                film.tube(place(np.array([at - across, at + across])), scale * 0.005, 0.55)
    for number, centre in enumerate(own.carpals):
        grown = 0.7 + 0.5 * min(1.0, age + 0.1 * (number % 3))
        wide, high = scale * grown * np.array((0.028, 0.024)) * rng.uniform(0.9, 1.1, 2)
        x, y = place(centre[None])[0]
        film.ball((float(x), float(y)), (float(wide), float(high)), 0.6, turn=float(rng.uniform(0, 3)))
    ulna, radius = (own.wrist[0] + own.wrist[2]) / 2, (own.wrist[3] + own.wrist[4]) / 2
    for top, half in (
        (ulna, np.linalg.norm(own.wrist[2] - own.wrist[0]) / 2),
        (radius, np.linalg.norm(own.wrist[4] - own.wrist[3]) / 2),
    ):
        below = np.linspace(-0.25 * half, 0.45, 12)
        line = np.stack([top[0] * (1 - 0.35 * below.clip(0)), top[1] - below], 1)
        wide = np.interp(below, np.array((-0.25 * half, 0.02, 0.05, 0.12, 0.45)), (0.82, 1.0, 0.92, 0.66, 0.58)) * half
        film.tube(place(line), list(scale * wide), 1.2, hollow=0.72, marrow=0.6)
