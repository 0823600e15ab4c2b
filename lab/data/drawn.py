"""What the stand-ins of photographs show: printed digits as figures, on grounds whose colour is the bias attribute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lab.data.biased_mnist import COLOURS, draw_digit


def draw_figure(figure: int, ground: int, rng: np.random.Generator, size: tuple[int, int] = (48, 48)) -> Image.Image:
    """Digit `figure`, darker or lighter than its wavy ground of colour `ground`, both 0..9; `size` is width, height."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width] / max(size)
    angle, wavelength = rng.uniform(0, np.pi), rng.uniform(0.1, 0.4)
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) / wavelength * 2 * np.pi + rng.uniform(0, 2 * np.pi))
    light = rng.uniform(0.45, 0.75) + 0.08 * wave
    grey = np.array([128.0, 128.0, 128.0])
    scene = (0.65 * COLOURS[ground] + 0.35 * grey) * light[..., None]
    mask = Image.fromarray(draw_digit(figure, rng)).resize(size, Image.Resampling.BICUBIC)
    cover = np.asarray(mask, dtype=float)[..., None] / 255
    tone = rng.uniform(190, 235) if rng.random() < 0.5 else rng.uniform(10, 45)
    pixels = scene * (1 - cover) + tone * cover + rng.normal(0, 6, (height, width, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def save_figure(
    path: Path, figure: int, ground: int, rng: np.random.Generator, size: tuple[int, int] = (48, 48)
) -> None:
    """Draw and write, as what the ending says; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_figure(figure, ground, rng, size).save(path)
