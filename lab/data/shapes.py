"""Drawn shapes on coloured ground, made in memory: the bias (ground colour) is easier to learn than the class (shape).

No files, no download: what `make demo` and the tests run on. The ground's colour family goes with the class in a share
rho of the training images. Shapes are grey, of low contrast, and vary in place, size, turn and brightness.

Measured at the defaults with a CNN of three convolutions (32, 64, 64 channels; AdamW 1e-3, batch 64, 8 epochs; two
seeds), accuracy on bias-conflicting test images: plain training .37, .38 (.72 after 16 epochs), batches balanced over
class x ground .90, .80, plain training on unbiased data (rho = .25) .96, .96. Aligned: 1.00 for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lab.config.fields import as_plain, option
from lab.data.base import Card, DataConfig, ImageSet, Split
from lab.data.bias import assign_bias, border
from lab.data.files import digest
from lab.errors import DataError

VERSION = 1
"""Raise when the same options would draw other images."""

SHAPES = ("disc", "square", "triangle", "cross")
GROUNDS = ("red", "green", "blue", "yellow")
HUES = np.array([0.0, 1 / 3, 2 / 3, 1 / 6])
"""Centre of each ground's colour family on the hue circle [0, 1)."""

CARD = Card(
    name="shapes",
    title="Drawn shapes",
    licence="drawn by lab itself, Apache-2.0",
    reference="none",
    layout="no files: drawn in memory from its options",
    sources=(),
    folder="shapes",
)


