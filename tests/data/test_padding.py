"""Padding to a square, and the options of sets that use it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab.data.image_classes import ImageClasses, ImageClassesConfig
from lab.data.padding import border_colour, largest_side, padded, without_bottom
from lab.errors import DataError


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


def test_a_square_around_the_middle():
    image = Image.new("RGB", (10, 4), (200, 100, 50))
    image.putpixel((5, 2), (0, 0, 0))
    found = pixels(padded(image))
    assert found.shape == (10, 10, 3)
    assert (found[3:7] == pixels(image)).all()
    assert (found[:3] == (200, 100, 50)).all() and (found[7:] == (200, 100, 50)).all()
    assert (pixels(padded(image, fill="black"))[:3] == 0).all()
    assert (pixels(padded(image, fill="white"))[:3] == 255).all()
    larger = pixels(padded(image, side=16, fill="black"))
    assert larger.shape == (16, 16, 3) and (larger[6:10, 3:13] == pixels(image)).all()
    assert padded(image, side=6).size == (10, 10)
    assert padded(padded(image)).size == (10, 10)


def test_the_border_is_a_median():
    image = Image.new("RGB", (20, 20), (250, 240, 230))
    image.paste((0, 0, 0), (5, 0, 12, 20))  # an object that touches both sides
    assert border_colour(image) == (250, 240, 230)


def test_the_bottom_is_cut_off_but_for_a_row():
    image = Image.new("RGB", (8, 40))
    assert without_bottom(image, 31).size == (8, 9)
    assert without_bottom(image, 50).size == (8, 1)
    assert without_bottom(image, 0).size == (8, 40)


def test_the_largest_side_is_read_off_headers(tmp_path):
    for number, size in enumerate(((10, 20), (35, 5), (3, 3))):
        Image.new("RGB", size).save(tmp_path / f"{number}.png")
    files = sorted(tmp_path.iterdir())
    assert largest_side(files) == 35
    (tmp_path / "3.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"3\.png is not an image"):
        largest_side([*files, tmp_path / "3.png"])


def tree(root: Path) -> Path:
    """Black bars on grey: of class `long` 40 x 10, of class `short` 20 x 10; one test image is larger than all."""
    for name, width in (("long", 40), ("short", 20)):
        for split, count in (("train", 4), ("test", 2)):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                image = Image.new("RGB", (width, 10), (180, 180, 180))
                image.paste((0, 0, 0), (4, 3, width - 4, 7))
                image.save(root / split / name / f"{number}.png")
    Image.new("RGB", (80, 10), (180, 180, 180)).save(root / "test" / "long" / "1.png")
    return root


def test_padding_keeps_form_and_padding_to_the_largest_keeps_size(tmp_path):
    root = tree(tmp_path / "images")

    def widths(resize: str) -> dict[int, tuple[float, float]]:
        config = ImageClassesConfig(root=str(root), image_size=40, resize=resize, val_fraction=0.25)
        rows = ImageClasses(config, tmp_path / "cache").split("train")
        dark = rows.images[..., 0] < 90
        return {
            label: tuple(np.ptp(np.argwhere(dark[rows.labels == label][0]), axis=0) + 1)  # type: ignore[misc]
            for label in (0, 1)
        }

    squeezed, padded_, largest = (widths(resize) for resize in ("squeeze", "pad", "pad_largest"))
    assert squeezed[0][0] == squeezed[1][0] == 16  # 4 of 10 rows, whatever the width
    assert padded_[0] == (4, 32) and padded_[1] == (8, 24)
    assert largest[0] == (4, 32) and largest[1] == (4, 12)  # the test image of 80 has no say


def test_padding_is_part_of_what_identifies_the_content(tmp_path):
    root = tree(tmp_path / "images")
    options = ({"resize": "pad"}, {"resize": "pad", "fill": "black"}, {"resize": "pad_largest"}, {"resize": "crop"})
    made = [ImageClassesConfig(root=str(root), image_size=16, **o) for o in options]  # type: ignore[arg-type]
    found = [ImageClasses(config, tmp_path / "cache").fingerprint() for config in made]
    assert len(set(found)) == 4
    opened = ImageClasses(made[1], tmp_path / "cache").split("test").images
    assert opened[:, 0].max() == 0
