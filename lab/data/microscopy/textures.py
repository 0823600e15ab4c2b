"""Grey textures in [0, 1]: tiles of the Normalized Brodatz set, or procedural ones that look about like them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from lab.errors import DataError

FOLDER = "texture/Normalized_Brodatz"
TILES = ("D11", "D40", "D23", "D109", "D102")
SIDE = 640
OFFSET, CROP = 20, 224
"""Corner and side of the part of a tile that is used."""


def brodatz_files(root: Path) -> list[Path]:
    """The five tiles below a root, or none when any of them is absent."""
    found = [root / FOLDER / f"{name}.tif" for name in TILES]
    return found if all(path.is_file() for path in found) else []


def used_part(tile: np.ndarray) -> np.ndarray:
    """The 224 x 224 pixels of a tile that textures are cut from."""
    return tile[OFFSET : OFFSET + CROP, OFFSET : OFFSET + CROP]


def brodatz(path: Path) -> np.ndarray:
    """The used part of a tile, float (224, 224) in [0, 1]. Raises DataError when it is damaged or too small."""
    try:
        with Image.open(path) as image:
            grey = np.asarray(image.convert("L"), dtype=np.float64) / 255
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} can't be decoded ({error}); get this file again") from error
    if min(grey.shape) < OFFSET + CROP:
        raise DataError(f"{path} is {grey.shape[1]} x {grey.shape[0]} pixels, not {SIDE} x {SIDE}; get it again")
    return used_part(grey)


@cache
def procedural(kind: int) -> np.ndarray:
    """Tile number `kind` of five, float (640, 640) in [0, 1]: cloth, net, pebbles, paper, cane.

    Structures are about 30 pixels wide, so that they are still there when 224 pixels become 32.
    """
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(kind)
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    if kind == 0:  # diagonal stripes
        wave = np.sin((x + y) / 5.5) + 0.4 * _noise(rng, 12)
    elif kind == 1:  # a net of round holes
        wave = -np.cos(x / 6) - np.cos(y / 6) + 0.2 * _noise(rng, 8)
    elif kind == 2:  # cells around random points, dark between them
        points = cKDTree(rng.uniform(0, SIDE, (450, 2)))
        near = points.query(np.stack([y, x], axis=-1), k=2)[0]
        wave = np.minimum(near[..., 1] - near[..., 0], 9) + 0.5 * _noise(rng, 20)
    elif kind == 3:  # clouds
        wave = _noise(rng, 26) + 0.5 * _noise(rng, 9)
    else:  # bars of alternating direction
        upright = (x // 32 + y // 32) % 2 == 0
        wave = np.where(upright, np.sin(x / 2.6), np.sin(y / 2.6)) + 0.2 * _noise(rng, 8)
    low, high = np.percentile(wave, (1, 99))
    tile = np.asarray(0.15 + 0.85 * np.clip((wave - low) / (high - low), 0, 1))
    tile.flags.writeable = False  # it is shared
    return tile


def write_drawn(root: Path) -> None:
    """Procedural tiles as files, where those of the set would be."""
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    for kind, name in enumerate(TILES):
        Image.fromarray((procedural(kind) * 255).round().astype(np.uint8)).save(root / FOLDER / f"{name}.tif")


def _noise(rng: np.random.Generator, width: float) -> np.ndarray:
    """Smooth noise (640, 640) of deviation 1, structures about `width` pixels wide."""
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(rng.standard_normal((SIDE, SIDE)), width / 3, mode="wrap")
    return np.asarray(field / field.std())
