"""Drawn x-rays: the landmarks are where the picture shows them, and no two are alike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from lab.data.landmarks.drawn_chests import MEAN, MODES, NOISE, draw_chest, random_shape
from lab.data.landmarks.drawn_hands import draw_hand
from lab.data.landmarks.drawn_skulls import NAMES, draw_skull
from lab.data.landmarks.film import Film

DRAWN = {
    "hand": (draw_hand, (190, 230), 37),
    "skull": (draw_skull, (193, 240), 19),
    "chest": (draw_chest, (240, 230), 6),
}
COUNT = 8


@pytest.fixture(scope="module")
def films():
    return {
        kind: [draw(np.random.default_rng([7, n]), size) for n in range(COUNT)]
        for kind, (draw, size, _) in DRAWN.items()
    }


def level(picture: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Grey levels at places (n, 2), smoothed a little."""
    return map_coordinates(gaussian_filter(picture.astype(float), 1.0), places.T[::-1], order=1)


@pytest.mark.parametrize("kind", DRAWN)
def test_landmarks_lie_inside_and_vary(kind, films):
    _, size, count = DRAWN[kind]
    points = np.array([points for _, points in films[kind]])
    assert points.shape == (COUNT, count, 2)
    assert (points > -0.5).all() and (points < np.array(size) - 0.5).all()
    assert points.std(0).min() > 0.5  # pixels: pose and shape differ
    pictures = np.array([picture for picture, _ in films[kind]], dtype=float)
    assert pictures.shape == (COUNT, *size[::-1]) and pictures.std((1, 2)).min() > 25
    assert pictures.mean((1, 2)).std() > 2  # exposure differs
    again, same = DRAWN[kind][0](np.random.default_rng([7, 0]), size)
    assert np.array_equal(again, films[kind][0][0]) and np.array_equal(same, films[kind][0][1])


def test_finger_tips_end_the_fingers(films):
    for picture, points in films["hand"]:
        for tip, joint in ((17, 16), (22, 21), (27, 26), (32, 31), (12, 11)):
            along = (points[tip] - points[joint]) / np.linalg.norm(points[tip] - points[joint])
            inside, outside = level(picture, np.array([points[tip] - 3 * along, points[tip] + 9 * along]))
            assert inside > outside + 15
        bones = (points[[14, 19, 24, 29]] + points[[13, 18, 23, 28]]) / 2
        between = (bones[1:] + bones[:-1]) / 2
        assert level(picture, bones).min() > level(picture, between).max() - 10


def test_apices_and_corners_are_the_ends_of_dark_lungs(films):
    for picture, points in films["chest"]:
        for apex, outer, inner in (points[:3], points[3:]):
            middle = (apex + outer + inner) / 3
            lung = level(picture, middle[None])[0]
            above, below = level(picture, np.array([apex, outer]) + np.array([(0, -7), (0, 10)]))
            assert lung < above - 25 and lung < below - 25


def test_chest_shapes_are_distributed_as_the_real_labels():
    rng = np.random.default_rng(1)
    found = np.array([random_shape(rng) for _ in range(4000)])
    assert np.abs(found.mean(0) - MEAN).max() < 0.005
    spread = np.sqrt((MODES**2).sum(0) + NOISE**2)
    assert np.allclose(found.std(0) / spread, 0.97, atol=0.05)  # modes end at two standard deviations


def test_the_profile_of_the_skull(films):
    index = {name: place for place, name in enumerate(NAMES)}
    for picture, points in films["skull"]:
        soft = points[[index["upper_lip"], index["soft_pogonion"], index["subnasale"]]]
        inside, outside = (level(picture, soft + np.array((aside, 0))) for aside in (-6, 7))
        assert (inside > outside).all()
        x, y = points.T
        assert x[index["nasion"]] > x[index["sella"]] > x[index["porion"]]
        assert y[index["menton"]] > y[index["gonion"]] > y[index["sella"]]
        chin = y[[index[n] for n in ("supramentale", "pogonion", "gnathion", "menton")]]
        assert (np.diff(chin) > -4).all()


def test_rays_through_a_rod():
    film = Film(21, 11)
    film.tube([(2, 5), (18, 5)], 4.0, 1.0)
    rows = np.arange(11)
    assert np.allclose(film.density[:, 10], np.sqrt((1 - ((rows - 5) / 4) ** 2).clip(0)), atol=1e-6)
    bone = Film(21, 11)
    bone.tube([(2, 5), (18, 5)], 4.0, 1.0, hollow=0.7)
    assert bone.density[5, 10] < bone.density[2, 10]  # its edges are the brightest
    far = Film(10, 10)
    far.tube([(50, 50), (60, 60)], 4.0, 1.0)
    assert (far.density == 0).all()
