"""The ten corruptions of Corrupted CIFAR-10, for images of 32 x 32 pixels. NumPy, SciPy and Pillow.

Kinds, order and strengths are those of LfF's protocol (Nam et al. 2020), which took them from CIFAR-10-C (Hendrycks and
Dietterich 2019, Apache-2.0). The code is ours, as the libraries that have it need ImageMagick, OpenCV or old versions
of NumPy. The rules are the same, up to random draws and rounding, for fog, brightness, contrast, JPEG, pixelate,
saturation, and for spatter at the levels of mud (4, 5). Snow is smeared in steps of whole pixels; elastic interpolates
once instead of twice; water (spatter, levels 1 to 3) is simpler. For frost, drawn ice replaces photographs of it.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

SIZE = 32
LEVELS = 5

Corruption = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
"""(image float (32, 32, 3) in [0, 1], level 0..4, generator) -> image of the same kind, perhaps beyond [0, 1]."""


def corrupt(image: np.ndarray, kind: str, level: int, rng: np.random.Generator) -> np.ndarray:
    """An image uint8 (32, 32, 3) under a corruption of `CORRUPTIONS` at level 1 (weak) to 5 (strong)."""
    if image.shape != (SIZE, SIZE, 3) or not 1 <= level <= LEVELS:
        raise ValueError(f"needs an image of {SIZE} x {SIZE} x 3 and a level of 1..{LEVELS}: {image.shape}, {level}")
    found = CORRUPTIONS[kind](image / 255, level - 1, rng)
    return np.asarray(np.clip(found, 0, 1) * 255 + 1e-6).astype(np.uint8)  # a whole number stays what it is


def snow(x: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    mean, spread, scale, least, length, sigma, keep = (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    )[level]
    flakes = rng.normal(mean, spread, (SIZE, SIZE))
    middle = int(np.ceil(SIZE / scale))
    start = (SIZE - middle) // 2
    flakes = zoom(flakes[start : start + middle, start : start + middle], scale, order=1)
    start = (len(flakes) - SIZE) // 2
    flakes = flakes[start : start + SIZE, start : start + SIZE]
    flakes = np.clip(np.where(flakes < least, 0, flakes), 0, 1)
    flakes = motion_blur(flakes, length, sigma, rng.uniform(-135, -45))[..., None]
    grey = (x @ np.array([0.299, 0.587, 0.114]))[..., None]
    return np.asarray(keep * x + (1 - keep) * np.maximum(x, 1.5 * grey + 0.5) + flakes + np.rot90(flakes, 2))


def motion_blur(layer: np.ndarray, length: int, sigma: float, angle: float) -> np.ndarray:
    """A layer (h, w) smeared to one side, `length` pixels far, with half a Gaussian of `sigma`; angle in degrees."""
    steps = np.arange(2 * length + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    down, right = np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle))
    y, x = np.mgrid[0 : layer.shape[0], 0 : layer.shape[1]]
    smeared = np.zeros_like(layer)
    for step, weight in zip(steps, weights / weights.sum(), strict=True):
        rows = np.clip(y + round(step * down), 0, layer.shape[0] - 1)
        columns = np.clip(x + round(step * right), 0, layer.shape[1] - 1)
        smeared += weight * layer[rows, columns]
    return smeared


def frost(x: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    keep, ice = ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))[level]
    # Ridges of two clouds look like needles of ice on a window; the tint is that of ice.
    ridges = np.maximum(*(1 - np.abs(2 * plasma(rng, decay) - 1) for decay in (1.3, 1.5)))
    texture = 0.25 + 0.75 * ridges[..., None] ** 4
    return np.asarray(keep * x + ice * texture * np.array([0.85, 0.95, 1.0]))


def fog(x: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    amount, decay = ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))[level]
    brightest = x.max()
    return np.asarray((x + amount * plasma(rng, decay)[..., None]) * brightest / (brightest + amount))


def plasma(rng: np.random.Generator, decay: float) -> np.ndarray:
    """A periodic cloud (32, 32) in [0, 1], by the diamond-square algorithm; each octave's noise is decay**2 weaker."""
    cloud = np.zeros((SIZE, SIZE))
    step, wobble = SIZE, 1.0
    while step >= 2:
        half = step // 2
        corners = cloud[::step, ::step]
        squares = corners + np.roll(corners, -1, 0)
        squares = squares + np.roll(squares, -1, 1)
        noise = rng.uniform(-wobble, wobble, (3, *corners.shape))
        middle = squares / 4 + noise[0]
        cloud[half::step, half::step] = middle
        cloud[::step, half::step] = (middle + np.roll(middle, 1, 0) + corners + np.roll(corners, -1, 1)) / 4 + noise[1]
        cloud[half::step, ::step] = (middle + np.roll(middle, 1, 1) + corners + np.roll(corners, -1, 0)) / 4 + noise[2]
        step, wobble = half, wobble / decay**2
    cloud -= cloud.min()
    return np.asarray(cloud / max(cloud.max(), 1e-9))


