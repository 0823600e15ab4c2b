"""A user's own images: a CSV file with path, label and, optionally, bias attribute and split of each."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from lab.config.fields import option
from lab.data.base import Card, Split
from lab.data.bias import assign_bias, associated
from lab.data.drawn import save_figure
from lab.data.files import data_root
from lab.data.listed import ListedConfig, ListedImages, Row, hold_out, no_bias, sorted_names
from lab.errors import DataError

SPLIT_WORDS: dict[str, Split] = {
    **dict.fromkeys(("train", "training", "0"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "1"), "val"),
    **dict.fromkeys(("test", "testing", "2"), "test"),
}

CARD = Card(
    name="image_groups",
    title="Your own images",
    licence="yours",
    reference="none",
    layout=(
        "a folder of images and in it images.csv with a row for each: path (relative to the folder), label, and where "
        "you have them bias (the attribute that may be a shortcut) and split (train, val, test); labels and biases are "
        "words or numbers. data.root= names the folder; data.table= another file, data.label_column= etc. other columns"
    ),
    sources=(),
    folder="image_groups",
)


@dataclass
class ImageGroupsConfig(ListedConfig):
    """Where the table is, what its columns are called, and how rows without a split are divided."""

    table: str = option("images.csv", "the CSV file, relative to the root")
    path_column: str = option("path", "column with the image files, relative to the root")
    label_column: str = option("label", "column with the classes")
    bias_column: str = option("bias", "column with the bias attribute; the table may lack it, and cells may be empty")
    split_column: str = option("split", "column with train, val or test; the table may lack it")
    val_fraction: float = option(0.1, "share held out for validation where the table names no validation rows")
    test_fraction: float = option(0.2, "share held out for the test where the table has no column of splits")
    split_seed: int = option(0, "seed of these draws, which keep the shares of class x bias")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        for name in ("val_fraction", "test_fraction"):
            if not 0 <= getattr(self, name) < 1:
                yield name, f"has to be in [0, 1), is {getattr(self, name)}"
        if self.val_fraction + self.test_fraction >= 1:
            yield "test_fraction", "leaves no training images: val_fraction + test_fraction has to be below 1"


@dataclass(frozen=True)
class Entry:
    """One row of the table, as it is written; bias "" where none is given."""

    line: int
    file: str
    label: str
    bias: str
    split: Split | None


class ImageGroups(ListedImages):
    """Classes and bias attributes are the values found, sorted. An attribute is aligned with the classes in which it is
    more frequent than over all training images. Classes may be absent from validation and test.

    Raises:
        DataError: naming the line, for a missing file or value, a split that is none, or a file named twice.
    """

    card = CARD
    folders = ("", CARD.folder)
    every_class: tuple[Split, ...] = ("train",)

    def __init__(self, config: ImageGroupsConfig, cache: Path):
        self.tables = (config.table,)
        super().__init__(config, cache)
        train = np.array([(row.label, row.bias) for row in self.rows if row.split == "train"])
        classes, biases = len(self.class_names), len(self.bias_names)
        self.aligned = associated(train[:, 0], train[:, 1], classes, biases) if biases else no_bias(classes)

    @classmethod
    def wanted(cls, config: ImageGroupsConfig) -> str:
        return config.table

    @classmethod
    def locate(cls, config: ImageGroupsConfig) -> Path:
        root = data_root(config)
        for folder in (root / name for name in cls.folders):
            if (folder / config.table).is_file():
                return folder
        raise DataError(
            f"there is no {config.table} in {root.absolute()}: name the folder of your images with data.root=, and the "
            f"table in it (columns {config.path_column}, {config.label_column}; optionally {config.bias_column}, "
            f"{config.split_column}) with data.table=; to try the same experiment without, add data.stand_in=true"
        )

    @classmethod
    def write_stand_in(cls, folder: Path, config: ImageGroupsConfig, seed: int = 0) -> None:
        """Drawn figures of three classes, 95 % on their own colour in training, and their table."""
        rng = np.random.default_rng(seed)
        root = folder / CARD.folder
        words = (("one", "two", "three"), ("red", "green", "blue"))
        lines = [(config.path_column, config.label_column, config.bias_column, config.split_column)]
        size = config.stand_in_size
        for split, count, rho in (("train", size, 0.95), ("val", size // 4, 0.95), ("test", size // 2, 1 / 3)):
            labels = rng.permutation(np.arange(count) % 3)
            bias = assign_bias(labels, 3, rho, rng)
            for number, (y, b) in enumerate(zip(labels.tolist(), bias.tolist(), strict=True)):
                file = f"{split}/{number:04d}.jpg"
                save_figure(root / file, y + 1, b, rng)
                lines.append((file, words[0][y], words[1][b], split))
        (root / config.table).parent.mkdir(parents=True, exist_ok=True)
        with (root / config.table).open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows(lines)

    def read_rows(self) -> list[Row]:
        path = self.root / self.config.table
        entries = read_table(path, self.config)
        missing = [entry for entry in entries if not (self.root / entry.file).is_file()]
        if missing:
            raise DataError(
                f"{path} line {missing[0].line}: {self.root / missing[0].file} does not exist"
                + (f" ({len(missing)} of {len(entries)} files are missing)" if len(missing) > 1 else "")
            )
        self.class_names = sorted_names({entry.label for entry in entries})
        self.bias_names = sorted_names({entry.bias for entry in entries} - {""})
        if len(self.class_names) < 2:
            raise DataError(f"{path}: column {self.config.label_column} has only one value, '{entries[0].label}'")
        labels = {name: number for number, name in enumerate(self.class_names)}
        biases = {name: number for number, name in enumerate(self.bias_names)} | {"": -1}
        splits = self._splits_of(entries)
        return [Row(e.file, labels[e.label], biases[e.bias], s) for e, s in zip(entries, splits, strict=True)]

    def _splits_of(self, entries: Sequence[Entry]) -> list[Split]:
        """Splits as given; what is not is drawn, within class x bias. Test rows are never drawn from a given split."""
        config = self.config
        splits: list[Split] = [entry.split or "train" for entry in entries]
        draws: list[tuple[Split, float]] = []
        if all(entry.split is None for entry in entries):
            draws.append(("test", config.test_fraction))
        if "val" not in splits:
            # of what the test draw leaves
            draws.append(("val", config.val_fraction / (1 - config.test_fraction if draws else 1)))
        for seed, (split, fraction) in enumerate(draws):
            rows = [row for row, given in enumerate(splits) if given == "train"]
            keys = [(entries[row].label, entries[row].bias) for row in rows]
            held = hold_out(keys, fraction, 2 * config.split_seed + seed)
            for row, out in zip(rows, held, strict=True):
                if out:
                    splits[row] = split
        return splits


def read_table(path: Path, config: ImageGroupsConfig) -> list[Entry]:
    """Rows of a table, checked. Separated by commas, semicolons or tabs, whichever its first line has.

    Raises:
        DataError: a column is absent, or a value is missing or none of those allowed; with line and column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, delimiter=max(",;\t", key=first.count))
            present = reader.fieldnames or []
            _check_columns(path, present, config)
            entries = [_entry(path, reader.line_num, fields, config) for fields in reader]
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


