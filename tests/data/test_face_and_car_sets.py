"""BFFHQ and UrbanCars: official layouts, and what the groups are."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from lab.data.bffhq import Bffhq, BffhqConfig
from lab.data.urbancars import UrbanCars, UrbanCarsConfig
from lab.errors import DataError


@pytest.fixture
def faces(tmp_path) -> Path:
    Bffhq.write_stand_in(tmp_path, BffhqConfig(stand_in_size=80))
    return tmp_path


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> Path:
    folder = Path(tmp_path_factory.mktemp("cars"))
    UrbanCars.write_stand_in(folder, UrbanCarsConfig(stand_in_size=400))
    return folder


@pytest.fixture
def cars(generated, tmp_path) -> Path:
    return Path(shutil.copytree(generated, tmp_path / "data"))


def bffhq(root: Path, **options) -> Bffhq:
    return Bffhq(BffhqConfig(root=str(root), image_size=16, **options), root / "cache")


def urbancars(root: Path) -> UrbanCars:
    return UrbanCars(UrbanCarsConfig(root=str(root), image_size=16), root / "cache")


def test_aligned_faces_lie_in_align(faces):
    data = bffhq(faces)
    train = [row for row in data.rows if row.split == "train"]
    assert len(train) == 80
    assert all(("/align/" in row.file) == (row.label == row.bias) for row in train)


def test_both_places_of_validation(faces):
    expected = [(row.label, row.bias) for row in bffhq(faces).rows if row.split == "val"]
    (faces / "bffhq/valid").rename(faces / "bffhq/0.5pct/valid")
    assert [(row.label, row.bias) for row in bffhq(faces).rows if row.split == "val"] == expected
    shutil.rmtree(faces / "bffhq/0.5pct/valid")
    with pytest.raises(DataError, match=r"has neither valid/ nor 0\.5pct/valid/"):
        bffhq(faces)


def test_a_face_without_its_numbers(faces):
    (faces / "bffhq/test/portrait.png").touch()
    with pytest.raises(DataError, match=r"portrait\.png: the name has to end in _<label>_<bias>"):
        bffhq(faces)


def test_another_share_is_another_folder(faces):
    with pytest.raises(DataError, match=r"looked for 2pct/align in "):
        bffhq(faces, percent="2pct")


def test_cars_have_four_groups_a_class_at_the_official_shares(cars):
    data = urbancars(cars)
    counts = Counter((row.label, row.bias) for row in data.rows if row.split == "train")
    # of 200 a class: 180.5 both common, 9.5 each with one rare, 0.5 (at least 1) both
    assert [counts[0, bias] for bias in range(4)] == [180, 10, 10, 1]
    assert [counts[1, bias] for bias in range(4)] == [1, 10, 10, 180]
    assert set(Counter((row.label, row.bias) for row in data.rows if row.split == "test").values()) == {16}
    assert data.bias_names[1] == "urban scene, country object"


def test_cars_take_their_groups_from_the_folders(cars):
    for row in urbancars(cars).rows:
        folder = Path(row.file).parent.name
        kinds = [
            int(part.endswith("country")) for part in folder.replace("_bg", "|bg").replace("_co", "|co").split("|")
        ]
        assert kinds == [row.label, row.bias // 2, row.bias % 2]


def test_cars_under_the_other_name(cars):
    (cars / "urbancars").rename(cars / "urbancars_images")
    assert urbancars(cars).root == cars / "urbancars_images"


def test_a_group_that_is_missing(cars):
    gone = "obj-urban_bg-urban_co_occur_obj-country"
    shutil.rmtree(cars / "urbancars/bg-0.5_co_occur_obj-0.5/test" / gone)
    with pytest.raises(DataError, match=f"{gone} can't be read"):
        urbancars(cars)
