"""A user's own images with landmarks: a folder of images and one CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from lab.config.fields import option
from lab.data.base import Card, Split
from lab.data.files import data_root
from lab.data.groups_csv import SPLIT_WORDS
from lab.data.landmarks.base import LandmarkConfig, LandmarkData, Record, draw_all
from lab.data.listed import hold_out
from lab.errors import DataError

CARD = Card(
    name="image_landmarks",
    title="Your own images with landmarks",
    licence="yours",
    reference="none",
    layout=(
        "a folder of images and in it landmarks.csv with a row for each: image (relative to the folder), x0, y0, x1, "
        "y1, … in its pixels, and where you have them spacing (mm a pixel) and split (train, val, test)"
    ),
    sources=(),
    folder="image_landmarks",
)


@dataclass
class ImageLandmarksConfig(LandmarkConfig):
    """Where the table is, and how rows without a split are divided."""

    table: str = option("landmarks.csv", "the CSV file, relative to the root")
    radii: tuple[float, ...] = option((2.0, 4.0, 10.0), "at which detections are counted: mm with a spacing, else px")
    val_fraction: float = option(0.1, "share held out for validation where the table names no validation rows")
    test_fraction: float = option(0.2, "share held out for the test where the table has no column of splits")
    split_seed: int = option(0, "seed of these draws")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if not self.radii or min(self.radii) <= 0:
            yield "radii", f"needs one or more numbers above 0, is {list(self.radii)}"
        for name in ("val_fraction", "test_fraction"):
            if not 0 <= getattr(self, name) < 1:
                yield name, f"has to be in [0, 1), is {getattr(self, name)}"
        if self.val_fraction + self.test_fraction >= 1:
            yield "test_fraction", "leaves no training images: val_fraction + test_fraction has to be below 1"


@dataclass(frozen=True)
class Entry:
    """One row of the table: its line, the image, points float64 (L, 2), mm a pixel (NaN: not given), and split."""

    line: int
    file: str
    points: np.ndarray
    spacing: float
    split: Split | None


class ImageLandmarks(LandmarkData):
    """Landmarks are named by their numbers; the spacing is given for all images or for none."""

    card = CARD
    folders = ("", CARD.folder)

    def __init__(self, config: ImageLandmarksConfig, cache: Path):
        self.radii = tuple(config.radii)
        super().__init__(config, cache)

    @classmethod
    def locate(cls, config: ImageLandmarksConfig) -> Path:
        root = data_root(config)
        for folder in (root / name for name in cls.folders):
            if (folder / config.table).is_file():
                return folder
        raise DataError(
            f"there is no {config.table} in {root.absolute()}: name the folder of your images with data.root=, and the "
            "table in it (columns image, x0, y0, x1, y1, …; optionally spacing, split) with data.table=; to try the "
            "same experiment without, add data.stand_in=true"
        )

    @property
    def tables(self) -> list[str]:
        return [self.config.table]

    def read_records(self) -> list[Record]:
        path = self.root / self.config.table
        entries = read_table(path)
        missing = [entry for entry in entries if not (self.root / entry.file).is_file()]
        if missing:
            raise DataError(
                f"{path} line {missing[0].line}: {self.root / missing[0].file} does not exist"
                + (f" ({len(missing)} of {len(entries)} files are missing)" if len(missing) > 1 else "")
            )
        given = [not np.isnan(entry.spacing) for entry in entries]
        if any(given) and not all(given):
            line = entries[given.index(False)].line
            raise DataError(f"{path} line {line}: spacing is missing; give it for all images or for none")
        self.unit = "mm" if all(given) else "px"
        self.names = tuple(str(number) for number in range(len(entries[0].points)))
        records = []
        sizes = self.sizes([entry.file for entry in entries])
        for entry, size, split in zip(entries, sizes, self._divided(entries), strict=True):
            points = self.inside(entry.points, size, f"{path} line {entry.line}")
            records.append(Record(entry.file, size, points, (entry.spacing, entry.spacing), split))
        return records

    def _divided(self, entries: Sequence[Entry]) -> list[Split]:
        """Splits as given; what is not is drawn. Test rows are never drawn from given splits."""
        config = self.config
        splits: list[Split] = [entry.split or "train" for entry in entries]
        draws: list[tuple[Split, float]] = []
        if all(entry.split is None for entry in entries):
            draws.append(("test", config.test_fraction))
        if "val" not in splits:
            draws.append(("val", config.val_fraction / (1 - config.test_fraction if draws else 1)))
        for seed, (split, fraction) in enumerate(draws):
            rows = [row for row, now in enumerate(splits) if now == "train"]
            held = hold_out([0] * len(rows), fraction, 2 * config.split_seed + seed)
            for row, out in zip(rows, held, strict=True):
                if out:
                    splits[row] = split
        if "train" not in splits:
            raise DataError(f"{self.root / config.table} has no training rows")
        return splits

    @classmethod
    def write_stand_in(cls, folder: Path, config: ImageLandmarksConfig, seed: int = 0) -> None:
        """Drawn hands with six of their landmarks, a spacing and splits."""
        from lab.data.landmarks.drawn_hands import draw_hand

        chosen = [0, 4, 12, 17, 22, 32]
        root = folder / CARD.folder
        rows: dict[int, list[str]] = {}
        (root / "images").mkdir(parents=True)

        def draw(number: int, rng: np.random.Generator) -> None:
            pixels, points = draw_hand(rng, (190, 230))
            Image.fromarray(pixels).save(root / "images" / f"{number:04d}.png")
            split = ("train", "train", "train", "val", "test")[number % 5]
            rows[number] = [f"images/{number:04d}.png", *(f"{v:.2f}" for v in points[chosen].ravel()), "0.8", split]

        draw_all(root, config.stand_in_size, draw, seed)
        header = ["image", *(f"{axis}{n}" for n in range(len(chosen)) for axis in "xy"), "spacing", "split"]
        (root / config.table).parent.mkdir(parents=True, exist_ok=True)
        with (root / config.table).open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows([header, *(rows[number] for number in sorted(rows))])


def read_table(path: Path) -> list[Entry]:
    """Rows of a table, checked. Separated by commas, semicolons or tabs, whichever its first line has most of.

    Raises:
        DataError: a column is absent, or a value is missing or none of those allowed; with line and column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, delimiter=max(",;\t", key=first.count))
            columns = _point_columns(path, reader.fieldnames or [])
            entries = [_entry(path, reader.line_num, fields, columns) for fields in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a CSV file in UTF-8 ({error})") from error
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}") from error
    if not entries:
        raise DataError(f"{path} has no rows")
    first_line: dict[str, int] = {}
    for entry in entries:
        if entry.file in first_line:
            raise DataError(f"{path} line {entry.line}: {entry.file} is on line {first_line[entry.file]} already")
        first_line[entry.file] = entry.line
    return entries


