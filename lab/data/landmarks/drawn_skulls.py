"""Drawn skulls from the side, facing right, with the 19 landmarks of cephalometry."""

# ruff: noqa: RUF005 (adding a pair to a point moves it; nothing is joined)
from __future__ import annotations

import numpy as np

from lab.data.landmarks.film import Film, Place, curve, turned

FRAME = (1935, 2400)
"""Width and height of the official films, in whose pixels (0.1 mm) everything here is placed."""

NAMES = (
    "sella", "nasion", "orbitale", "porion", "subspinale", "supramentale", "pogonion", "menton", "gnathion", "gonion",
    "lower_incisor", "upper_incisor", "upper_lip", "lower_lip", "subnasale", "soft_pogonion", "posterior_nasal_spine",
    "anterior_nasal_spine", "articulare",
)  # fmt: skip
MEAN = np.array([
    (835, 996), (1455, 1000), (1290, 1255), (620, 1205), (1400, 1610), (1375, 1950), (1350, 2090), (1255, 2165),
    (1315, 2140), (730, 1830), (1430, 1795), (1450, 1800), (1555, 1690), (1530, 1865), (1515, 1560), (1450, 2095),
    (960, 1510), (1450, 1530), (690, 1350),
], dtype=float)  # fmt: skip
"""A plausible head (ours), not measured on any."""
JAW = [5, 6, 7, 8, 9, 10, 13, 15]
"""Landmarks that move with the lower jaw, which turns about the joint near articulare."""
FACE = [4, 11, 12, 14, 16, 17]
"""Landmarks that move with the upper jaw."""
VAULT = np.array([(1490, 900), (1530, 650), (1440, 380), (1200, 190), (880, 130), (560, 220), (340, 480), (290, 800),
                  (380, 1060), (560, 1240)], dtype=float)  # fmt: skip
"""Outer table of the skull, from above the nose over the top to the back."""


