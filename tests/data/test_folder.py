"""A folder of odd images, as users have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab.data.folder import FolderConfig, ImageFolder
from lab.errors import DataError


@pytest.fixture
def folder(tmp_path) -> Path:
    root = tmp_path / "my images"
    (root / "deeper" / "still").mkdir(parents=True)
    (root / ".hidden").mkdir()
    Image.new("RGB", (9, 5), (200, 10, 10)).save(root / "b.JPG", format="JPEG", quality=95)
    Image.new("RGBA", (5, 9), (0, 0, 255, 255)).save(root / "deeper" / "a.png")
    Image.new("L", (5, 5), 77).save(root / "deeper" / "still" / "grey.bmp")
    Image.new("RGB", (5, 5), "white").save(root / "anim.gif", save_all=True, append_images=[Image.new("RGB", (5, 5))])
    Image.new("RGB", (5, 5)).save(root / ".hidden" / "no.png")
    (root / "notes.txt").write_text("no image")
    return root


def opened(path: Path, **options) -> ImageFolder:
    return ImageFolder(FolderConfig(str(path), image_size=8, **options), path.parent / "cache")


def test_all_kinds_are_found_in_order(folder):
    images = opened(folder).split("test")
    assert list(images.names) == ["anim.gif", "b.JPG", "deeper/a.png", "deeper/still/grey.bmp"]
    assert images.images.shape == (4, 8, 8, 3)
    assert images.images[2, 0, 0].tolist() == [0, 0, 255] and images.images[3, 0, 0].tolist() == [77, 77, 77]
    assert images.images[0, 0, 0].tolist() == [255, 255, 255], "the first frame"
    assert images.labels.tolist() == images.bias.tolist() == [-1] * 4


def test_one_image(folder):
    assert list(opened(folder / "b.JPG").split("test").names) == ["b.JPG"]


def test_a_damaged_image_stops_by_name_or_is_left_out_by_name(folder):
    (folder / "broken.png").write_bytes((folder / "deeper" / "a.png").read_bytes()[:-30])
    with pytest.raises(DataError, match=r"broken\.png"):
        opened(folder).split("test")
    found = opened(folder, skip_damaged=True)
    assert len(found.split("test")) == 4
    assert len(found.damaged) == 1 and "broken.png" in found.damaged[0]


def test_nothing_but_damaged_images(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"?")
    with pytest.raises(DataError, match=r"none of 1 images .* can be decoded"):
        opened(tmp_path / "in", skip_damaged=True).split("test")


def test_no_folder_and_no_images(tmp_path):
    with pytest.raises(DataError, match="there is no folder"):
        opened(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no images below .*empty"):
        opened(tmp_path / "empty")


def test_fingerprint_follows_the_content(folder):
    before = opened(folder).fingerprint()
    assert opened(folder).fingerprint() == before
    Image.fromarray(np.zeros((3, 3, 3), np.uint8)).save(folder / "new.png")
    assert opened(folder).fingerprint() != before
