"""The published microscopy sets: traps of their layouts. That their stand-ins are read is in `test_public_sets`."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lab import env, registry
from lab.cli import main
from lab.data.image_classes import ImageClasses, ImageClassesConfig
from lab.errors import DataError


def read(name: str, root: Path, cache: Path, **options: Any) -> Any:
    component = registry.get("data", name)
    assert component.dataset
    return registry.load(component.dataset)(component.config_class()(root=str(root), image_size=16, **options), cache)


def save(path: Path, size: tuple[int, int] = (24, 24), colour: Any = "grey") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.mark.parametrize("part", ["TRAIN_IMAGE", "TRAIN_IMAGE/TRAIN_IMAGE"])
@pytest.mark.parametrize("blanks", [" ", "  "])
def test_lensless_has_two_blanks_and_a_folder_twice(part, blanks, tmp_path):
    for split in ("TRAIN", "TEST"):
        for name in (f"PARAMECIUM{blanks}BURSARIA", "VOLVOX"):
            for number in range(4):
                save(tmp_path / "plankton" / "original" / part.replace("TRAIN", split) / name / f"{number}.jpg")
    opened = read("lensless_plankton", tmp_path, tmp_path / "cache")
    assert opened.class_names == ("PARAMECIUM BURSARIA", "VOLVOX")
    assert [len(opened.split(split)) for split in ("train", "val", "test")] == [6, 2, 8]


@pytest.mark.parametrize("inner", ["", "im_{}"])
@pytest.mark.parametrize("prefix", ["im_", ""])
def test_sipakmed_takes_cells_and_no_clusters(inner, prefix, tmp_path):
    if inner and not prefix:
        pytest.skip("the folder twice has its prefix")
    for name in ("Metaplastic", "Parabasal"):
        folder = tmp_path / "SIPaKMeD" / f"{prefix}{name}" / inner.format(name)
        for number in range(6):
            save(folder / "CROPPED" / f"001_{number:02d}.bmp")
            (folder / "CROPPED" / f"001_{number:02d}_cyt.dat").write_text("1,1")
        save(folder / "001.bmp", (200, 150), "red")
    opened = read("sipakmed", tmp_path, tmp_path / "cache")
    assert opened.class_names == ("Metaplastic", "Parabasal")
    assert len(opened.rows) == 12 and all("CROPPED" in row.file for row in opened.rows)


def test_whoi15_reads_one_year(tmp_path):
    for year in (2007, 2008):
        for name in ("Ditylum", "pennate"):
            for number in range(year - 2002):
                save(tmp_path / "WHOI15_2007-2010" / str(year) / "train" / name / f"{number}.png")
    assert len(read("whoi15", tmp_path, tmp_path / "cache").rows) == 10
    later = read("whoi15", tmp_path, tmp_path / "cache", year=2008)
    assert len(later.rows) == 12 and "2008" in later.rows[0].file
    with pytest.raises(DataError, match="2009/train"):
        read("whoi15", tmp_path, tmp_path / "cache", year=2009)


def zooscan(root: Path, rows: list[list[Any]], header: tuple[str, ...] = ("taxon_level1", "set", "img_path")) -> None:
    with gzip.open(root / "taxa.csv.gz", "wt", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def test_zooscan_has_a_scale_bar(tmp_path):
    """White objects with a black bar of 31 rows below: nothing black is left."""
    rows = []
    for number in range(12):
        name, split = ("Copepoda", "detritus")[number % 2], ("train", "valid", "test")[number // 4]
        image = Image.new("RGB", (40, 20 + 31), "white")
        image.paste("black", (0, 20, 40, 51))
        (tmp_path / "imgs").mkdir(exist_ok=True)
        image.save(tmp_path / "imgs" / f"{number}.png")
        rows.append([name, split, f"imgs/{number}.png"])
    zooscan(tmp_path, rows)
    opened = read("zooscan", tmp_path, tmp_path / "cache")
    assert [len(opened.split(split)) for split in ("train", "val", "test")] == [4, 4, 4]
    assert opened.split("train").images.min() == 255
    with_bar = read("zooscan", tmp_path, tmp_path / "cache", bottom=0)
    assert with_bar.split("train").images.min() == 0
    assert with_bar.fingerprint() != opened.fingerprint()


def test_a_table_that_says_something_else_is_named(tmp_path):
    zooscan(tmp_path, [["Copepoda", "holdout", "imgs/1.png"]])
    with pytest.raises(DataError, match="line 2: set 'holdout' is not train, val or test"):
        read("zooscan", tmp_path, tmp_path / "cache")
    zooscan(tmp_path, [["Copepoda", "train", "imgs/1.png"]], ("taxon", "set", "img_path"))
    with pytest.raises(DataError, match="line 2: no taxon_level1; columns: taxon, set, img_path"):
        read("zooscan", tmp_path, tmp_path / "cache")


def test_objects_keep_their_form_unless_asked(tmp_path):
    """A wide object is padded, not cropped as photographs are."""
    for part in ("train_annotated", "test"):
        for name in ("condensed", "multiple"):
            for number in range(4):
                save(tmp_path / "images" / part / name / f"{number}.png", (80, 20), "blue")
    padded = read("yeast_vacuoles", tmp_path, tmp_path / "cache", fill="white").split("train").images
    assert (padded[:, 0] == 255).all() and (padded[:, 8] == (0, 0, 255)).all()


def test_verify_counts_images_without_labels(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LAB_RUNS", str(tmp_path / "runs"))
    save(tmp_path / "mine" / "a.png")
    save(tmp_path / "mine" / "b.png")
    assert main(["data", "verify", "unlabelled_images", "--root", str(tmp_path / "mine"), "image_size=16"]) == 0
    assert "train: 2 images of 16x16x3" in capsys.readouterr().out


def test_real_plankton(tmp_path):
    """White ground stays white in the corners; what is in an image does not depend on how it is stored."""
    path = env.DATA.path() / "plankton" / "ndsb_small_100_per_class.zip"
    if not path.is_file():
        pytest.skip("plankton/ndsb_small_100_per_class.zip is not in LAB_DATA")
    config = ImageClassesConfig(root=str(path), image_size=32, resize="pad", per_class=2, test_fraction=0.02)
    opened = ImageClasses(config, tmp_path)
    assert len(opened.class_names) == 121
    images = opened.split("train").images
    assert images.shape == (242, 32, 32, 3)
    assert np.median(images[:, [0, 0, -1, -1], [0, -1, 0, -1]]) > 240
    with zipfile.ZipFile(path) as archive:
        size = Image.open(io.BytesIO(archive.read(opened.split("train").names[0]))).size
    assert min(size) < max(size) <= 400 or size[0] == size[1]