def draw_skull(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A picture uint8 (height, width) and its landmarks float64 (19, 2), (x, y) in its pixels. size: width, height."""
    width, height = size
    points, vault = _head(rng)
    zoom = np.array([width / FRAME[0], height / FRAME[1]])

    def place(places: np.ndarray) -> np.ndarray:
        return np.asarray((places + 0.5) * zoom - 0.5)

    film = Film(width, height)
    unit = float(zoom.mean())
    _soft_tissue(film, place, unit, points, vault)
    _cranium(film, place, unit, points, vault, rng)
    _face(film, place, unit, points, rng)
    _jaw(film, place, unit, points)
    _teeth(film, place, unit, points, rng)
    _neck(film, place, unit, points, rng)
    return film.develop(rng), place(points)


def _head(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (19, 2) and vault (k, 2) of one head in the official frame."""
    points, vault = MEAN.copy(), VAULT.copy()
    points += rng.normal(0, 8, points.shape)
    points[FACE] += rng.normal(0, (22, 25), (1, 2))
    points[JAW] += rng.normal(0, (20, 22), (1, 2))
    points[JAW] = turned(points[JAW], rng.normal(0, np.radians(2.5)), points[18])
    points[[12, 13, 14, 15]] += rng.normal(0, (15, 6), (4, 2))
    points[8] = 0.5 * (points[6] + points[7]) + 0.2 * np.array(  # between the two, on the curve of the chin
        [points[6, 1] - points[7, 1], -(points[6, 0] - points[7, 0])]) * (-1, 1)  # fmt: skip
    points[11] = points[10] + rng.normal((22, 8), (10, 10))
    vault = vault * (1, rng.normal(1, 0.02))
    tilt = rng.normal(0, np.radians(4))
    scale = rng.normal(0.96, 0.035, 2) * (1, 1)
    middle = np.array(FRAME) / 2
    shift = np.append(rng.normal(0, 30), rng.normal(20, 30))

    def moved(places: np.ndarray) -> np.ndarray:
        return np.asarray(turned((places - middle) * scale + middle, tilt, middle) + shift)

    return moved(points), moved(vault)


def _soft_tissue(film: Film, place: Place, unit: float, p: np.ndarray, vault: np.ndarray) -> None:
    nose = p[14] + (0.30 * (p[14] - p[1])[1], -110)
    profile = [vault[1] + (40, 0), p[1] + (62, -70), p[1] + (50, 25), 0.55 * p[1] + 0.45 * nose + (20, 0), nose,
               nose + (-25, 55), p[14], p[12] + (-12, -50), p[12], 0.5 * (p[12] + p[13]) + (-55, 0), p[13],
               p[5] + (85, -5), p[15] + (0, -45), p[15], p[8] + (70, 55), p[7] + (-10, 75),
               p[7] + (-240, 110), p[7] + (-330, 190), p[7] + (-360, 700)]  # fmt: skip
    back = [p[9] + (-640, 800), p[9] + (-560, 200), vault[8] + (-90, 60)]
    skin = vault[1:] + 0.05 * (vault[1:] - vault.mean(0))
    outline = np.concatenate([curve(np.array(profile), 6), np.array(back), skin[::-1][2:]])
    film.slab(place(outline), 0.38, softness=6 * unit)
    film.slab(place(outline), 0.14, softness=60 * unit)


def _cranium(film: Film, place: Place, unit: float, p: np.ndarray, vault: np.ndarray, rng: np.random.Generator) -> None:
    dome = curve(vault, 8)
    thick = rng.uniform(24, 36)
    inside = np.concatenate([dome, curve(np.array([vault[-1], p[3] + (60, 40), p[0] + (-120, 130), p[0], p[1]]), 6)])
    film.slab(place(inside), 0.28, softness=10 * unit)
    film.tube(place(dome), unit * thick, 0.75, hollow=0.55, marrow=0.75)
    # From the roof of the orbit to the pit of sella, over its back, and down the clivus.
    floor = [p[1] + (10, -35), p[1] + (-160, -45), p[0] + (300, -105), p[0] + (95, -70), p[0] + (62, -50)]
    pit = [p[0] + (58, -38), p[0] + (52, 22), p[0] + (0, 52), p[0] + (-52, 20), p[0] + (-56, -45)]
    film.tube(place(curve(np.array(floor), 5)), unit * 16, 0.55)
    film.tube(place(curve(np.array(pit), 6)), unit * 11, 0.75)
    clivus = [pit[-1], p[0] + (-110, 110), p[3] + (110, 90)]
    film.tube(place(curve(np.array(clivus), 5)), unit * 26, 0.45)
    # The dense pyramid around the ear, and the ear canal, whose upper edge is porion.
    x, y = place((p[3] + (110, 30))[None])[0]
    film.ball((float(x), float(y)), (150 * unit, 100 * unit), 0.6, turn=0.3)
    x, y = place((p[3] + (8, 42))[None])[0]
    film.ball((float(x), float(y)), (34 * unit, 42 * unit), -0.75)
    ring = p[3] + (8, 42) + np.stack([36 * np.sin(np.linspace(0, 6.3, 16)), -42 * np.cos(np.linspace(0, 6.3, 16))], 1)
    film.tube(place(ring), unit * 9, 0.45)


def _face(film: Film, place: Place, unit: float, p: np.ndarray, rng: np.random.Generator) -> None:
    frontal = [p[1] + (-5, 5), p[1] + (25, -60), p[1] + (15, -150)]
    film.tube(place(curve(np.array(frontal), 4)), unit * 26, 0.5)
    film.slab(place(curve(np.array([p[1] + (-40, -70), p[1] + (0, -150), p[1] + (-50, -190), p[1] + (-75, -110)]), 4)),
              -0.25, softness=8 * unit)  # fmt: skip
    nasal = [p[1], 0.62 * p[1] + 0.38 * p[14] + (60, 0)]
    film.tube(place(np.array(nasal)), [unit * 24, unit * 8], 0.45)
    # Rim of the orbit, whose lowest place is orbitale, and the cheek bone below it.
    rim = [p[2] + (110, -250), p[2] + (40, -200), p[2] + (-45, -90), p[2] + (-25, -14), p[2], p[2] + (30, -8),
           p[2] + (75, -60)]  # fmt: skip
    film.tube(place(curve(np.array(rim), 6)), unit * 15, 0.6)
    key = [p[2] + (-60, 20), p[2] + (-100, 200), p[2] + (-40, 280)]
    film.tube(place(curve(np.array(key), 5)), unit * 22, 0.4)
    sinus = [p[2] + (-60, 40), p[16] + (80, -210), p[16] + (110, -40), p[17] + (-170, -30), p[2] + (40, 60)]
    film.slab(place(curve(np.array([*sinus, sinus[0]]), 4)), -0.16, softness=10 * unit)
    # Hard palate between the two spines, then the concave front of the upper jaw with subspinale as its deepest place.
    film.tube(
        place(np.array([p[16], p[16] + 0.5 * (p[17] - p[16]) + (0, 8), p[17]])), [unit * 10, unit * 20, unit * 9], 0.7
    )
    upper = [p[17] + (-90, 10), p[17], p[4], p[4] + (18, 75), p[11] + (-20, -60), p[11] + (-170, -50),
             p[16] + (120, 200), p[16] + (30, 30)]  # fmt: skip
    film.slab(place(np.array(upper)), 0.42, softness=5 * unit)
    back = [p[16], p[16] + (-35, -200), p[0] + (160, 180)]
    film.tube(place(curve(np.array(back), 4)), unit * 14, 0.35)


def _jaw(film: Film, place: Place, unit: float, p: np.ndarray) -> None:
    head = p[18] + (45, -75)
    outside = [
        head,
        p[18],
        0.5 * (p[18] + p[9]) + (-5, 0),
        p[9] + (-12, -90),
        p[9],
        p[9] + (95, 75),
        0.5 * (p[9] + p[7]) + (40, 60),
        p[7] + (-110, 5),
        p[7],
        p[8],
        p[6],
        0.5 * (p[6] + p[5]) + (-6, 0),
        p[5],
    ]
    inside = [p[5] + (8, -60), p[10] + (-25, 85), p[10] + (-190, 110), p[9] + (420, -90), p[9] + (330, -170),
              p[9] + (260, -420), head + (150, 10), head + (95, 100)]  # fmt: skip
    line = curve(np.array(outside), 6)
    body = np.concatenate([line, np.array(inside)])
    film.slab(place(body), 0.42, softness=5 * unit)
    film.tube(place(line), unit * 13, 0.55)
    lower = [p[9] + (150, -20), p[9] + (420, 60), p[6] + (-210, -20)]
    film.tube(place(curve(np.array(lower), 5)), unit * 9, -0.2)  # the canal of the nerve


def _teeth(film: Film, place: Place, unit: float, p: np.ndarray, rng: np.random.Generator) -> None:
    lean = rng.normal(0, 12)
    film.tube(place(np.array([p[11] + (-85 + lean, -215), p[11] + (-28, -85), p[11] + (-6, -6)])),
              [unit * 10, unit * 26, unit * 8], 0.75)  # fmt: skip
    film.tube(place(np.array([p[10] + (-95 - lean, 205), p[10] + (-30, 85), p[10] + (-5, 6)])),
              [unit * 9, unit * 22, unit * 7], 0.7)  # fmt: skip
    bite = (p[10] + p[11]) / 2
    for number in range(5):
        at = bite + (-95 - 82 * number, 12 * number - 10)
        broad = 30 + 5 * min(number, 3)
        for way in (-1, 1):
            crown, root = at + (0, way * 42), at + (-12, way * (150 - 8 * number))
            film.tube(place(np.array([crown, root])), [unit * broad, unit * 0.4 * broad], 0.55)


def _neck(film: Film, place: Place, unit: float, p: np.ndarray, rng: np.random.Generator) -> None:
    top = p[9] + (-215 + rng.normal(0, 15), -330)
    bend = rng.normal(25, 20)
    for number in range(6):
        at = top + np.array([bend * np.sin(0.6 * number) - 14 * number, 172 * number])
        box = at + np.array([(-85, -60), (80, -62), (92, 62), (-88, 66)])
        film.slab(place(box), 0.32, softness=7 * unit)
        film.tube(place(np.concatenate([box, box[:1]])), unit * 9, 0.28)
        film.tube(place(np.array([at + (-80, 10), at + (-215, 70 + 8 * number)])), [unit * 38, unit * 24], 0.3)
    for number in range(2):  # hyoid, and the air of the throat in front of the spine
        film.tube(place(np.array([p[9] + (210 + 70 * number, 190), p[9] + (330, 215)])), unit * 12, 0.25)
    throat = [p[16] + (-140, 10), p[9] + (40, -160), p[9] + (60, 150), p[9] + (90, 600)]
    film.tube(place(curve(np.array(throat), 5)), [unit * 42] * 16, -0.28)
