"""Waterbirds: the official layout through the stand-in, and one line for each thing that can be wrong with a copy."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab.data.waterbirds import CARD, Waterbirds, WaterbirdsConfig
from lab.errors import DataError

Change = Callable[[list[dict[str, str]]], None]


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("waterbirds")
    Waterbirds.write_stand_in(folder, WaterbirdsConfig(stand_in_size=80))
    return folder


@pytest.fixture
def copy(generated, tmp_path) -> Path:
    """A copy of the stand-in's data set folder that a test may damage."""
    return Path(shutil.copytree(generated / CARD.folder, tmp_path / "data" / CARD.folder))


def opened(folder: Path, **options) -> Waterbirds:
    return Waterbirds(WaterbirdsConfig(root=str(folder), image_size=16, **options), folder.parent / "cache")


def edit(folder: Path, change: Change) -> None:
    path = folder / "metadata.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    change(rows)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def message(folder: Path) -> str:
    with pytest.raises(DataError) as error:
        for name in ("train", "val", "test"):
            opened(folder).split(name)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_official_shares(generated):
    data = opened(generated)
    train, test = data.split("train"), data.split("test")
    assert train.images.shape == (80, 16, 16, 3) and train.images.dtype == np.uint8
    groups = np.bincount(train.labels * 2 + train.bias, minlength=4)
    assert groups.tolist() == [58, 3, 1, 18]
    land = test.bias[test.labels == 0]
    assert abs((land == 0).sum() - (land == 1).sum()) <= 1
    assert train.names[0].split("/")[0] in {path.name for path in (generated / CARD.folder).iterdir()}
    assert data.split("train") is train


def test_background_tells_the_place(generated):
    train = opened(generated).split("train")
    edge = train.images[:, :, 0].astype(int).mean(axis=1)
    bluer = edge[:, 2] > edge[:, 1]
    assert (bluer == (train.bias == 1)).mean() > 0.95


def test_images_are_squeezed_and_smoothed(generated):
    data = opened(generated)
    row = data.rows[0]
    name = ("train", "val", "test")[row.split]
    with Image.open(generated / CARD.folder / row.file) as image:
        expected = np.asarray(image.convert("RGB").resize((16, 16), Image.Resampling.BICUBIC))
    images = data.split(name)
    assert (images.images[list(images.names).index(row.file)] == expected).all()


def test_the_folder_itself_may_be_the_root(copy):
    assert Waterbirds.locate(WaterbirdsConfig(root=str(copy))) == copy
    assert Waterbirds.locate(WaterbirdsConfig(root=str(copy.parent))) == copy


def test_images_are_decoded_once(copy, monkeypatch):
    first = opened(copy).split("train")
    monkeypatch.setattr("lab.data.files.decode", lambda *_: pytest.fail("decoded again"))
    assert (opened(copy).split("train").images == first.images).all()
    assert not list((copy.parent / "cache").glob("*.part"))


def test_another_image_is_another_fingerprint(copy):
    before = opened(copy).fingerprint()
    assert opened(copy).fingerprint() == before
    path = copy / opened(copy).rows[0].file
    Image.new("RGB", (40, 40), "red").save(path)
    assert opened(copy).fingerprint() != before
    assert opened(copy, fixed_labels=True).fingerprint() != opened(copy).fingerprint()


def test_the_same_seed_draws_the_same_files(generated, copy, tmp_path):
    Waterbirds.write_stand_in(tmp_path / "again", WaterbirdsConfig(stand_in_size=80))
    data, again = opened(generated), opened(tmp_path / "again")
    assert again.fingerprint() == data.fingerprint()


def test_fixed_labels_touch_the_three_species_only(copy):
    def change(rows):
        for number, species in enumerate(("021.Eastern_Towhee", "102.Western_Wood_Pewee", "053.Western_Grebe")):
            row = next(row for row in rows if row["y"] == "1" and row["split"] == "0" and row["img_filename"][0] != "9")
            moved = f"9{number}/{species}/bird.jpg"
            (copy / moved).parent.mkdir(parents=True)
            shutil.copy(copy / row["img_filename"], copy / moved)
            row["img_filename"] = moved

    edit(copy, change)
    plain, fixed = opened(copy).split("train"), opened(copy, fixed_labels=True).split("train")
    changed = {Path(plain.names[row]).parent.name for row in np.flatnonzero(plain.labels != fixed.labels)}
    assert changed == {"021.Eastern_Towhee", "102.Western_Wood_Pewee"}
    assert (plain.bias == fixed.bias).all()


def test_nothing_found_says_where_and_how(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_DATA", str(tmp_path))
    with pytest.raises(DataError) as error:
        Waterbirds.locate(WaterbirdsConfig())
    for part in (str(tmp_path / CARD.folder), "lab data get waterbirds", "--profile smoke", CARD.licence, "LAB_DATA"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_metadata_missing(copy):
    (copy / "metadata.csv").unlink()
    assert "has no metadata.csv" in message(copy.parent)


def test_a_column_missing(copy):
    edit(copy, lambda rows: [row.pop("place") for row in rows])
    assert "metadata.csv has no column place; it has: img_id, img_filename, y, split, place_filename" in message(copy)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("y", "bird", "line 5: y is 'bird'; it has to be 0 or 1"),
        ("place", "", "line 5: place is ''; it has to be 0 or 1"),
        ("split", "3", "line 5: split is '3'; it has to be 0, 1 or 2"),
        ("img_filename", "", "line 5: img_filename is missing"),
    ],
)
def test_a_value_that_makes_no_sense(copy, column, value, said):
    edit(copy, lambda rows: rows[3].update({column: value}))
    assert said in message(copy)


def test_a_row_cut_short(copy):
    path = copy / "metadata.csv"
    path.write_text(path.read_text() + "999,some.jpg\n")
    assert "y is missing" in message(copy)


def test_not_a_text_file(copy):
    (copy / "metadata.csv").write_bytes(b"\xff\xfe\x00\x01" * 9)
    assert "metadata.csv is not a CSV file in UTF-8" in message(copy)


def test_no_rows(copy):
    (copy / "metadata.csv").write_text("img_id,img_filename,y,split,place,place_filename\n")
    assert "has no rows" in message(copy)


def test_images_missing(copy):
    rows = opened(copy).rows
    for row in rows[4:6]:
        (copy / row.file).unlink()
    assert f"2 of {len(rows)} images named in" in message(copy)
    assert f"missing, first {rows[4].file} (line {rows[4].line})" in message(copy)


def test_an_image_cut_short(copy):
    path = copy / opened(copy).rows[2].file
    path.write_bytes(path.read_bytes()[:-400])
    assert f"{path} can't be decoded" in message(copy)
    assert not list((copy.parent / "cache").glob("*.npy")) and not list((copy.parent / "cache").glob("*.part"))


def test_something_else_under_the_name_of_an_image(copy):
    path = copy / opened(copy).rows[2].file
    path.write_text("not found")
    assert f"{path} is not an image" in message(copy)


def test_a_class_without_images(copy):
    edit(copy, lambda rows: [row.update(y="0") for row in rows if row["split"] == "1"])
    assert "class 'waterbird' has no images in the val split" in message(copy)


def test_options_are_checked():
    assert [name for name, _ in WaterbirdsConfig(image_size=1, stand_in_size=1).check()] == [
        "image_size",
        "stand_in_size",
    ]
    assert not list(replace(WaterbirdsConfig(), image_size=64).check())
