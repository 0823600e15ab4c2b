"""A drawn miniature of Waterbirds: two kinds of birds on land or water, in the official layout. NumPy and Pillow."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SPECIES = (
    ("013.Bobolink", "017.Cardinal", "073.Blue_Jay", "116.Chipping_Sparrow"),
    ("001.Black_footed_Albatross", "059.California_Gull", "087.Mallard", "100.Brown_Pelican"),
)
"""Folders of landbirds and of waterbirds."""
PLACES = (("b/bamboo_forest", "f/forest/broadleaf"), ("l/lake/natural", "o/ocean"))
LAND_COATS = ((170, 50, 40), (70, 90, 170), (150, 110, 60), (60, 50, 45), (190, 150, 50))
WATER_COATS = ((235, 235, 230), (190, 190, 195), (120, 110, 105), (215, 205, 180))
TRAIN_SHARES = ((3498, 184), (56, 1057))
"""Official training images by class and place; the other splits have each class half on land, half on water."""


def write_waterbirds(root: Path, size: int, seed: int) -> None:
    """Write `size` training, a third as many validation and half as many test images, and metadata.csv last."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[object, ...]] = []
    for split, count in enumerate((size, size // 3, size // 2)):
        for y, place in rng.permutation(_groups(count, balanced=split > 0)):
            number = len(rows) + 1
            species = SPECIES[y][number % len(SPECIES[y])]
            file = f"{species}/{species.partition('.')[2]}_{number:04d}.jpg"
            (root / species).mkdir(parents=True, exist_ok=True)
            draw_scene(int(y), int(place), rng).save(root / file, quality=92)
            scenery = PLACES[place][number % 2]
            rows.append((number, file, y, split, place, f"/{scenery}/{number:08d}.jpg"))
    with (root / "metadata.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(("img_id", "img_filename", "y", "split", "place", "place_filename"))
        writer.writerows(rows)


def _groups(count: int, balanced: bool) -> np.ndarray:
    """(count, 2) of class and place, at the official shares."""
    shares = np.array(TRAIN_SHARES, dtype=float)
    waterbirds = round(count * shares[1].sum() / shares.sum())
    rows = []
    for y, n in enumerate((count - waterbirds, waterbirds)):
        share = 0.5 if balanced else shares[y, 1 - y] / shares[y].sum()
        conflicting = max(1, round(n * share))
        rows += [(y, 1 - y)] * conflicting + [(y, y)] * (n - conflicting)
    return np.array(rows)


def draw_scene(y: int, place: int, rng: np.random.Generator) -> Image.Image:
    """A bird of class y on place (0 land, 1 water), about 100 pixels high and wide."""
    width, height = (int(n) for n in rng.integers(96, 129, 2))
    image = _water(width, height, rng) if place else _forest(width, height, rng)
    scale = 2
    layer = Image.new("RGBA", (width * scale, height * scale))
    _bird(ImageDraw.Draw(layer), y, width * scale, height * scale, rng)
    if rng.random() < 0.5:
        layer = layer.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    layer = layer.rotate(float(rng.uniform(-12, 12)), Image.Resampling.BILINEAR)
    layer = layer.resize((width, height), Image.Resampling.BOX)
    image.paste(layer, mask=layer.getchannel("A"))
    noisy = np.asarray(image).astype(float) + rng.normal(0, 5, (height, width, 3))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def _forest(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """Green leaves of many shades behind brown trunks, over darker ground."""
    light = rng.uniform(0.7, 1.15)
    image = Image.new("RGB", (width, height), _colour((40, 75, 30), light))
    draw = ImageDraw.Draw(image)
    for x in rng.uniform(0, width, rng.integers(3, 7)):
        thick = rng.uniform(3, 9)
        draw.rectangle((x, 0, x + thick, height), fill=_colour((90, 65, 40), light * rng.uniform(0.7, 1.2)))
    for _ in range(120):
        x, y, r = rng.uniform(0, width), rng.uniform(0, 0.85 * height), rng.uniform(3, 8)
        shade = (rng.uniform(30, 100), rng.uniform(90, 165), rng.uniform(20, 60))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=_colour(shade, light))
    draw.rectangle((0, 0.87 * height, width, height), fill=_colour((70, 70, 35), light))
    return image.filter(ImageFilter.GaussianBlur(0.8))


def _water(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """Sky over blue waves; the horizon lies somewhere in the upper half."""
    light, horizon = rng.uniform(0.75, 1.1), rng.uniform(0.1, 0.4)
    y, x = np.mgrid[0:height, 0:width] / height
    depth = np.clip((y - horizon) / (1 - horizon), 0, 1)
    wave = np.sin(6.3 * (rng.uniform(6, 12) * np.sqrt(depth) * 2 + 0.3 * np.sin(6.3 * rng.uniform(1, 2) * x + 9 * y)))
    sea = np.array([35.0, 95.0, 150.0]) + wave[..., None] * np.array([14.0, 18.0, 22.0]) - 20 * depth[..., None]
    sky = np.array([150.0, 190.0, 225.0]) + 40 * y[..., None]
    pixels = light * np.where(y[..., None] < horizon, sky, sea)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _bird(draw: ImageDraw.ImageDraw, y: int, width: int, height: int, rng: np.random.Generator) -> None:
    """Landbird: round, coloured, thin pointed beak, long legs. Waterbird: long, pale, bent neck, broad bill."""
    unit = min(width, height) * rng.uniform(0.2, 0.27)
    cx, cy = width * rng.uniform(0.42, 0.58), height * rng.uniform(0.48, 0.62)
    light = rng.uniform(0.85, 1.1)

    def at(*points: float) -> list[tuple[float, float]]:
        return [(cx + unit * px, cy + unit * py) for px, py in zip(points[::2], points[1::2], strict=True)]

    if y == 0:
        coat = _colour(LAND_COATS[rng.integers(len(LAND_COATS))], light)
        for x in (-0.15, 0.2):
            draw.line(at(x, 0.6, x, 1.3), fill=(60, 45, 30, 255), width=max(1, int(unit * 0.08)))
        draw.polygon(at(-0.6, 0.0, -1.7, -0.5, -1.5, 0.2), fill=_colour((90, 70, 60), light))
        draw.ellipse(at(-0.8, -0.7, 0.8, 0.75), fill=coat)
        draw.ellipse(at(0.25, -1.25, 1.15, -0.35), fill=coat)
        draw.polygon(at(1.08, -0.95, 1.6, -0.78, 1.08, -0.68), fill=(40, 35, 30, 255))
        draw.ellipse(at(0.75, -1.0, 0.92, -0.83), fill=(10, 10, 10, 255))
    else:
        coat = _colour(WATER_COATS[rng.integers(len(WATER_COATS))], light)
        draw.polygon(at(-1.1, -0.2, -1.9, -0.25, -1.1, 0.35), fill=coat)
        draw.ellipse(at(-1.45, -0.45, 1.0, 0.6), fill=coat)
        draw.ellipse(at(-1.2, -0.4, 0.3, 0.25), fill=_colour((95, 95, 105), light))
        draw.line(at(0.7, 0.1, 0.95, -0.5, 0.8, -1.1), fill=coat, width=int(unit * 0.38), joint="curve")
        draw.ellipse(at(0.5, -1.5, 1.15, -0.85), fill=coat)
        draw.polygon(at(1.05, -1.3, 2.0, -1.0, 1.95, -0.85, 1.0, -0.98), fill=_colour((235, 150, 40), light))
        draw.ellipse(at(0.85, -1.32, 0.98, -1.19), fill=(10, 10, 10, 255))


def _colour(rgb: tuple[float, float, float], light: float) -> tuple[int, ...]:
    return tuple(int(min(255, value * light)) for value in rgb)
