"""A user's own images: what a table may look like, the drawn splits, and one line for each mistake."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab.data.groups_csv import ImageGroups, ImageGroupsConfig
from lab.errors import DataError


@pytest.fixture
def root(tmp_path) -> Path:
    """Sixty images in two folders."""
    for number in range(60):
        path = tmp_path / ("cats" if number % 2 else "dogs") / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (20, 20), (4 * number, 0, 0)).save(path)
    return tmp_path


def write(root: Path, head: str, line: str, rows: int = 60, name: str = "images.csv") -> None:
    """A table; in `line`, {kind}, {n} and {place} are those of a row."""
    lines = [head]
    for n in range(rows):
        kind = "cats" if n % 2 else "dogs"
        place = ("out" if n % 2 else "in") if n % 20 > 1 else ("in" if n % 2 else "out")
        lines.append(line.format(kind=kind, n=n, place=place))
    (root / name).write_text("\n".join(lines) + "\n")


def opened(root: Path, **options) -> ImageGroups:
    return ImageGroups(ImageGroupsConfig(root=str(root), image_size=8, **options), root / "cache")


def message(root: Path, **options) -> str:
    with pytest.raises(DataError) as error:
        opened(root, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_path_and_label_are_enough(root):
    write(root, "path,label", "{kind}/{n}.png,{kind}")
    data = opened(root)
    assert (data.class_names, data.bias_names, data.aligned.shape) == (("cats", "dogs"), (), (2, 0))
    assert Counter((row.split, row.label) for row in data.rows) == {
        **{("train", label): 21 for label in (0, 1)},
        **{("val", label): 3 for label in (0, 1)},
        **{("test", label): 6 for label in (0, 1)},
    }
    assert opened(root).rows == data.rows and opened(root, split_seed=1).rows != data.rows
    red = data.split("test").images[:, 0, 0, 0]
    assert (red == [4 * int(Path(name).stem) for name in data.split("test").names]).all()


def test_words_of_bias_and_split(root):
    write(root, "path,label,bias,split", "{kind}/{n}.png,{kind},{place},train")
    lines = (root / "images.csv").read_text().splitlines()
    for line, word in ((50, "Valid"), (51, "2"), (52, "test"), (53, "1")):
        lines[line] = lines[line].rpartition(",")[0] + f",{word}"
    (root / "images.csv").write_text("\n".join(lines))
    data = opened(root)
    assert Counter(row.split for row in data.rows) == {"train": 56, "val": 2, "test": 2}
    assert data.bias_names == ("in", "out")
    assert data.aligned.tolist() == [[False, True], [True, False]]  # cats are out, dogs are in


def test_the_draw_keeps_the_shares_of_class_and_bias(root):
    write(root, "path,label,bias", "{kind}/{n}.png,{kind},{place}")
    groups = Counter((row.split, row.label, row.bias) for row in opened(root, val_fraction=0.3, test_fraction=0.3).rows)
    assert all(groups[split, label, label] == 1 for split in ("train", "val", "test") for label in (0, 1))


def test_validation_is_drawn_from_training_where_only_a_test_is_named(root):
    write(root, "path,label,split", "{kind}/{n}.png,{kind},train")
    path = root / "images.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:41], *(line.replace("train", "test") for line in lines[41:])]))
    data = opened(root)
    assert Counter(row.split for row in data.rows) == {"train": 36, "val": 4, "test": 20}
    assert [row.split for row in data.rows[40:]] == ["test"] * 20
    assert Counter(row.split for row in opened(root, val_fraction=0.0).rows) == {"train": 40, "test": 20}


def test_other_names_and_separators(root):
    write(root, "file;what;where", "{kind}\\{n}.png; {kind} ;{place}", name="my table.csv")
    options = {"path_column": "file", "label_column": "what", "bias_column": "where", "table": "my table.csv"}
    data = opened(root, **options)
    assert data.rows[0].file == "dogs/0.png" and data.class_names == ("cats", "dogs")
    assert data.bias_names == ("in", "out")


def test_numbers_are_sorted_as_numbers_and_empty_cells_are_unknown(root):
    write(root, "path,label,bias", "{kind}/{n}.png,{n},", rows=12)
    lines = (root / "images.csv").read_text().splitlines()
    path = root / "images.csv"
    path.write_text(
        "\n".join(
            [lines[0], *(f"{line.split(',')[0]},{8 + i % 3},{'x' * (i % 2)}" for i, line in enumerate(lines[1:]))]
        )
    )
    data = opened(root, val_fraction=0.0, test_fraction=0.0)
    assert data.class_names == ("8", "9", "10") and data.bias_names == ("x",)
    assert np.bincount(data.split("train").bias + 1).tolist() == [6, 6]


@pytest.mark.parametrize(
    ("head", "line", "options", "said"),
    [
        ("path,label", "{kind}/{n}x.png,a", {}, "images.csv line 2: {root}/dogs/0x.png does not exist (60 of 60 files"),
        ("file,label", "{kind}/{n}.png,a", {}, "images.csv has no column path; it has: file, label"),
        ("path,label", "{kind}/{n}.png,a", {"bias_column": "place"}, "has no column place; it has: path, label"),
        ("path,label", "{kind}/{n}.png,", {}, "images.csv line 2: label is missing"),
        ("path,label", ",a", {}, "images.csv line 2: path is missing"),
        ("path,label", "{kind}/{n}.png,a", {}, "column label has only one value, 'a'"),
        ("path,label", "dogs/0.png,{kind}", {}, "images.csv line 3: dogs/0.png is on line 2 already"),
        (
            "path,label,split",
            "{kind}/{n}.png,{kind},dev",
            {},
            "line 2: split is 'dev'; it has to be train, val or test",
        ),
        ("path,label,split", "{kind}/{n}.png,{kind},", {}, "line 2: split is missing; it has to be train, val or test"),
        ("path,label,split", "{kind}/{n}.png,{kind},test", {}, "class 'cats' has no images in the train split"),
    ],
)
def test_a_mistake_is_one_line(root, head, line, options, said):
    write(root, head, line)
    assert said.replace("{root}", str(root)) in message(root, **options)


def test_no_table_no_rows_no_text(root):
    assert f"there is no images.csv in {root}: name the folder" in message(root)
    (root / "images.csv").write_text("path,label\n")
    assert "has no rows" in message(root)
    (root / "images.csv").write_bytes(b"\xff\xfe\x00\x01" * 9)
    assert "is not a CSV file in UTF-8" in message(root)


def test_fractions_have_to_leave_something():
    assert [name for name, _ in ImageGroupsConfig(val_fraction=0.5, test_fraction=0.5).check()] == ["test_fraction"]
    assert [name for name, _ in ImageGroupsConfig(val_fraction=-1).check()] == ["val_fraction"]
