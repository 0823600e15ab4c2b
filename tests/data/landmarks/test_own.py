"""A user's own images and their table: what it may look like, and one line for each mistake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab.data.landmarks.own import ImageLandmarks, ImageLandmarksConfig
from lab.errors import DataError


def write(root: Path, head: str = "image,x0,y0,x1,y1", line: str = "{n}.png,1,2,{n}.5,4", rows: int = 20) -> None:
    for n in range(rows):
        Image.new("L", (30, 40), 10 * n).save(root / f"{n}.png")
    (root / "landmarks.csv").write_text("\n".join([head, *(line.format(n=n) for n in range(rows))]) + "\n")


def opened(root: Path, **options) -> ImageLandmarks:
    return ImageLandmarks(ImageLandmarksConfig(root=str(root), image_size=16, **options), root / "cache")


def test_images_and_points_are_enough(tmp_path):
    write(tmp_path)
    data = opened(tmp_path)
    assert (data.unit, data.names, data.frame) == ("px", ("0", "1"), None)
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [14, 2, 4]
    rows = data.split("test")
    for name, points, image in zip(rows.names, rows.landmarks, rows.images, strict=True):
        number = int(name.removesuffix(".png"))
        assert points.tolist() == [[1, 2], [number + 0.5, 4]] and (image == 10 * number).all()
    assert opened(tmp_path, split_seed=1).split("test").names != rows.names


def test_spacing_and_splits(tmp_path):
    write(tmp_path, "image;x0;y0;spacing;split", "{n}.png;1;2;0.25;test")
    table = tmp_path / "landmarks.csv"
    table.write_text(table.read_text().replace("test", "train", 12).replace("test", "val", 3))
    data = opened(tmp_path)
    assert data.unit == "mm" and (data.split("val").spacing == 0.25).all()
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [12, 3, 5]


@pytest.mark.parametrize(
    ("head", "line", "said"),
    [
        ("file,x0,y0", "{n}.png,1,2", "has no column image; it has: file, x0, y0"),
        ("image,x0", "{n}.png,1", "has no column y0"),
        ("image,label", "{n}.png,1", "has no column x0, y0"),
        ("image,x0,y0", "{n}.png,1,", "line 2: y0 is missing"),
        ("image,x0,y0", "{n}.png,1,two", "line 2: y0 is 'two', not a number"),
        ("image,x0,y0", ",1,2", "line 2: image is missing"),
        ("image,x0,y0", "{n}.png,1,2,3", "line 2: has more cells than there are columns"),
        ("image,x0,y0", "{n}.png,31,2", r"line 2: point 0 \(31, 2\) is outside its image of 30 x 40 pixels"),
        ("image,x0,y0", "a{n}.png,1,2", r"line 2: .*a0.png does not exist \(20 of 20 files are missing\)"),
        ("image,x0,y0", "1.png,1,2", "line 3: 1.png is on line 2 already"),
        ("image,x0,y0,spacing", "{n}.png,1,2,0", "line 2: spacing has to be above 0 mm, is 0"),
        ("image,x0,y0,split", "{n}.png,1,2,", "line 2: split is missing; it has to be train, val or test"),
        ("image,x0,y0,split", "{n}.png,1,2,test", "has no training rows"),
        ("image,x0,y0", "", "has no rows"),
    ],
)
def test_a_mistake_is_one_line(head, line, said, tmp_path):
    write(tmp_path, head, line)
    with pytest.raises(DataError, match=said) as error:
        opened(tmp_path)
    assert "\n" not in str(error.value)


def test_spacing_of_some_images_only(tmp_path):
    write(tmp_path, "image,x0,y0,spacing", "{n}.png,1,2,0.5")
    table = tmp_path / "landmarks.csv"
    table.write_text(table.read_text().replace("3.png,1,2,0.5", "3.png,1,2,"))
    with pytest.raises(DataError, match="line 5: spacing is missing; give it for all images or for none"):
        opened(tmp_path)


def test_no_table(tmp_path):
    with pytest.raises(DataError, match=r"there is no landmarks.csv in .*data.stand_in=true"):
        opened(tmp_path)


def test_its_stand_in(tmp_path):
    ImageLandmarks.write_stand_in(tmp_path, ImageLandmarksConfig(stand_in_size=12))
    data = opened(tmp_path)
    assert data.unit == "mm" and len(data.names) == 6
    assert all(len(data.split(split)) for split in ("train", "val", "test"))
    assert np.isfinite(data.split("train").landmarks).all()