def _check_columns(path: Path, present: Sequence[str], config: ImageGroupsConfig) -> None:
    wanted = [config.path_column, config.label_column]
    # Under its own name a column may be absent; one that somebody named has to be there.
    wanted += [
        name for name, default in ((config.bias_column, "bias"), (config.split_column, "split")) if name != default
    ]
    absent = [name for name in wanted if name not in present]
    if absent:
        raise DataError(f"{path} has no column {', '.join(absent)}; it has: {', '.join(present) or 'nothing'}")


def _entry(path: Path, line: int, fields: dict[str, str | None], config: ImageGroupsConfig) -> Entry:
    values = {name: (value or "").strip() for name, value in fields.items() if isinstance(name, str)}
    for name in (config.path_column, config.label_column):
        if not values[name]:
            raise DataError(f"{path} line {line}: {name} is missing")
    split: Split | None = None
    if config.split_column in values:
        word = values[config.split_column]
        split = SPLIT_WORDS.get(word.lower())
        if split is None:
            found = f"'{word}'" if word else "missing"
            raise DataError(f"{path} line {line}: {config.split_column} is {found}; it has to be train, val or test")
    file = str(PurePosixPath(values[config.path_column].replace("\\", "/")))
    return Entry(line, file, values[config.label_column], values.get(config.bias_column, ""), split)