def brightness(x: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    hsv = rgb_to_hsv(x)
    hsv[..., 2] = np.clip(hsv[..., 2] + (0.05, 0.1, 0.15, 0.2, 0.3)[level], 0, 1)
    return np.asarray(hsv_to_rgb(hsv))


def contrast(x: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    mean = x.mean(axis=(0, 1), keepdims=True)
    return np.asarray((x - mean) * (0.75, 0.5, 0.4, 0.3, 0.15)[level] + mean)


def spatter(x: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    mean, spread, sigma, least, strength, mud = (
        (0.62, 0.1, 0.7, 0.7, 0.5, False),
        (0.65, 0.1, 0.8, 0.7, 0.5, False),
        (0.65, 0.3, 1, 0.69, 0.5, False),
        (0.65, 0.1, 0.7, 0.69, 0.6, True),
        (0.65, 0.1, 0.5, 0.68, 0.6, True),
    )[level]
    liquid = gaussian_filter(rng.normal(mean, spread, (SIZE, SIZE)), sigma, mode="nearest")
    if mud:
        cover = gaussian_filter((liquid > least).astype(float), strength, mode="nearest")[..., None]
        cover[cover < 0.8] = 0
        return np.asarray(x * (1 - cover) + cover * np.array([63, 42, 20]) / 255)
    # Water shines where it is thick; the original finds its rims with OpenCV.
    shine = gaussian_filter(np.where(liquid < least, 0, liquid), 1)
    shine *= strength / max(shine.max(), 1e-9)
    return np.asarray(x + shine[..., None] * np.array([175, 238, 238]) / 255)


def elastic(x: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    amplitude, sigma, jitter = (
        SIZE * share
        for share in ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03))[level]
    )
    centre, arm = SIZE // 2, SIZE // 3
    corners = np.array(
        [[centre + arm, centre + arm], [centre + arm, centre - arm], [centre - arm, centre - arm]], float
    )
    moved = corners + rng.uniform(-jitter, jitter, corners.shape)
    back = np.linalg.solve(np.column_stack([moved, np.ones(3)]), corners)  # (3, 2): where a moved point came from
    y, xs = np.mgrid[0:SIZE, 0:SIZE].astype(float)
    shift = [rng.uniform(-1, 1, (SIZE, SIZE)) for _ in range(2)]
    dy, dx = (amplitude * gaussian_filter(s, sigma, mode="reflect", truncate=3) for s in shift)
    points = np.stack([y + dy, xs + dx, np.ones_like(y)], axis=-1) @ back
    where = points.transpose(2, 0, 1)
    return np.stack([map_coordinates(x[..., c], where, order=1, mode="reflect") for c in range(3)], axis=-1)


def jpeg(x: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    file = io.BytesIO()
    _image(x).save(file, "JPEG", quality=(80, 65, 58, 50, 40)[level])
    return np.asarray(Image.open(file)) / 255


def pixelate(x: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    side = int(SIZE * (0.95, 0.9, 0.85, 0.75, 0.65)[level])
    small = _image(x).resize((side, side), Image.Resampling.BOX)
    return np.asarray(small.resize((SIZE, SIZE), Image.Resampling.BOX)) / 255


def saturate(x: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    factor, shift = ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2))[level]
    hsv = rgb_to_hsv(x)
    hsv[..., 1] = np.clip(hsv[..., 1] * factor + shift, 0, 1)
    return np.asarray(hsv_to_rgb(hsv))


def _image(x: np.ndarray) -> Image.Image:
    return Image.fromarray((x * 255).round().astype(np.uint8))


CORRUPTIONS: dict[str, Corruption] = {
    "snow": snow,
    "frost": frost,
    "fog": fog,
    "brightness": brightness,
    "contrast": contrast,
    "spatter": spatter,
    "elastic": elastic,
    "jpeg": jpeg,
    "pixelate": pixelate,
    "saturate": saturate,
}
"""In the order of the classes they go with."""
