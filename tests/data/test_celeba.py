"""CelebA: both forms of its tables, any two attributes, and what can be wrong with a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from lab.data.celeba import ATTRIBUTES, Celeba, CelebaConfig, write_celeba
from lab.errors import DataError


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> Path:
    folder = Path(tmp_path_factory.mktemp("celeba"))
    for form in (".csv", ".txt"):
        write_celeba(folder / form[1:] / "celeba", CelebaConfig(stand_in_size=80), 0, form)
    return folder


def opened(folder: Path, cache: Path, **options) -> Celeba:
    return Celeba(CelebaConfig(root=str(folder), image_size=16, **options), cache)


@pytest.fixture(params=["csv", "txt"])
def copy(request, generated, tmp_path) -> tuple[Path, str]:
    return Path(shutil.copytree(generated / request.param, tmp_path / "data")) / "celeba", request.param


def replace_in(path: Path, line: int, text: str) -> None:
    lines = path.read_text().splitlines()
    lines[line - 1] = text
    path.write_text("\n".join(lines) + "\n")


def test_attributes_are_all_40():
    assert len(set(ATTRIBUTES)) == 40


def test_both_forms_say_the_same(generated, tmp_path):
    first, second = (opened(generated / form, tmp_path / form) for form in ("csv", "txt"))
    assert first.rows == second.rows
    groups = np.bincount([2 * row.label + row.bias for row in first.rows if row.split == "train"])
    assert groups.tolist() == [35, 33, 11, 2]
    assert (first.split("train").images == second.split("train").images).all()


def test_aligned_is_the_sex_that_is_more_frequent_in_the_class(generated, tmp_path):
    data = opened(generated / "csv", tmp_path)
    assert (data.class_names, data.bias_names) == (("not blond hair", "blond hair"), ("female", "male"))
    assert data.aligned.tolist() == [[False, True], [True, False]]


def test_any_two_attributes(generated, tmp_path):
    data = opened(generated / "csv", tmp_path, target="Male", bias="Blond_Hair")
    usual = opened(generated / "csv", tmp_path)
    assert data.class_names == usual.bias_names
    assert [(row.bias, row.label) for row in data.rows] == [(row.label, row.bias) for row in usual.rows]
    said = dict(CelebaConfig(target="Blond", bias="Blond").check())
    assert (
        "did you mean 'Blond_Hair'" in said["target"]
        and "another attribute" in dict(CelebaConfig(bias="Blond_Hair").check())["bias"]
    )


def test_images_in_a_folder_of_the_same_name(copy, tmp_path):
    root, _ = copy
    before = opened(root, tmp_path / "cache").split("val")
    (root / "img_align_celeba").rename(root / "images")
    (root / "img_align_celeba").mkdir()
    (root / "images").rename(root / "img_align_celeba/img_align_celeba")
    after = opened(root, tmp_path / "cache").split("val")
    assert (before.images == after.images).all()


def test_damage_is_named_with_its_line(copy, tmp_path):
    root, form = copy
    attributes, partition = (root / f"list_{name}.{form}" for name in ("attr_celeba", "eval_partition"))
    between = "," if form == "csv" else " "

    def said(path: Path, line: int, text: str) -> str:
        kept = path.read_text()
        replace_in(path, line, text)
        with pytest.raises(DataError) as error:
            opened(root, tmp_path / "cache")
        path.write_text(kept)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert f"{attributes} line 4: has 2 values instead of 41" in said(attributes, 4, f"000002.jpg{between}1")
    zeros = between.join(["000002.jpg", *["0"] * 40])
    assert f"{attributes} line 4: Blond_Hair and Male are ('0', '0')" in said(attributes, 4, zeros)
    assert f"{partition} line 4: has to be a file name and 0, 1 or 2" in said(partition, 4, f"000002.jpg{between}3")
    head = 1 if form == "csv" else 2
    assert "has no attribute Blond_Hair, Male" in said(attributes, head, between.join(["image_id", "Bald"][-head:]))
    moved = said(partition, 10 if form == "csv" else 9, f"x.jpg{between}0")
    assert f"000009.jpg is in only one of list_attr_celeba.{form} and list_eval_partition.{form}" in moved


def test_missing_images_and_tables(copy, tmp_path):
    root, form = copy
    next((root / "img_align_celeba").iterdir()).unlink()
    with pytest.raises(DataError, match=r"1 of \d+ images named in .* are missing, first img_align_celeba/"):
        opened(root, tmp_path / "cache")
    (root / f"list_attr_celeba.{form}").unlink()
    with pytest.raises(DataError, match=r"has neither list_attr_celeba\.csv nor list_attr_celeba\.txt"):
        opened(root, tmp_path / "cache")


def test_a_class_without_images(copy, tmp_path):
    root, form = copy
    path = root / f"list_eval_partition.{form}"
    path.write_text("\n".join(line[:-1] + "0" if line[-1] == "2" else line for line in path.read_text().splitlines()))
    with pytest.raises(DataError, match="class 'not blond hair' has no images in the test split"):
        opened(root, tmp_path / "cache")
