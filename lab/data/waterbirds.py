"""Waterbirds (Sagawa et al. 2020): CUB birds pasted on Places backgrounds; the background gives the class away."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from lab.config.fields import option
from lab.data.base import Card, DataConfig, ImageSet, Source, Split
from lab.data.files import absent, data_root, decoded, digest, fingerprint_files
from lab.data.waterbirds_stand_in import write_waterbirds
from lab.errors import DataError

METADATA = "metadata.csv"
VALUES = {"y": 2, "split": 3, "place": 2}
"""Column -> number of its values, which are 0, 1, ..."""
COLUMNS = ("img_filename", *VALUES)
SPLITS: tuple[Split, ...] = ("train", "val", "test")
MISLABELLED = ("Eastern_Towhee", "Western_Meadowlark", "Western_Wood_Pewee")
"""Species that the published file calls waterbirds (their names contain "tern"), as its authors say."""

CARD = Card(
    name="waterbirds",
    title="Waterbirds",
    licence="non-commercial research and education (CUB-200-2011 and Places terms)",
    reference="Sagawa et al., Distributionally Robust Neural Networks for Group Shifts, ICLR 2020",
    layout=(
        "metadata.csv (img_id, img_filename, y, split, place, place_filename; y 0 landbird, 1 waterbird; split 0 train,"
        " 1 val, 2 test; place 0 land, 1 water) and 200 species folders such as 001.Black_footed_Albatross/*.jpg; "
        "4795 / 1199 / 5794 images"
    ),
    sources=(
        Source(
            "https://nlp.stanford.edu/data/dro/",
            {"waterbird_complete95_forest2water2.tar.gz": None},
            unpack=True,
            note="the authors' archive, 0.5 GB; no published hash",
        ),
        Source(
            "https://worksheets.codalab.org/rest/bundles/0x505056d5cdea4e4eaa0e242cbfe2daa4/contents/blob/",
            {"": None},
            unpack=True,
            note="the copy that WILDS downloads (waterbirds_v1.0); no published hash",
        ),
        Source(
            "https://www.kaggle.com/datasets/bahardibaie/waterbird",
            {},
            unpack=True,
            manual=True,
            note="a mirror; needs an account; no published hash",
        ),
    ),
    folder="waterbird_complete95_forest2water2",
)


@dataclass
class WaterbirdsConfig(DataConfig):
    """How the images are read."""

    image_size: int = option(224, "side in pixels; the whole image is squeezed to a square")
    fixed_labels: bool = option(
        False, "call Eastern Towhee, Western Meadowlark, Western Wood Pewee landbirds; places stay as published"
    )
    stand_in_size: int = option(240, "training images of the stand-in")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.image_size < 8:
            yield "image_size", f"has to be at least 8, is {self.image_size}"
        if self.stand_in_size < 80:
            yield "stand_in_size", f"has to be at least 80, is {self.stand_in_size}"


@dataclass(frozen=True)
class Row:
    """One line of metadata.csv; `values` are y, split and place."""

    line: int
    file: str
    y: int
    split: int
    place: int


class Waterbirds:
    """Landbird or waterbird; the bias attribute is the place, land or water.

    Raises:
        DataError: the folder is absent, metadata.csv is damaged, images are missing, or a split lacks a class.
    """

    class_names = ("landbird", "waterbird")
    bias_names = ("land", "water")
    aligned = np.eye(2, dtype=bool)

    def __init__(self, config: WaterbirdsConfig, cache: Path):
        self.config, self.cache = config, cache
        self.root = self.locate(config)
        self.rows = read_metadata(self.root / METADATA)
        self._check_images()
        self._check_classes()
        self._splits: dict[Split, ImageSet] = {}

    @classmethod
    def locate(cls, config: WaterbirdsConfig) -> Path:
        """The folder with metadata.csv. Raises DataError when there is none."""
        folders = CARD.looked_in(data_root(config))
        for folder in folders:
            if (folder / METADATA).is_file():
                return folder
        if folders[0].is_dir():
            raise DataError(f"{folders[0]} has no {METADATA}: the copy is incomplete; get it again")
        raise absent(CARD, METADATA, folders)

    @classmethod
    def write_stand_in(cls, folder: Path, config: WaterbirdsConfig, seed: int = 0) -> None:
        """A drawn miniature in the official layout below `folder`, with the official shares of the four groups."""
        write_waterbirds(folder / CARD.folder, config.stand_in_size, seed)

    def split(self, name: Split) -> ImageSet:
        if name not in self._splits:
            rows = [row for row in self.rows if row.split == SPLITS.index(name)]
            target = self.cache / f"{CARD.name}-{name}-{self.config.image_size}-{self._content}.npy"
            images = decoded([self.root / row.file for row in rows], self.config.image_size, target)
            labels = np.array([self._label(row) for row in rows], dtype=np.int64)
            bias = np.array([row.place for row in rows], dtype=np.int64)
            self._splits[name] = ImageSet(images, labels, bias, [row.file for row in rows])
        return self._splits[name]

    def fingerprint(self) -> str:
        return digest([CARD.name, self._content, self.config.image_size, self.config.fixed_labels])

    @staticmethod
    def read_bias(images: np.ndarray, config: WaterbirdsConfig) -> None:
        """The place of a photograph can't be read off its pixels."""

    @cached_property
    def _content(self) -> str:
        """Hash of metadata.csv and all images."""
        index = self.cache / f"hashes-{digest(str(self.root.absolute()))}.json"
        return fingerprint_files([METADATA, *(row.file for row in self.rows)], self.root, index)

    def _label(self, row: Row) -> int:
        if self.config.fixed_labels and Path(row.file).parent.name.partition(".")[2] in MISLABELLED:
            return 0
        return row.y

    def _check_images(self) -> None:
        missing = [row for row in self.rows if not (self.root / row.file).is_file()]
        if missing:
            raise DataError(
                f"{len(missing)} of {len(self.rows)} images named in {self.root / METADATA} are missing, first "
                f"{missing[0].file} (line {missing[0].line}); get the data set again"
            )

    def _check_classes(self) -> None:
        for number, split in enumerate(SPLITS):
            present = {self._label(row) for row in self.rows if row.split == number}
            for label, name in enumerate(self.class_names):
                if label not in present:
                    raise DataError(f"class '{name}' has no images in the {split} split of {self.root / METADATA}")


def read_metadata(path: Path) -> list[Row]:
    """Rows of a metadata.csv, checked.

    Raises:
        DataError: a column is missing, or a value is none of those allowed; with line and column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            present = reader.fieldnames or []
            absent_columns = [name for name in COLUMNS if name not in present]
            if absent_columns:
                raise DataError(
                    f"{path} has no column {', '.join(absent_columns)}; it has: {', '.join(present) or 'nothing'}"
                )
            rows = [_row(path, reader.line_num, fields) for fields in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a CSV file in UTF-8 ({error})") from error
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}") from error
    if not rows:
        raise DataError(f"{path} has no rows")
    return rows


def _row(path: Path, line: int, fields: dict[str, str | None]) -> Row:
    numbers = {}
    for name, count in VALUES.items():
        text = fields[name]
        if text is None or text.strip() not in {str(value) for value in range(count)}:
            allowed = ", ".join(str(value) for value in range(count - 1)) + f" or {count - 1}"
            found = "missing" if text is None else f"'{text}'"
            raise DataError(f"{path} line {line}: {name} is {found}; it has to be {allowed}")
        numbers[name] = int(text)
    if not fields["img_filename"]:
        raise DataError(f"{path} line {line}: img_filename is missing")
    return Row(line, fields["img_filename"], **numbers)
