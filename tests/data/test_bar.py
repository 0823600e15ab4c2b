"""BAR: names with a space, classes absent from a split, both forms, and the real photographs where they are."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from lab.data.bar import ACTIONS, Bar, BarConfig
from lab.errors import DataError


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> Path:
    folder = Path(tmp_path_factory.mktemp("bar"))
    for form in ("original", "biasensemble"):
        Bar.write_stand_in(folder / form, BarConfig(stand_in_size=90, form=form))
    return folder


def opened(folder: Path, **options) -> Bar:
    return Bar(BarConfig(root=str(folder), image_size=16, **options), folder / "cache")


@pytest.fixture
def original(generated, tmp_path) -> Path:
    return Path(shutil.copytree(generated / "original", tmp_path / "data"))


@pytest.fixture
def ensemble(generated, tmp_path) -> Path:
    return Path(shutil.copytree(generated / "biasensemble", tmp_path / "data"))


def test_the_action_is_what_stands_before_the_number(original):
    data = opened(original)
    vaults = [row for row in data.rows if row.label == ACTIONS.index("pole vaulting")]
    assert vaults and all(Path(row.file).name.startswith("pole vaulting_") for row in vaults)


@pytest.mark.parametrize("name", ["pole_vaulting_7.png", "Pole Vaulting_7.jpeg"])
def test_other_spellings(original, name):
    shutil.copy(next((original / "bar/train").glob("racing_*")), original / "bar/train" / name)
    row = next(row for row in opened(original).rows if row.file == f"train/{name}")
    assert ACTIONS[row.label] == "pole vaulting"


def test_validation_is_held_out_of_training_per_action(original):
    data = opened(original, val_fraction=0.2)
    counts = Counter((row.split, row.label) for row in data.rows)
    assert all((counts["train", label], counts["val", label]) == (12, 3) for label in range(6))
    assert opened(original, val_fraction=0.2).rows == data.rows
    assert opened(original, val_fraction=0.2, val_seed=1).rows != data.rows
    everything = opened(original, val_fraction=0.0)
    assert len(everything.split("val")) == 0 and len(everything.split("train")) == 90


def test_an_action_may_lack_test_images_but_no_training_images(original):
    for path in (original / "bar/test").glob("diving*"):
        path.unlink()
    assert ACTIONS.index("diving") not in opened(original).split("test").labels
    for path in (original / "bar/train").glob("diving*"):
        path.unlink()
    with pytest.raises(DataError, match="class 'diving' has no images in the train split"):
        opened(original)


def test_a_name_that_is_no_action(original):
    shutil.copy(next((original / "bar/train").glob("racing_*")), original / "bar/train/swimming_4.jpg")
    with pytest.raises(DataError, match=r"swimming_4\.jpg: 'swimming' is no action of BAR; they are climbing, diving"):
        opened(original)


def test_the_folder_may_have_the_name_of_the_archive(original):
    (original / "bar").rename(original / "BAR-master")
    assert opened(original).root == original / "BAR-master"
    assert opened(original / "BAR-master").rows == opened(original).rows


def test_titles_of_the_images_where_they_lie_beside_them(original):
    data = opened(original)
    rows = [row for row in data.rows if row.split == "test"]
    said = data.split("test").descriptions
    assert all(text.startswith(f"{ACTIONS[row.label]}, ") for text, row in zip(said, rows, strict=True))
    file = original / "bar/metadata.json"
    titles = json.loads(file.read_text())
    del titles[Path(rows[0].file).stem]
    file.write_text(json.dumps(titles))
    changed = opened(original)
    assert changed.fingerprint() != data.fingerprint()
    assert list(changed.split("test").descriptions) == ["", *said[1:]]
    file.write_text("[1]")
    with pytest.raises(DataError, match=r"metadata\.json can't be read as descriptions"):
        opened(original).split("test")
    file.unlink()
    assert opened(original).split("test").descriptions == ()


def test_biasensemble_knows_the_place(ensemble):
    data = opened(ensemble, form="biasensemble")
    assert data.bias_names == ("usual place", "other place") and data.aligned.all(axis=0).tolist() == [True, False]
    for row in data.rows:
        if row.split == "train":
            assert row.bias == int("conflict" in row.file)
        else:
            label, bias = Path(row.file).stem.split("_")[1:]
            assert row.bias == int(label != bias)
    assert {row.bias for row in data.rows if row.split == "test"} == {1}


def test_biasensemble_with_numbered_folders(ensemble):
    expected = opened(ensemble, form="biasensemble")
    for folder in list((ensemble / "bar").rglob("*")):
        if folder.name in ACTIONS:
            folder.rename(folder.with_name(str(ACTIONS.index(folder.name))))
    again = opened(ensemble, form="biasensemble")
    assert sorted((r.split, r.label, r.bias) for r in again.rows) == sorted(
        (r.split, r.label, r.bias) for r in expected.rows
    )


def test_the_share_asked_for_has_to_be_there(ensemble):
    with pytest.raises(DataError, match=r"there is no folder .*train/conflict/5pct"):
        opened(ensemble, form="biasensemble", percent="5pct")


def test_the_other_form_is_recognised(ensemble):
    with pytest.raises(DataError, match=r"has another form of BAR; read it with data\.form=biasensemble"):
        opened(ensemble)


def test_real_photographs(tmp_path):
    try:
        place = Bar.locate(BarConfig(root=os.environ.get("LAB_DATA")))
    except DataError:
        pytest.skip("no BAR below LAB_DATA")
    data = Bar(BarConfig(root=str(place), image_size=32), tmp_path)
    train, test = data.split("train"), data.split("test")
    assert set(train.labels) == set(range(6)) and set(test.labels) <= set(range(6))
    assert train.images.std() > 30 and (train.bias == -1).all()
