"""A folder for each class: forms of trees, ZIP files, splits and groups, formats, and what is refused."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab import env
from lab.cli import main
from lab.data.image_classes import ImageClasses, ImageClassesConfig
from lab.data.tree import Tree, listing
from lab.errors import DataError

HERE = Path("set")


def read(root: Path, cache: Path, **options: object) -> ImageClasses:
    return ImageClasses(ImageClassesConfig(root=str(root), **{"image_size": 16, **options}), cache)  # type: ignore[arg-type]


def items(names: Sequence[str], pattern: str | None = None) -> list[tuple[str, str, str | None]]:
    """(file, class, split) of a tree with these images."""
    found = listing(Tree(list(names), []), HERE, pattern)
    return [(item.file, found.class_names[item.label], item.split) for item in found.items]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    root = Path(tmp_path_factory.mktemp("drawn"))
    ImageClasses.write_stand_in(root, ImageClassesConfig(stand_in_size=75))
    return root / "image_classes"


@pytest.fixture
def root(drawn, tmp_path) -> Path:
    return Path(shutil.copytree(drawn, tmp_path / "images"))


def zipped(folder: Path, path: Path, below: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"{below}{file.relative_to(folder)}")
        archive.writestr("__MACOSX/class_0/._1.png", b"no image")
        archive.writestr(f"{below}.hidden/1.png", b"no image")
    return path


def test_splits_are_drawn_within_classes(root, tmp_path):
    opened = read(root, tmp_path)
    counts = {s: np.bincount(opened.split(s).labels).tolist() for s in ("train", "val", "test")}
    assert counts == {"train": [8] * 10, "val": [2] * 10, "test": [2] * 10}
    assert opened.class_names == tuple(f"class_{label}" for label in range(10)) and opened.bias_names == ()
    names = [set(opened.split(s).names) for s in ("train", "val", "test")]
    assert len(set.union(*names)) == 120
    assert {name.split("/")[0] for name in names[0]} == set(opened.class_names)
    other = read(root, tmp_path, split_seed=1)
    assert set(other.split("test").names) != names[2] and other.fingerprint() != opened.fingerprint()
    only_train = read(root, tmp_path, val_fraction=0, test_fraction=0)
    assert len(only_train.split("train")) == 120 and len(only_train.split("val")) == 0


def test_a_zip_file_reads_as_its_folder(root, tmp_path):
    folder = read(root, tmp_path)
    packed = read(zipped(root, tmp_path / "images.zip", "wrapped/"), tmp_path)
    for split in ("train", "val", "test"):
        ours, theirs = folder.split(split), packed.split(split)
        assert [f"wrapped/{name}" for name in ours.names] == list(theirs.names)
        assert (ours.images == theirs.images).all() and (ours.labels == theirs.labels).all()
    before = packed.fingerprint()
    assert read(tmp_path / "images.zip", tmp_path / "other").fingerprint() == before
    (root / "class_0" / "new.png").write_bytes(next((root / "class_0").glob("*.png")).read_bytes())
    assert read(zipped(root, tmp_path / "images.zip", "wrapped/"), tmp_path).fingerprint() != before


def test_crop_keeps_the_middle_and_squeeze_the_whole(tmp_path):
    for label in "ab":
        (tmp_path / "set" / label).mkdir(parents=True)
        for number in range(3):
            image = Image.new("RGB", (64, 32), "red")
            image.paste("blue", (16, 0, 48, 32))
            image.save(tmp_path / "set" / label / f"{number}.png")
    cropped = read(tmp_path / "set", tmp_path).split("train").images
    squeezed = read(tmp_path / "set", tmp_path, resize="squeeze").split("train").images
    assert (cropped[:, :, 1:-1] == (0, 0, 255)).all()
    assert (squeezed[:, :, :3] == (255, 0, 0)).all() and (squeezed[:, :, 6:10] == (0, 0, 255)).all()


def test_training_images_of_each_class_can_be_few(root, tmp_path):
    whole, few, fewer = (read(root, tmp_path, per_class=count) for count in (None, 5, 3))
    assert np.bincount(few.split("train").labels).tolist() == [5] * 10
    assert set(fewer.split("train").names) < set(few.split("train").names) < set(whole.split("train").names)
    assert fewer.split("test").names == whole.split("test").names


@pytest.mark.parametrize("form", [("train", "val", "test"), ("Training", "VALID", "testing"), ("train", "test")])
def test_splits_that_are_there_are_kept(form, root, tmp_path):
    for label in root.iterdir():
        for number, file in enumerate(sorted(label.iterdir())):
            target = tmp_path / "split" / form[number % len(form)] / label.name / "deeper" / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            file.rename(target)
    opened = read(tmp_path / "split", tmp_path / "cache")
    for row in opened.rows:
        folder = row.file.split("/")[0].lower()
        assert row.split[:3] == folder[:3] or (row.split, folder) == ("val", "train")
    assert len(opened.split("val")) == (40 if len(form) == 3 else 10)


def test_trees_and_what_they_mean():
    names = ["car/1.png", "car/2.png", "train/3.png", "train/4.png"]
    assert items(names) == [(n, n.split("/")[0], None) for n in names]  # a train is a vehicle, too
    assert {row[1:] for row in items(["x/y/train/a/1.png", "x/y/train/b/2.png"])} == {("a", "train"), ("b", "train")}
    numbers = listing(Tree(["10/a.png", "9/b.png", "9/c.png"], []), HERE)
    assert numbers.class_names == ("9", "10")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["1.png", "2.png"], r"set has images of its own \(1\.png\), where a folder for each class is expected"),
        (["train/1.png", "train/a/2.png"], r"set/train has images of its own"),
        (["a/1.png", "a/b/2.png"], r"set has only one folder with images, 'a'"),
        (
            ["train/a/1.png", "train/b/1.png", "test/c/1.png"],
            r"class 'c' of set has no training images, only others such",
        ),
        (["val/a/1.png", "test/a/1.png"], r"set has test and val, but no folder train"),
        (["train/a/1.png", "test/a/1.png", "more/a/1.png"], r"set has the splits test, train and beside them 'more'"),
        (["train/a/1.png", "more/1.png"], r"set has the splits train and beside them 'more'"),
    ],
)
def test_other_trees_are_refused_in_one_line(names, said):
    with pytest.raises(DataError, match=said) as error:
        items(sorted(names))
    assert "\n" not in str(error.value)


def test_a_group_stays_in_one_split(root, tmp_path):
    opened = read(root, tmp_path, group_pattern=r"^picture_\d+")
    picture = {row.file: row.file.split("/")[1].rsplit("_", 1)[0] for row in opened.rows}
    splits_of: dict[str, set[str]] = {}
    for row in opened.rows:
        splits_of.setdefault(picture[row.file], set()).add(row.split)
    assert len(splits_of) == 40 and all(len(splits) == 1 for splits in splits_of.values())
    assert {row.split for row in opened.rows} == {"train", "val", "test"}
    with pytest.raises(DataError, match=r"group_pattern 'smear' is not found in 'picture_\d+_\d+\.\w+'"):
        read(root, tmp_path, group_pattern="smear")


def test_a_group_in_two_given_splits_is_refused():
    names = ["test/a/p1_2.png", "train/a/p1_1.png", "train/b/p2_1.png"]
    assert len(items(names, r"_\d\.png")) == 3 and len(items(names)) == 3
    with pytest.raises(
        DataError, match=r"group 'p1' of set is in test \(test/a/p1_2\.png\) and in train \(train/a/p1_1"
    ):
        items(names, r"^(p\d)_")


def test_a_class_of_a_single_image_is_named(root, tmp_path):
    images = sorted((root / "class_3").iterdir())
    for image in images[2:]:
        image.unlink()
    with pytest.raises(
        DataError, match=r"class 'class_3' has only 2 images in .*\(class_3/\S+\), but has to be in the spl"
    ):
        read(root, tmp_path)
    assert len(read(root, tmp_path, test_fraction=0).split("val")) == 9 * 2 + 1
    images[1].unlink()
    with pytest.raises(
        DataError, match=r"class 'class_3' has a single image in .*splits train, val: add images, or take"
    ):
        read(root, tmp_path, test_fraction=0)
    assert len(read(root, tmp_path, test_fraction=0, val_fraction=0).rows) == 109


def test_a_class_that_a_given_split_lacks_is_a_warning(root, tmp_path, capsys):
    for split in ("train", "val"):
        shutil.copytree(root, tmp_path / "split" / split)
    shutil.rmtree(tmp_path / "split" / "val" / "class_3")
    read(tmp_path / "split", tmp_path / "cache", test_fraction=0)
    read(tmp_path / "split", tmp_path / "cache", test_fraction=0)
    said = capsys.readouterr().err.splitlines()
    assert said == [f"lab: warning: 1 of 10 classes have no images in the val split of {tmp_path / 'split'}: class_3"]


@pytest.mark.parametrize("packed", [False, True])
def test_a_truncated_image_is_named(packed, root, tmp_path):
    image = sorted((root / "class_3").glob("*.png"))[0]
    image.write_bytes(image.read_bytes()[:200])
    opened = read(zipped(root, tmp_path / "images.zip") if packed else root, tmp_path / "cache")
    with pytest.raises(DataError, match=rf"class_3/{image.name} (can't be decoded|is not an image)") as error:
        for split in ("train", "val", "test"):
            opened.split(split)
    assert "\n" not in str(error.value)
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix == ".part"]


def test_damaged_and_encrypted_zip_files(root, tmp_path):
    (tmp_path / "half.zip").write_bytes(zipped(root, tmp_path / "images.zip").read_bytes()[:-100])
    with pytest.raises(DataError, match=r"half\.zip is neither a folder nor a ZIP file"):
        read(tmp_path / "half.zip", tmp_path)
    content = bytearray((tmp_path / "images.zip").read_bytes())
    for mark, flags in ((b"PK\1\2", 8), (b"PK\3\4", 6)):  # bit 0 of the flags of a file: it is encrypted
        place = content.find(mark)
        while place >= 0:
            content[place + flags] |= 1
            place = content.find(mark, place + 1)
    (tmp_path / "secret.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"secret\.zip is encrypted; unpack it first"):
        read(tmp_path / "secret.zip", tmp_path).split("train")


def test_folders_without_images_are_named(root, tmp_path):
    (root / "class_x").mkdir()
    (root / ".cache").mkdir()
    with pytest.raises(DataError, match=r"images/class_x has no images: add some, or take the folder away"):
        read(root, tmp_path)
    shutil.rmtree(root)
    root.mkdir()
    with pytest.raises(DataError, match=r"no images in .*images: looked for \.bmp"):
        read(root, tmp_path)
    with pytest.raises(DataError, match=r"nowhere is not there: name the folder .* with data\.root="):
        read(tmp_path / "nowhere", tmp_path)


def test_options_are_checked():
    config = ImageClassesConfig(group_pattern="(", test_fraction=1, per_class=0, image_size=2)
    assert [field for field, _ in config.check()] == ["image_size", "test_fraction", "per_class", "group_pattern"]


def test_verify(root, capsys):
    assert main(["data", "verify", "image_classes", "--root", str(root), "image_size=16"]) == 0
    out = capsys.readouterr().out
    assert "train: 80 images of 16x16x3" in out and "  class_4: 8\n" in out


@pytest.mark.parametrize(
    ("file", "options", "sizes"),
    [
        ("caltech/caltech101_small_24_per_class_144.zip", {}, {"train": 1485, "val": 396, "test": 495}),
        (
            "bccd/bccd_crops_64_jpg.zip",
            {"group_pattern": "^BloodImage_[0-9]+"},
            {"train": 860, "val": 363, "test": 310},
        ),
    ],
)
def test_real_zip_files(file, options, sizes, tmp_path):
    path = env.DATA.path() / file
    if not path.is_file():
        pytest.skip(f"{file} is not in LAB_DATA")
    opened = read(path, tmp_path, **options)
    assert {split: len(opened.split(split)) for split in ("train", "val", "test")} == sizes
    assert opened.split("val").images.std() > 30
