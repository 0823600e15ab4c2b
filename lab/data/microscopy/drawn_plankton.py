"""Drawn plankton: grey images of up to twelve species, made in memory from options.

Species differ in form alone. Turn, size, contrast, focus, ground, dirt and noise say nothing about them.
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
from lab.data.microscopy.species import NAMES, SPECIES, inside
from lab.errors import DataError

VERSION = 1
"""Raise when the same options would draw other images."""

CARD = Card(
    name="drawn_plankton",
    title="Drawn plankton",
    licence="drawn by lab itself, Apache-2.0",
    reference="none",
    layout="no files: drawn in memory from its options",
    sources=(),
    folder="drawn_plankton",
)


@dataclass
class DrawnPlanktonConfig(DataConfig):
    """How many images of which species, and how bad the microscope is."""

    species: int = option(10, "how many kinds: the first so many of twelve")
    train: int = option(2000, "training images")
    val: int = option(200, "validation images")
    test: int = option(600, "test images")
    image_size: int = option(64, "side in pixels")
    size_spread: float = option(0.35, "organisms are from 1 - this to 1 times as large as the image allows")
    noise: float = option(0.05, "largest standard deviation of an image's pixel noise, on the scale [0, 1]")
    blur: float = option(1.0, "largest standard deviation of the focus, in pixels of a 64-pixel image")
    dirt: float = option(2.0, "specks of dirt in an image, on average")
    dark_ground: bool = option(False, "light organisms on dark ground")
    draw_seed: int = option(0, "seed of the images")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.stand_in:
            yield "stand_in", "is not for drawn plankton: it is drawn anyway; leave it out, or set smaller sizes"
        if not 2 <= self.species <= len(SPECIES):
            yield "species", f"has to be 2 to {len(SPECIES)}, is {self.species}"
        for name in SPLITS:
            if getattr(self, name) < self.species:
                yield name, f"has to be at least one image a species, is {getattr(self, name)}"
        if self.image_size < 24:
            yield "image_size", f"has to be at least 24, is {self.image_size}"
        for field, most in (("size_spread", 0.8), ("noise", 0.5), ("blur", 4.0), ("dirt", 20.0)):
            if not 0 <= getattr(self, field) <= most:
                yield field, f"has to be in [0, {most}], is {getattr(self, field)}"


class DrawnPlankton:
    """Classes are species."""

    card = CARD
    bias_names: tuple[str, ...] = ()

    def __init__(self, config: DrawnPlanktonConfig, cache: Path | None = None):
        for field, message in config.check():
            raise DataError(f"drawn_plankton: {field} {message}")
        self.config = config
        self.class_names = NAMES[: config.species]
        self.aligned = no_bias(config.species)
        self._splits: dict[Split, ImageSet] = {}

    @classmethod
    def locate(cls, config: DrawnPlanktonConfig) -> Path:
        """Nothing to look for: the set is always there."""
        return Path()

    def split(self, name: Split) -> ImageSet:
        if name not in self._splits:
            config = self.config
            rng = np.random.default_rng([config.draw_seed, SPLITS.index(name)])
            size: int = getattr(config, name)
            labels = rng.permutation(np.arange(size) % config.species)
            blocks = [labels[start : start + 200] for start in range(0, size, 200)]
            images = np.concatenate([draw(block, config, rng) for block in blocks])
            self._splits[name] = ImageSet(images, labels, np.full(size, -1), [f"{name}/{row}" for row in range(size)])
        return self._splits[name]

    def fingerprint(self) -> str:
        return digest([CARD.name, VERSION, as_plain(self.config, keep_runtime=False)])

    @staticmethod
    def read_bias(images: np.ndarray, config: DrawnPlanktonConfig) -> None:
        """There is no bias attribute."""


def draw(labels: np.ndarray, config: DrawnPlanktonConfig, rng: np.random.Generator) -> np.ndarray:
    """Images uint8 (n, s, s, 3) of species `labels` (n,), edges smoothed by 2 x 2 samples."""
    n, size = len(labels), config.image_size

    def uniform(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, (n, 1, 1)).astype(np.float32)

    axis = ((np.arange(2 * size) + 0.5) / size - 1).astype(np.float32)
    scale = 0.88 * (1 - uniform(0, config.size_spread))
    y, x = (axis[None, :, None] - 0.1 * uniform(-1, 1)), (axis[None, None, :] - 0.1 * uniform(-1, 1))
    turn = uniform(0, 2 * np.pi)
    u = (x * np.cos(turn) + y * np.sin(turn)) / scale
    v = (y * np.cos(turn) - x * np.sin(turn)) / scale * rng.choice([-1, 1], (n, 1, 1)).astype(np.float32)
    darkness = np.zeros_like(u)
    for label in np.unique(labels):
        rows = labels == label
        darkness[rows] = SPECIES[label](u[rows], v[rows], rng)
    darkness = darkness.reshape(n, size, 2, size, 2).mean(axis=(2, 4))
    place = np.linspace(-1, 1, size, dtype=np.float32)
    for row in np.repeat(np.arange(n), rng.poisson(config.dirt, n)):
        y0, x0, radius, dark = rng.uniform((-1, -1, 0.01, 0.1), (1, 1, 0.05, 0.5)).astype(np.float32)
        speck = inside(np.hypot(place[:, None] - y0, place - x0) - radius, 0.015)
        darkness[row] = np.maximum(darkness[row], dark * speck)
    darkness = blurred(darkness, config.blur * size / 64 * rng.uniform(0, 1, n))

    light = uniform(0.78, 0.95)
    ground = light * (1 + uniform(-0.08, 0.08) * place[None, :, None] + uniform(-0.08, 0.08) * place[None, None, :])
    grey = ground * (1 - uniform(0.55, 0.95) * darkness)
    grey = grey + config.noise * uniform(0.2, 1) * rng.standard_normal((n, size, size), dtype=np.float32)
    grey = np.clip(1 - grey if config.dark_ground else grey, 0, 1)
    return np.repeat((grey * 255).round().astype(np.uint8)[..., None], 3, axis=3)


def blurred(images: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Gaussian blur of each image (n, h, w), float, with its own deviation (n,) in pixels; edges repeat."""
    from scipy.ndimage import gaussian_filter

    return np.stack([gaussian_filter(i, s, mode="nearest") for i, s in zip(images, sigma, strict=True)])
