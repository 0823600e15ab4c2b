"""Drawn cells: stained, with a nucleus, on light ground, made in memory from options. Which factors make the class is
one of these, so that an explanation of a classifier can be checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lab.config.fields import as_plain, option
from lab.data.base import Card, DataConfig, ImageSet, Split
from lab.data.files import digest
from lab.data.listed import SPLITS, no_bias
from lab.data.microscopy.drawn_plankton import blurred
from lab.data.microscopy.species import inside
from lab.data.shapes import hsv_to_rgb
from lab.errors import DataError

VERSION = 1
"""Raise when the same options would draw other images."""

FACTORS = ("texture", "colour", "shape", "scale", "orientation")
"""In the order of those of Texture-dSprites."""
LEVELS: dict[str, tuple[str, ...]] = {
    "texture": ("smooth", "granular", "striped", "netted"),
    "colour": ("rose", "violet", "green", "ochre"),
    "shape": ("round", "oval", "bean", "lobed"),
    "scale": ("small", "middle", "large", "huge"),
    "orientation": ("0", "45", "90", "135"),
}
HUES = (0.95, 0.76, 0.42, 0.11)

CARD = Card(
    name="drawn_cells",
    title="Drawn cells",
    licence="drawn by lab itself, Apache-2.0",
    reference="none",
    layout="no files: drawn in memory from its options",
    sources=(),
    folder="drawn_cells",
)


@dataclass
class DrawnCellsConfig(DataConfig):
    """How many images, which factors make the class, and how much else varies."""

    classes_by: list[str] = option(
        factory=lambda: ["texture", "scale"], help="factors whose levels make the class; all others say nothing of it"
    )
    levels: int = option(2, "levels of each factor that makes the class, 2 to 4; the others always have 4")
    train: int = option(2000, "training images")
    val: int = option(200, "validation images")
    test: int = option(600, "test images")
    image_size: int = option(64, "side in pixels")
    jitter: float = option(0.5, "spread of values within a level; 1: neighbouring levels touch")
    noise: float = option(0.04, "standard deviation of the pixel noise, on the scale [0, 1]")
    blur: float = option(0.7, "largest standard deviation of the focus, in pixels of a 64-pixel image")
    draw_seed: int = option(0, "seed of the images")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.stand_in:
            yield "stand_in", "is not for drawn cells: they are drawn anyway; leave it out, or set smaller sizes"
        unknown = [name for name in self.classes_by if name not in FACTORS]
        if unknown or not self.classes_by or len(set(self.classes_by)) < len(self.classes_by):
            yield "classes_by", f"has to name some of {', '.join(FACTORS)}, each once, is {self.classes_by}"
        if not 2 <= self.levels <= 4:
            yield "levels", f"has to be 2 to 4, is {self.levels}"
        for name in SPLITS:
            if getattr(self, name) < self.levels ** len(self.classes_by):
                yield name, f"has to be at least one image a class, is {getattr(self, name)}"
        if self.image_size < 24:
            yield "image_size", f"has to be at least 24, is {self.image_size}"
        for field, most in (("jitter", 1.0), ("noise", 0.5), ("blur", 4.0)):
            if not 0 <= getattr(self, field) <= most:
                yield field, f"has to be in [0, {most}], is {getattr(self, field)}"


class DrawnCells:
    """Classes are combinations of levels, such as `smooth small`."""

    card = CARD
    bias_names: tuple[str, ...] = ()

    def __init__(self, config: DrawnCellsConfig, cache: Path | None = None):
        for field, message in config.check():
            raise DataError(f"drawn_cells: {field} {message}")
        self.config = config
        self._levels = np.array([config.levels if name in config.classes_by else 4 for name in FACTORS])
        self._defining = [FACTORS.index(name) for name in config.classes_by]
        grid = np.indices([config.levels] * len(self._defining)).reshape(len(self._defining), -1).T
        self._combinations = np.array([[self._spread(level) for level in row] for row in grid])
        self.class_names = tuple(
            " ".join(LEVELS[name][level] for name, level in zip(config.classes_by, row, strict=True))
            for row in self._combinations
        )
        self.aligned = no_bias(len(self.class_names))
        self._splits: dict[Split, ImageSet] = {}
        self._factors: dict[Split, np.ndarray] = {}

    def _spread(self, level: int) -> int:
        """Which of the four levels stands for one of fewer: the outer ones first."""
        return round(level * 3 / (self.config.levels - 1))

    @classmethod
    def locate(cls, config: DrawnCellsConfig) -> Path:
        """Nothing to look for: the set is always there."""
        return Path()

    def split(self, name: Split) -> ImageSet:
        if name not in self._splits:
            rng = np.random.default_rng([self.config.draw_seed, SPLITS.index(name)])
            size: int = getattr(self.config, name)
            labels = rng.permutation(np.arange(size) % len(self.class_names))
            factors = rng.integers(4, size=(size, len(FACTORS)))
            factors[:, self._defining] = self._combinations[labels]
            self._factors[name] = factors
            images = np.concatenate([draw(factors[at : at + 200], self.config, rng) for at in range(0, size, 200)])
            self._splits[name] = ImageSet(images, labels, np.full(size, -1), [f"{name}/{row}" for row in range(size)])
        return self._splits[name]

    def factors(self, name: Split) -> np.ndarray:
        """Level int64 (n, 5) of each of `FACTORS`, 0..3."""
        self.split(name)
        return self._factors[name]

    def fingerprint(self) -> str:
        return digest([CARD.name, VERSION, as_plain(self.config, keep_runtime=False)])

    @staticmethod
    def read_bias(images: np.ndarray, config: DrawnCellsConfig) -> None:
        """There is no bias attribute."""


def draw(factors: np.ndarray, config: DrawnCellsConfig, rng: np.random.Generator) -> np.ndarray:
    """Images uint8 (n, s, s, 3) of cells with these levels (n, 5), edges smoothed by 2 x 2 samples."""
    n, size = len(factors), config.image_size

    def uniform(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, (n, 1, 1)).astype(np.float32)

    texture, colour, shape, scale, orientation = (column[:, None, None] for column in factors.T)
    axis = ((np.arange(2 * size) + 0.5) / size - 1).astype(np.float32)
    y, x = axis[None, :, None] - 0.06 * uniform(-1, 1), axis[None, None, :] - 0.06 * uniform(-1, 1)
    radius = 0.3 + 0.14 * (scale.astype(np.float32) + config.jitter * uniform(-0.5, 0.5))
    turn = np.pi / 4 * (orientation.astype(np.float32) + config.jitter * uniform(-0.5, 0.5))
    u = (x * np.cos(turn) + y * np.sin(turn)) / radius
    v = (y * np.cos(turn) - x * np.sin(turn)) / radius
    distance, angle = np.hypot(u, v), np.arctan2(v, u)
    outline = np.choose(
        shape,
        [
            distance - 0.86,
            np.hypot(u, v / 0.6) - 1.02,
            np.hypot(u, (v + 0.35 * u**2 - 0.15) / 0.62) - 0.98,
            distance - 0.82 - 0.16 * np.cos(3 * angle),
        ],
    )
    body = inside(outline, 0.04)
    nucleus = inside(np.hypot(u - 0.2 * uniform(-1, 1), v - 0.15 * uniform(-1, 1)) - uniform(0.2, 0.26), 0.04)

    def smaller(values: np.ndarray) -> np.ndarray:
        return np.asarray(values.reshape(n, size, 2, size, 2).mean(axis=(2, 4)))

    # In pixels of the image, not of the cell: a large cell has more grains, not larger ones.
    place = np.linspace(-1, 1, size, dtype=np.float32)
    y, x = place[None, :, None] + uniform(0, 1), place[None, None, :] + uniform(0, 1)
    speckle = blurred(rng.standard_normal((n, size, size), dtype=np.float32), np.full(n, size / 52))
    relief = np.choose(
        texture,
        [
            np.zeros_like(speckle),
            np.clip(1.1 * speckle / speckle.std(axis=(1, 2), keepdims=True), -1, 1),
            np.sin(37 * (x + 0.6 * y)),
            1.4 * np.cos(44 * x) * np.cos(44 * y),
        ],
    )
    hue = np.array(HUES, dtype=np.float32)[colour] + 0.06 * config.jitter * uniform(-0.5, 0.5)
    stain = np.clip(0.42 + 0.24 * relief, 0.05, 0.95)
    value = np.clip(0.8 - 0.2 * relief, 0, 1) * uniform(0.93, 1.03)
    focus = config.blur * size / 64 * rng.uniform(0, 1, n)
    parts = (smaller(body), smaller(nucleus), stain, value)
    cover, core, stain, value = (blurred(part, focus)[..., None] for part in parts)
    cell = hsv_to_rgb(hue, stain[..., 0], value[..., 0])
    cell = cell * (1 - 0.75 * core) + 0.75 * core * np.array([0.25, 0.15, 0.4])
    ground = np.array([0.95, 0.94, 0.92]) * uniform(0.9, 1.0)[..., None]
    image = (
        ground * (1 - cover) + cell * cover + config.noise * rng.standard_normal((n, size, size, 3), dtype=np.float32)
    )
    return np.asarray((np.clip(image, 0, 1) * 255).round().astype(np.uint8))
