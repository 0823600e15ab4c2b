"""Hand-crafted descriptors of shapes whose values are known, and what they are invariant to."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

pytest.importorskip("mahotas", reason="needs lab[microscopy]")
pytest.importorskip("skimage", reason="needs lab[microscopy]")

from lab.papers.plankton_vae.descriptors import NAMES, described, descriptors, haralick, intensity, lbp
from lab.papers.plankton_vae.segmentation import segmented
from lab.papers.plankton_vae.shape import FOURIER, GEOMETRY, ZERNIKE, fourier, geometry, smallest_box, zernike

Y, X = np.mgrid[-100:101, -100:101]


def disc(radius: float) -> np.ndarray:
    return radius**2 >= X**2 + Y**2


def blob(scale: float = 1.0, turn: float = 0.0, shift: tuple[int, int] = (0, 0)) -> np.ndarray:
    """A drop with a bay: no symmetry at all."""
    y, x = (Y - shift[0]) / scale, (X - shift[1]) / scale
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    body = (u / 46) ** 2 + (v / (26 + 0.25 * u)) ** 2 < 1
    return np.asarray(body & ~((u + 6) ** 2 + (v - 27) ** 2 < 14**2))


def named(values: np.ndarray) -> dict[str, float]:
    return dict(zip(GEOMETRY, values.tolist(), strict=True))


def test_the_numbers_of_descriptors_are_the_published_ones():
    assert (len(GEOMETRY), len(ZERNIKE), len(FOURIER), len(NAMES), len(set(NAMES))) == (22, 23, 9, 131, 131)


def test_geometry_of_a_disc():
    found = named(geometry(disc(50)))
    area = np.pi * 50**2
    known = {
        "contour_area": (area, 0.01),
        "pixel_area": (area, 0.01),
        "perimeter": (2 * np.pi * 50, 0.02),
        "equivalent_diameter": (100, 0.01),
        "minor_axis": (100, 0.01),
        "major_axis": (100, 0.01),
        "roundness": (1, 0.03),
        "box_occupancy": (np.pi / 4, 0.03),
        "compactness": (1, 0.01),
        "rectangularity": (np.pi / 4, 0.02),
        "perimeter_ratio": (1, 0.01),
        "aspect_ratio": (1, 0.01),
        "long_side": (100, 0.02),
        "hu_1": (1 / (2 * np.pi), 0.01),
    }
    for name, (value, margin) in known.items():
        assert found[name] == pytest.approx(value, rel=margin), name
    assert found["eccentricity"] < 0.05
    assert max(abs(found[f"hu_{k}"]) for k in range(2, 8)) < 1e-6


def test_geometry_of_a_turned_rectangle():
    turned = Image.fromarray((np.abs(X) <= 60) & (np.abs(Y) <= 15)).rotate(33)
    found = named(geometry(np.asarray(turned)))
    assert found["aspect_ratio"] == pytest.approx(121 / 31, rel=0.05)
    assert found["long_side"] == pytest.approx(121, rel=0.03)
    assert found["rectangularity"] == pytest.approx(1, abs=0.04)
    assert found["eccentricity"] == pytest.approx(np.sqrt(1 - (31 / 121) ** 2), abs=0.01)
    assert found["box_occupancy"] < 0.6


INVARIANT = (*(f"hu_{k}" for k in range(1, 8)), "eccentricity", "roundness", "compactness", "rectangularity")


@pytest.mark.parametrize("other", [{"turn": 1.1}, {"scale": 1.7}, {"shift": (20, -30)}, {"scale": 0.8, "turn": 4.0}])
def test_shape_does_not_follow_turn_size_and_place(other):
    one, two = blob(), blob(**other)
    first, second = named(geometry(one)), named(geometry(two))
    for name in INVARIANT:
        # Of the last moments only the order of magnitude is left on a grid of pixels.
        small = 10.0 ** -(2 + int(name[-1])) / 2 if name.startswith("hu") else 0
        assert second[name] == pytest.approx(first[name], rel=0.05, abs=small), name
    assert zernike(two) == pytest.approx(zernike(one), abs=0.015)
    assert fourier(two) == pytest.approx(fourier(one), abs=0.01)


def test_shapes_that_differ_have_other_moments():
    assert np.abs(zernike(blob()) - zernike(disc(40))).max() > 0.05
    assert np.abs(fourier(blob()) - fourier(disc(40))).max() > 0.05
    assert fourier(disc(40)) == pytest.approx(0, abs=0.01)


def test_size_follows_size():
    one, two = named(geometry(blob(1.0))), named(geometry(blob(1.6)))
    assert two["pixel_area"] / one["pixel_area"] == pytest.approx(1.6**2, rel=0.02)
    assert two["long_side"] / one["long_side"] == pytest.approx(1.6, rel=0.02)


def test_three_lobes_are_the_third_frequency():
    radius, angle = np.hypot(X, Y), np.arctan2(Y, X)
    lobed = radius < 60 + 12 * np.cos(3 * angle)
    assert fourier(lobed).argmax() == 2  # frequencies 1 to 9
    assert fourier(lobed)[2] == pytest.approx(0.1, abs=0.015)


def test_the_smallest_box_is_the_best_of_all_turns():
    points = np.random.default_rng(0).standard_normal((60, 2)) * [3, 1] @ np.array([[0.8, 0.6], [-0.6, 0.8]])
    angles = np.linspace(0, np.pi / 2, 2000)
    areas = []
    for angle in angles:
        turned = points @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        areas.append(np.prod(np.ptp(turned, axis=0)))
    long, short = smallest_box(points)
    assert long * short == pytest.approx(min(areas), rel=1e-3)
    assert long > short


def test_textures_are_told_apart():
    rng = np.random.default_rng(0)
    flat, rough = np.full((60, 60), 120, np.uint8), rng.integers(0, 255, (60, 60)).astype(np.uint8)
    stripes = np.broadcast_to(np.where(np.arange(60) % 8 < 4, 60, 180).astype(np.uint8), (60, 60))
    for measure, length in ((lbp, 56), (haralick, 13)):
        found = np.stack([measure(texture) for texture in (flat, rough, stripes)])
        assert found.shape == (3, length) and np.isfinite(found).all()
        gaps = np.abs(found[:, None] - found[None]).max(axis=2)
        assert gaps[np.triu_indices(3, 1)].min() > 0.05
    assert lbp(rough).sum() == pytest.approx(1)


def test_intensity_is_of_the_pixels():
    pixels = np.array([[10, 20, 40]] * 3 + [[200, 100, 50]], np.uint8)
    grey = np.array([0.299 * 10 + 0.587 * 20 + 0.114 * 40] * 3 + [0.299 * 200 + 0.587 * 100 + 0.114 * 50]).round()
    mean, std, skew, _, entropy, red_blue, red_green, green_blue = intensity(pixels)
    assert (mean, std) == pytest.approx((grey.mean(), grey.std()))
    assert skew > 1 and entropy == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert (red_blue, red_green, green_blue) == pytest.approx((57.5 / 42.5, 57.5 / 40, 40 / 42.5))


def scene(dark: bool) -> tuple[np.ndarray, np.ndarray]:
    """An object with a hole and a speck of dirt on noisy ground that gets lighter to one side."""
    rng = np.random.default_rng(0)
    mask = blob()
    grey = 205 + 0.2 * X - 110 * (mask & ~disc(6)) - 90 * ((X - 80) ** 2 + (Y - 80) ** 2 < 5**2)
    grey = grey + rng.normal(0, 3, grey.shape)
    image = np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    return (255 - image if dark else image), mask


@pytest.mark.parametrize("dark", [False, True])
def test_the_object_is_found_without_its_hole(dark):
    image, mask = scene(dark)
    found = segmented(image)
    assert (found & mask).sum() / (found | mask).sum() > 0.9
    assert ndimage.label(found)[1] == 1
    assert (segmented(image, ground="dark" if dark else "light") == found).all()


def test_an_object_in_pieces_is_closed():
    """Two halves with a gap of three pixels: 3 x 3 leaves it, 5 x 5 does not."""
    image = np.full((120, 120, 3), 220, np.uint8)
    image[30:58, 40:80] = image[61:89, 40:80] = 60
    image[20:24, 60:100] = image[95:99, 20:60] = 60
    found = segmented(image)
    assert found[40, 60] and found[75, 60]


@pytest.mark.parametrize("value", [0, 128, 255])
def test_an_image_without_an_object_has_descriptors(value):
    image = np.full((1, 64, 64, 3), value, np.uint8)
    found = described(image)
    assert found.shape == (1, 131) and np.isfinite(found).all()


def test_small_and_odd_images_have_descriptors():
    rng = np.random.default_rng(0)
    for shape in ((9, 40, 3), (40, 3, 3), (5, 5, 3)):
        assert np.isfinite(described(rng.integers(0, 255, (1, *shape)).astype(np.uint8))).all()
    image, mask = scene(False)
    single = np.zeros_like(mask)
    single[50, 50] = True
    assert np.isfinite(descriptors(image, single)).all()
    line = np.zeros_like(mask)
    line[50, 20:90] = True
    assert np.isfinite(descriptors(image, line)).all()
    assert described(np.zeros((0, 8, 8, 3), np.uint8)).shape == (0, 131)
