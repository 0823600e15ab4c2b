"""Drawn outlines, made in memory: as many classes as wanted, and other classes for another `family`.

For transfer learning in small: a network is trained on one family, and its features are used on another. A class is a
closed outline, r(t) = r0 (1 + sum_k a_k cos(k t + b_k)), with coefficients that its family and number decide; an image
of it varies in place, size, turn, colours and the outline's details. No files, no bias attribute.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lab.config.fields import as_plain, option
from lab.data.base import Card, DataConfig, ImageSet, Split
from lab.data.files import digest
from lab.errors import DataError

VERSION = 1
"""Raise when the same options would draw other images."""

WAVES = 5
"""Of an outline, with k from 2 on: k = 1 would only move it."""
ANGLES = 512
"""At which an outline is computed."""
BLOCK = 500
"""Images that are drawn at once."""

CARD = Card(
    name="outlines",
    title="Drawn outlines",
    licence="drawn by lab itself, Apache-2.0",
    reference="none",
    layout="no files: drawn in memory from its options",
    sources=(),
    folder="outlines",
)


@dataclass
class OutlinesConfig(DataConfig):
    """How many classes and images, of which family, and how hard."""

    family: int = option(0, "which outlines are the classes; families share none")
    classes: int = option(10, "how many of them")
    train: int = option(2000, "training images")
    val: int = option(500, "validation images")
    test: int = option(1000, "test images")
    image_size: int = option(24, "side in pixels")
    difficulty: float = option(0.3, "how far images of a class differ, in [0, 1]")
    noise: float = option(0.04, "standard deviation of the pixel noise, on the scale [0, 1]")
    draw_seed: int = option(0, "seed of the images; the classes stay the same")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.stand_in:
            yield "stand_in", "is not for outlines: they are drawn anyway; leave it out, or set smaller sizes"
        if not 2 <= self.classes <= 100:
            yield "classes", f"has to be 2 to 100, is {self.classes}"
        if self.family < 0:
            yield "family", f"has to be at least 0, is {self.family}"
        for name in ("train", "val", "test"):
            if getattr(self, name) < self.classes:
                yield name, f"has to be at least one image a class, is {getattr(self, name)}"
        if self.image_size < 12:
            yield "image_size", f"has to be at least 12, is {self.image_size}"
        if not 0 <= self.difficulty <= 1:
            yield "difficulty", f"has to be in [0, 1], is {self.difficulty}"
        if not 0 <= self.noise <= 0.5:
            yield "noise", f"has to be in [0, 0.5], is {self.noise}"


class Outlines:
    """Class names are the family and the number of the outline."""

    bias_names: tuple[str, ...] = ()

    def __init__(self, config: OutlinesConfig, cache: Path | None = None):
        for field, message in config.check():
            raise DataError(f"outlines: {field} {message}")
        self.config = config
        self.class_names = tuple(f"outline_{config.family}_{k}" for k in range(config.classes))
        self.aligned = np.zeros((config.classes, 0), dtype=bool)
        self._splits: dict[Split, ImageSet] = {}

    @classmethod
    def locate(cls, config: OutlinesConfig) -> Path:
        """Nothing to look for: the set is always there."""
        return Path()

    def split(self, name: Split) -> ImageSet:
        if name not in self._splits:
            self._splits[name] = self._draw(name)
        return self._splits[name]

    def fingerprint(self) -> str:
        return digest([CARD.name, VERSION, as_plain(self.config, keep_runtime=False)])

    @staticmethod
    def read_bias(images: np.ndarray, config: OutlinesConfig) -> np.ndarray | None:
        """There is none."""
        return None

    def _draw(self, name: Split) -> ImageSet:
        config = self.config
        size: int = getattr(config, name)
        rng = np.random.default_rng([config.draw_seed, config.family, ("train", "val", "test").index(name)])
        labels = rng.permutation(np.arange(size) % config.classes)
        shapes = outlines(config.family, config.classes)
        blocks = [labels[start : start + BLOCK] for start in range(0, size, BLOCK)]
        images = np.concatenate([draw(shapes[block], config, rng) for block in blocks])
        return ImageSet(images, labels, np.full(size, -1), [f"{name}/{row}" for row in range(size)])


def outlines(family: int, classes: int) -> np.ndarray:
    """Coefficients of the classes, complex (classes, waves): a_k exp(i b_k)."""
    rng = np.random.default_rng([family, 7])
    size = rng.dirichlet(np.full(WAVES, 0.7), classes) * 0.45
    return np.asarray(size * np.exp(2j * np.pi * rng.random((classes, WAVES))))


def draw(shapes: np.ndarray, config: OutlinesConfig, rng: np.random.Generator) -> np.ndarray:
    """Images uint8 (n, s, s, 3) of outlines (n, waves), edges smoothed by 2 x 2 samples."""
    n, size, hard = len(shapes), config.image_size, config.difficulty

    def uniform(low: float, high: float, *shape: int) -> np.ndarray:
        return rng.uniform(low, high, (n, *(shape or (1, 1)))).astype(np.float32)

    axis = ((np.arange(2 * size) + 0.5) / size - 1).astype(np.float32)  # samples over [-1, 1]
    radius = uniform(0.45, 0.6)
    y = axis[:, None] - 0.3 * hard * uniform(-1, 1)
    x = axis[None, :] - 0.3 * hard * uniform(-1, 1)
    distance = np.sqrt(x * x + y * y)
    turn = np.arctan2(y, x) / (2 * np.pi) + 0.5 * hard * uniform(-1, 1)
    detail = 0.06 * hard * (rng.standard_normal(shapes.shape) + 1j * rng.standard_normal(shapes.shape))
    waves = np.exp(2j * np.pi / ANGLES * np.outer(np.arange(WAVES) + 2, np.arange(ANGLES)))
    edges = (1 + ((shapes + detail) @ waves).real).astype(np.float32)  # (n, angles)
    edge = np.take_along_axis(edges, (turn * ANGLES).astype(np.int64).reshape(n, -1) % ANGLES, 1).reshape(turn.shape)
    inside = distance < radius * edge
    cover = inside.reshape(n, size, 2, size, 2).mean(axis=(2, 4))[..., None]

    across = uniform(2, 9) * axis[None, ::2] + uniform(2, 9) * axis[::2, None] + uniform(0, 6.3)
    ground = uniform(0.1, 0.45, 1, 1, 3) + 0.08 * hard * np.sin(across)[..., None]
    figure = ground + uniform(0.4 - 0.2 * hard, 0.6 - 0.2 * hard, 1, 1, 1) * uniform(0.7, 1, 1, 1, 3)
    image = ground * (1 - cover) + figure * cover + config.noise * rng.standard_normal((n, size, size, 3), np.float32)
    return np.asarray(np.clip(image, 0, 1) * 255).round().astype(np.uint8)
