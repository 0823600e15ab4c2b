"""Images made square by a border, so that what is in them keeps its form. NumPy and Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from PIL import Image

from lab.data.files import Readable, in_order, reading

Fill = Literal["border", "black", "white"]


def padded(image: Image.Image, side: int = 0, fill: Fill = "border") -> Image.Image:
    """The RGB image in the middle of a square of `side` pixels, or of its own longer side where that is larger."""
    longest = max(side, *image.size)
    if image.size == (longest, longest):
        return image
    colour = {"black": (0, 0, 0), "white": (255, 255, 255)}.get(fill) or border_colour(image)
    square = Image.new("RGB", (longest, longest), colour)
    square.paste(image, ((longest - image.width) // 2, (longest - image.height) // 2))
    return square


def border_colour(image: Image.Image) -> tuple[int, int, int]:
    """Median red, green and blue of the pixels at the edge."""
    pixels = np.asarray(image)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = np.median(edge, axis=0).astype(int).tolist()
    return red, green, blue


def without_bottom(image: Image.Image, rows: int) -> Image.Image:
    """The image without its lowest rows, a printed scale bar. At least one row is left."""
    return image.crop((0, 0, image.width, max(1, image.height - rows)))


def largest_side(files: Sequence[Readable]) -> int:
    """Longest side of any of these images, in pixels; only their headers are read.

    Raises:
        DataError: naming a file that is no image.
    """

    def side(file: Readable) -> int:
        with reading(file) as image:
            return max(image.size)

    return max(in_order(side, files, "measuring"), default=0)
