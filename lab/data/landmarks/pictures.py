"""X-ray files: the size of the original, and its grey levels in a small square. NumPy and Pillow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lab.data.files import in_order, kept, reading, to_rgb

TURNED = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""


def read_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels of an image file, held upright as its EXIF orientation says. Reads the header alone.

    Raises:
        DataError: naming the file, when it is missing or not an image.
    """
    with reading(path) as image:
        width, height = image.size
        return (height, width) if image.getexif().get(0x0112) in TURNED else (width, height)


def read_grey(path: Path, size: int) -> np.ndarray:
    """Grey levels uint8 (size, size, 1) of an image file, upright, squashed to the square: bicubic, antialiased.

    Of more than 8 bits a pixel the lowest value becomes 0 and the highest 255: x-rays use some of 16 bits, seldom all.

    Raises:
        DataError: naming the file, when it is missing, not an image or damaged.
    """
    with reading(path) as image:
        if image.mode.startswith(("I", "F")):
            values = np.nan_to_num(np.asarray(ImageOps.exif_transpose(image), dtype=np.float64))
            low, high = values.min(), values.max()
            grey = Image.fromarray(np.uint8(np.rint(255 * (values - low) / max(high - low, 1e-12))))
        else:
            grey = to_rgb(image).convert("L")
        return np.asarray(grey.resize((size, size), Image.Resampling.BICUBIC))[..., None]


def squashed(paths: Sequence[Path], size: int, target: Path) -> np.ndarray:
    """All images as one read-only memory map, uint8 (n, size, size, 1), decoded once into the file `target` (.npy).

    `target` has to be named after the content of the images and `size`.

    Raises:
        DataError: naming the image that can't be decoded; or the disk is too small.
    """

    def rest(start: int) -> Iterator[np.ndarray]:
        return in_order(lambda path: read_grey(path, size), paths[start:], "decoding")

    return kept(len(paths), size, target, rest, channels=1)
