"""Layouts and options of the microscopy sets: objects cut out of larger pictures, of many sizes."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from lab.config.fields import option
from lab.data.base import Split
from lab.data.class_images import Drawn, Listing, PhotoConfig, UnsplitConfig
from lab.data.files import Resize
from lab.data.folder import images_below
from lab.data.listed import folders_in, images_in
from lab.data.public.layouts import Layout, class_folders, listing_of, save
from lab.data.tree import SPLIT_FOLDERS
from lab.errors import DataError

SCALE_BAR = 31
"""Rows at the bottom of ZooScan's images that hold a printed scale."""


@dataclass
class ObjectConfig(PhotoConfig):
    """Options of sets of objects that come with a test split: whole images, with a border where they aren't square."""

    resize: Resize = option(
        "pad",
        "pad: made square by a border; pad_largest: made as large as the largest training image, so that sizes can be "
        "compared; squeeze: the whole image, as a square; crop: the middle",
    )


@dataclass
class UnsplitObjectConfig(ObjectConfig, UnsplitConfig):
    """The same of sets without a test split."""


@dataclass
class YearConfig(UnsplitObjectConfig):
    """Which year of an instrument is read."""

    year: int = option(2007, "2007 to 2010")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if not 2007 <= self.year <= 2010:
            yield "year", f"has to be 2007 to 2010, is {self.year}"


@dataclass
class TaxaConfig(ObjectConfig):
    """What of the table is the class, and what of the images is none of the object."""

    level: str = option("taxon_level1", "column of taxa.csv.gz that names the class")
    bottom: int = option(SCALE_BAR, "rows at the bottom that are cut off: the printed scale bar")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if self.bottom < 0:
            yield "bottom", f"has to be at least 0, is {self.bottom}"


def twofold_folders(parts: dict[str, Split], ending: str = ".jpg") -> Layout:
    """A folder for each part, and in it one of the same name or none; in that a folder for each class.

    Runs of blanks in the names of classes ("PARAMECIUM  BURSARIA") are read as one.
    """

    def read(root: Path, config: Any) -> Listing:
        found = []
        for part, split in parts.items():
            inner = f"{part}/{part}" if (root / part / part).is_dir() else part
            for folder in folders_in(root, inner):
                name = " ".join(folder.rpartition("/")[2].split())
                found += [(name, file, split) for file in images_in(root, folder)]
        return listing_of(found, root)

    def write(root: Path, classes: Sequence[str], images: Sequence[Drawn], config: Any) -> None:
        part_of = {split: part for part, split in parts.items()}
        for number, (split, label, image) in enumerate(images):
            part = part_of[split or "train"]
            # As published: two blanks in names of two words, and the folder of the part twice.
            save(
                image, root / part / part / classes[label].replace(" BURSARIA", "  BURSARIA") / f"{number:05d}{ending}"
            )

    return Layout(next(iter(parts)), read, write)


def year_folders() -> Layout:
    """`<year>/train/<class>/*.png`; the other parts of a year are of other use and left alone."""

    def of(config: Any) -> Layout:
        part: dict[str, Split | None] = {f"{config.year}/train": None}
        return class_folders("", part, ending=".png")

    return Layout(
        "{year}/train",
        lambda root, config: of(config).read(root, config),
        lambda root, classes, images, config: of(config).write(root, classes, images, config),
    )


def cropped_cells() -> Layout:
    """A folder for each class, and in it, directly or in one more folder, CROPPED with the single cells; pictures of
    whole clusters beside it are left out. `im_` before names of classes is left out too.
    """

    def read(root: Path, config: Any) -> Listing:
        found: list[tuple[str, str, Split | None]] = []
        for folder in folders_in(root, ""):
            cells = [name for name in images_below(root / folder) if "CROPPED" in name.split("/")[:-1]]
            found += [(folder.removeprefix("im_"), f"{folder}/{name}", None) for name in cells]
        return listing_of(found, root)

    def write(root: Path, classes: Sequence[str], images: Sequence[Drawn], config: Any) -> None:
        for number, (_, label, image) in enumerate(images):
            folder = root / f"im_{classes[label]}" / f"im_{classes[label]}"
            save(image, folder / "CROPPED" / f"{number // 4:03d}_{number % 4:02d}.bmp")
            if number % 4 == 0:
                save(image.resize((96, 96)), folder / f"{number // 4:03d}.bmp")

    return Layout("*/CROPPED or im_*/im_*/CROPPED", read, write)


def taxa_table() -> Layout:
    """`taxa.csv.gz` with a row for each image: the class, `set` and `img_path`."""
    table = "taxa.csv.gz"

    def read(root: Path, config: Any) -> Listing:
        found: list[tuple[str, str, Split | None]] = []
        try:
            with gzip.open(root / table, "rt", encoding="utf-8", newline="") as file:
                for number, row in enumerate(csv.DictReader(file), 2):
                    absent = [name for name in (config.level, "set", "img_path") if not row.get(name)]
                    if absent:
                        columns = ", ".join(str(name) for name in row)
                        raise DataError(f"{root / table} line {number}: no {absent[0]}; columns: {columns}")
                    if row["set"].lower() not in SPLIT_FOLDERS:
                        raise DataError(f"{root / table} line {number}: set '{row['set']}' is not train, val or test")
                    found.append((row[config.level], row["img_path"], SPLIT_FOLDERS[row["set"].lower()]))
        except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
            raise DataError(f"{root / table} can't be read ({error}); get it again") from error
        return listing_of(found, root)

    def write(root: Path, classes: Sequence[str], images: Sequence[Drawn], config: Any) -> None:
        lines = []
        for number, (split, label, image) in enumerate(images):
            file = f"imgs/{classes[label]}/{number}.png"
            with_bar = Image.new("RGB", (image.width, image.height + config.bottom), "white")
            with_bar.paste(image)
            save(with_bar, root / file)
            lines.append([number, classes[label], "valid" if split == "val" else split, file])
        with gzip.open(root / table, "wt", encoding="utf-8", newline="") as file_:
            csv.writer(file_).writerows([["objid", "taxon_level1", "set", "img_path"], *lines])

    return Layout(table, read, write, (table,))