@dataclass
class ShapesConfig(DataConfig):
    """How many images, how large, how strongly the ground's colour goes with the shape, and how hard shapes are."""

    classes: int = option(4, "disc, square, triangle, cross: the first so many; as many ground colours")
    rho: float = option(0.95, "share of training and validation images whose ground goes with the shape")
    test_rho: float | None = option(None, "the same share in the test split; default 1 / classes, unbiased")
    train: int = option(3000, "training images")
    val: int = option(400, "validation images")
    test: int = option(1000, "test images")
    image_size: int = option(20, "side in pixels")
    difficulty: float = option(0.5, "0: upright shapes, lighter than the ground; 1: turned, hardly any lighter")
    noise: float = option(0.04, "standard deviation of the pixel noise, on the scale [0, 1]")
    draw_seed: int = option(0, "seed of the images")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.stand_in:
            yield "stand_in", "is not for shapes: they are drawn anyway; leave it out, or set smaller sizes"
        if not 2 <= self.classes <= len(SHAPES):
            yield "classes", f"has to be 2 to {len(SHAPES)}, is {self.classes}"
        for name in ("rho", "test_rho", "difficulty"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                yield name, f"has to be in [0, 1], is {value}"
        for name in ("train", "val", "test"):
            if getattr(self, name) < self.classes:
                yield name, f"has to be at least one image a class, is {getattr(self, name)}"
        if self.image_size < 12:
            yield "image_size", f"has to be at least 12, is {self.image_size}"
        if not 0 <= self.noise <= 0.5:
            yield "noise", f"has to be in [0, 0.5], is {self.noise}"


class Shapes:
    """Classes are shapes; biases are ground colours; colour k goes with shape k."""

    def __init__(self, config: ShapesConfig, cache: Path | None = None):
        for field, message in config.check():
            raise DataError(f"shapes: {field} {message}")
        self.config = config
        self.class_names = SHAPES[: config.classes]
        self.bias_names = GROUNDS[: config.classes]
        self.aligned = np.eye(config.classes, dtype=bool)
        self._splits: dict[Split, ImageSet] = {}

    @classmethod
    def locate(cls, config: ShapesConfig) -> Path:
        """Nothing to look for: the set is always there."""
        return Path()

    def split(self, name: Split) -> ImageSet:
        if name not in self._splits:
            self._splits[name] = self._draw(name)
        return self._splits[name]

    def fingerprint(self) -> str:
        return digest([CARD.name, VERSION, as_plain(self.config, keep_runtime=False)])

    @staticmethod
    def read_bias(images: np.ndarray, config: ShapesConfig) -> np.ndarray:
        """Colour family (n,) of the ground: the hue of the border's median colour; -1 when it is greyish or between."""
        hue, saturation = hue_and_saturation(np.median(border(images), axis=1) / 255)
        away = np.abs((hue[:, None] - HUES[: config.classes] + 0.5) % 1 - 0.5)
        found = (away.min(axis=1) <= 1 / 12) & (saturation >= 0.15)
        return np.where(found, away.argmin(axis=1), -1)

    def _draw(self, name: Split) -> ImageSet:
        config = self.config
        size: int = getattr(config, name)
        rho = config.rho
        if name == "test":
            rho = 1 / config.classes if config.test_rho is None else config.test_rho
        rng = np.random.default_rng([config.draw_seed, ("train", "val", "test").index(name)])
        labels = rng.permutation(np.arange(size) % config.classes)
        bias = assign_bias(labels, config.classes, rho, rng)
        blocks = [slice(start, start + 500) for start in range(0, size, 500)]
        images = np.concatenate([draw(labels[b], bias[b], config, rng) for b in blocks])
        return ImageSet(images, labels, bias, [f"{name}/{row}" for row in range(size)])


def draw(labels: np.ndarray, bias: np.ndarray, config: ShapesConfig, rng: np.random.Generator) -> np.ndarray:
    """Images uint8 (n, s, s, 3) of shape `labels` (n,) on ground `bias` (n,), edges smoothed by 3 x 3 samples."""
    n, size, hard = len(labels), config.image_size, config.difficulty

    def uniform(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, (n, 1, 1))

    axis = (np.arange(3 * size) + 0.5) / (1.5 * size) - 1  # samples over [-1, 1]
    y, x = axis[:, None], axis[None, :]
    radius = uniform(0.6, 0.75)
    turn = uniform(-1, 1) * 0.35 * hard
    y0, x0 = ((0.9 - radius) * uniform(-1, 1) for _ in range(2))
    u = ((x - x0) * np.cos(turn) + (y - y0) * np.sin(turn)) / radius
    v = ((y - y0) * np.cos(turn) - (x - x0) * np.sin(turn)) / radius
    inside = np.choose(
        labels[:, None, None],
        [
            u**2 + v**2 < 0.8,
            np.maximum(np.abs(u), np.abs(v)) < 0.79,
            (v < 0.55) & (v > np.sqrt(3) * np.abs(u) - 1.05),
            (np.minimum(np.abs(u), np.abs(v)) < 0.27) & (np.maximum(np.abs(u), np.abs(v)) < 0.98),
        ],
    )
    cover = inside.reshape(n, size, 3, size, 3).mean(axis=(2, 4))[..., None]

    hue = HUES[bias][:, None, None] + uniform(-0.05, 0.05)
    value = uniform(0.45, 0.75)
    wave = 0.08 * np.sin(uniform(2, 5) * x[:, ::3] + uniform(2, 5) * y[::3] + uniform(0, 6.3))
    ground = hsv_to_rgb(hue, uniform(0.55, 0.95), np.clip(value + wave, 0, 1))
    contrast = uniform(0.2 - 0.2 * hard, 0.34 - 0.24 * hard)
    grey = np.clip(0.55 * value + contrast, 0, 1)[..., None]
    image = ground * (1 - cover) + grey * cover + config.noise * rng.standard_normal((n, size, size, 3))
    return np.asarray(np.clip(image, 0, 1) * 255).round().astype(np.uint8)


def hsv_to_rgb(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """RGB in [0, 1], with a last axis of 3, from hue (period 1), saturation and value in [0, 1] that broadcast."""
    k = (np.array([5.0, 3.0, 1.0]) + 6 * np.asarray(hue)[..., None]) % 6
    ramp = np.clip(np.minimum(k, 4 - k), 0, 1)
    return np.asarray(value[..., None] * (1 - saturation[..., None] * ramp))


def hue_and_saturation(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hue in [0, 1) and saturation in [0, 1] of colours (..., 3) in [0, 1]; hue 0 where there is none."""
    red, green, blue = np.moveaxis(rgb, -1, 0)
    angle = np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue)
    most = rgb.max(axis=-1)
    return angle / (2 * np.pi) % 1, (most - rgb.min(axis=-1)) / np.maximum(most, 1e-9)
