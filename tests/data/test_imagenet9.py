"""ImageNet-9 and ImageNet-A: the 42 wnids, the splits, and folders that may lie apart."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lab.data.imagenet9 import LABELS, WNIDS, ImageNet9, ImageNet9Config
from lab.errors import DataError


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> Path:
    folder = Path(tmp_path_factory.mktemp("imagenet"))
    ImageNet9.write_stand_in(folder, ImageNet9Config(stand_in_size=130))
    return folder


@pytest.fixture
def root(generated, tmp_path) -> Path:
    return Path(shutil.copytree(generated, tmp_path / "data"))


def opened(root: Path, **options) -> ImageNet9:
    return ImageNet9(ImageNet9Config(root=str(root), image_size=16, **options), root / "cache")


def test_nine_classes_of_42_wnids():
    assert len(LABELS) == 42 and [len(wnids) for wnids in WNIDS.values()] == [5, 5, 3, 5, 5, 5, 5, 4, 5]
    assert list(WNIDS) == ["dog", "cat", "frog", "turtle", "bird", "monkey", "fish", "crab", "insect"]


def test_the_folder_gives_the_class(root):
    data = opened(root)
    assert all(
        data.class_names[row.label] == next(k for k, v in WNIDS.items() if Path(row.file).parent.name in v)
        for row in data.rows
    )
    assert {row.file.split("/")[0] for row in data.rows if row.split == "test"} == {"imagenet-a"}
    assert {row.file.split("/")[0] for row in data.rows if row.split != "test"} == {"train"}
    assert all(row.bias == -1 for row in data.rows)


def test_tested_on_imagenets_own_images(root):
    data = opened(root, test_set="val")
    assert {row.file.split("/")[0] for row in data.rows if row.split == "test"} == {"val"}
    first, second = (
        [row for row in opened(root, test_set=t).rows if row.split != "test"] for t in ("val", "imagenet-a")
    )
    assert first == second


def test_other_wnids_of_the_whole_set_are_left_alone(root):
    other = root / "imagenet9/train/n01440764"
    shutil.copytree(root / "imagenet9/train/n02085620", other)
    assert not any("n01440764" in row.file for row in opened(root).rows)


def test_imagenet_a_may_lack_wnids_and_lie_beside_imagenet(root):
    expected = opened(root).split("test")
    (root / "imagenet9/imagenet-a").rename(root / "imagenet-a")
    (root / "imagenet9").rename(root / "imagenet")
    data = opened(root)
    assert (data.split("test").labels == expected.labels).all()
    assert (data.split("test").images == expected.images).all()
    shutil.rmtree(root / "imagenet-a/n02085620")
    assert len(opened(root).split("test")) == len(expected) - 3


def test_what_is_missing_is_named(root):
    shutil.rmtree(root / "imagenet9/imagenet-a")
    with pytest.raises(DataError, match=r"lab data get imagenet9 --part imagenet-a.*data\.test_set=val"):
        opened(root)
    shutil.rmtree(root / "imagenet9/val/n02219486")
    with pytest.raises(DataError, match="val/n02219486 can't be read"):
        opened(root, test_set="val")
    for path in (root / "imagenet9/train/n02219486").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="train/n02219486 has no images"):
        opened(root, test_set="val")