def _point_columns(path: Path, present: Sequence[str]) -> list[tuple[str, str]]:
    """Names of the columns of each point, x0 and y0 first."""
    count = sum(1 for name in present if name[:1] == "x" and name[1:].isdecimal())
    columns = [(f"x{n}", f"y{n}") for n in range(count)]
    absent = [name for name in ("image", *sum(columns or [("x0", "y0")], ())) if name not in present]
    if absent:
        raise DataError(f"{path} has no column {', '.join(absent)}; it has: {', '.join(present) or 'nothing'}")
    return columns


def _entry(path: Path, line: int, fields: dict[str, str | None], columns: Sequence[tuple[str, str]]) -> Entry:
    values = {name: (value or "").strip() for name, value in fields.items() if isinstance(name, str)}
    if None in fields:
        raise DataError(f"{path} line {line}: has more cells than there are columns")
    if not values["image"]:
        raise DataError(f"{path} line {line}: image is missing")
    points = np.array([[_number(path, line, name, values[name]) for name in pair] for pair in columns])
    spacing = _number(path, line, "spacing", values["spacing"]) if values.get("spacing") else float("nan")
    if spacing <= 0:
        raise DataError(f"{path} line {line}: spacing has to be above 0 mm, is {spacing:g}")
    split: Split | None = None
    if "split" in values:
        split = SPLIT_WORDS.get(values["split"].lower())
        if split is None:
            found = f"'{values['split']}'" if values["split"] else "missing"
            raise DataError(f"{path} line {line}: split is {found}; it has to be train, val or test")
    return Entry(line, str(PurePosixPath(values["image"].replace("\\", "/"))), points, spacing, split)


def _number(path: Path, line: int, name: str, word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        found = f"'{word}', not a number" if word else "missing"
        raise DataError(f"{path} line {line}: {name} is {found}")
    return value
