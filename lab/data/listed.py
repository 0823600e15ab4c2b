"""What data sets have in common that are image files, each with a label, a split and perhaps a bias attribute.

A data set of this kind says where its folder is (`folders`, `wanted`) and lists its images (`read_rows`); checking,
decoding, caching and hashing are done here. NumPy and Pillow, no torch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lab.config.fields import option
from lab.data.base import Card, DataConfig, ImageSet, Split
from lab.data.files import absent, data_root, decoded, digest, fingerprint_files
from lab.data.folder import ENDINGS
from lab.errors import DataError

SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass
class ListedConfig(DataConfig):
    """Options of data sets that are image files."""

    image_size: int = option(224, "side in pixels; the whole image is squeezed to a square")
    stand_in_size: int = option(240, "training images of the stand-in, about")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.image_size < 8:
            yield "image_size", f"has to be at least 8, is {self.image_size}"
        if self.stand_in_size < 80:
            yield "stand_in_size", f"has to be at least 80, is {self.stand_in_size}"


@dataclass(frozen=True)
class Row:
    """One image: file name relative to the root, label, bias attribute (-1: not known) and split."""

    file: str
    label: int
    bias: int
    split: Split


class ListedImages:
    """Base of the data sets. See `ImageDataset` for the contract.

    Raises:
        DataError: the folder is absent or not in the layout, or a split lacks a class that it has to have.
    """

    card: ClassVar[Card]
    folders: ClassVar[tuple[str, ...]]
    """Folders below the root that may hold the data set, in the order they are tried; "" is the root itself."""
    forms: ClassVar[tuple[str, ...]] = ()
    """Values of the option `form`, where the data set comes in more than one."""
    every_class: tuple[Split, ...] = SPLITS
    """Splits that have to hold every class; the others may lack some, or be empty."""
    tables: tuple[str, ...] = ()
    """Files besides the images that decide the content, where they exist."""

    class_names: tuple[str, ...]
    bias_names: tuple[str, ...] = ()
    aligned: np.ndarray

    def __init__(self, config: Any, cache: Path):
        self.config, self.cache = config, cache
        self.root = self.locate(config)
        self.rows = self.read_rows()
        self._check_classes()
        self._splits: dict[Split, ImageSet] = {}

    @classmethod
    def wanted(cls, config: Any) -> str:
        """A file or folder, or a pattern, by which the data set's folder is known; several with ` or ` between."""
        raise NotImplementedError

    @classmethod
    def locate(cls, config: Any) -> Path:
        """The data set's folder. Raises DataError when there is none, or it is in another form."""
        tried = [data_root(config) / name for name in cls.folders]
        for folder in tried:
            if cls._is_in(folder, config):
                return folder
        for form in cls.forms:
            for folder in tried:
                if cls._is_in(folder, replace(config, form=form)):
                    raise DataError(f"{folder} has another form of {cls.card.title}; read it with data.form={form}")
        raise absent(cls.card, cls.wanted(config), tried)

    @classmethod
    def _is_in(cls, folder: Path, config: Any) -> bool:
        patterns = cls.wanted(config).split(" or ")
        return any(next(folder.glob(pattern), None) is not None for pattern in patterns)

    def read_rows(self) -> list[Row]:
        """All images of all splits, in an order that never changes."""
        raise NotImplementedError

    def files(self) -> list[str]:
        """The files that decide the content, relative to the root."""
        return [*(name for name in self.tables if (self.root / name).is_file()), *(row.file for row in self.rows)]

    def pixels(self, split: Split, rows: Sequence[Row], target: Path) -> np.ndarray:
        """Images uint8 (n, size, size, 3) of rows of a split, kept in the file `target`."""
        return decoded([self.root / row.file for row in rows], self.config.image_size, target)

    def how(self) -> list[Any]:
        """Options that decide the pixels, besides the files."""
        return [self.config.image_size]

    def split(self, name: Split) -> ImageSet:
        if name not in self._splits:
            rows = [row for row in self.rows if row.split == name]
            kind = digest([self._content, *self.how(), [row.file for row in rows]])
            images = self.pixels(name, rows, self.cache / f"{self.card.name}-{name}-{kind}.npy")
            labels = np.array([row.label for row in rows], dtype=np.int64)
            bias = np.array([row.bias for row in rows], dtype=np.int64)
            self._splits[name] = ImageSet(images, labels, bias, [row.file for row in rows], self.descriptions(rows))
        return self._splits[name]

    def descriptions(self, rows: Sequence[Row]) -> Sequence[str]:
        """What a file among `tables` says of each of these images, or nothing at all."""
        return ()

    def fingerprint(self) -> str:
        rows = [[row.file, row.label, row.bias, row.split] for row in self.rows]
        return digest([self.card.name, self._content, *self.how(), rows])

    @staticmethod
    def read_bias(images: np.ndarray, config: Any) -> None:
        """The attribute of a photograph can't be read off its pixels."""

    @cached_property
    def _content(self) -> str:
        index = self.cache / f"hashes-{digest(str(self.root.absolute()))}.json"
        return fingerprint_files(self.files(), self.root, index)

    def _check_classes(self) -> None:
        for split in self.every_class:
            present = {row.label for row in self.rows if row.split == split}
            for label, name in enumerate(self.class_names):
                if label not in present:
                    raise DataError(f"class '{name}' has no images in the {split} split of {self.root}")


def no_bias(classes: int) -> np.ndarray:
    """`aligned` of a data set without an annotated bias attribute: bool (classes, 0)."""
    return np.zeros((classes, 0), dtype=bool)


def images_in(root: Path, folder: str) -> list[str]:
    """Image files (by ending) directly in a folder below the root: names relative to the root, sorted.

    Raises:
        DataError: there is no such folder.
    """
    try:
        with os.scandir(root / folder) as entries:
            names = sorted(e.name for e in entries if e.name[0] != "." and Path(e.name).suffix.lower() in ENDINGS)
    except OSError as error:
        raise DataError(
            f"{root / folder} can't be read ({error.strerror}): the copy is incomplete or another"
        ) from error
    return [f"{folder}/{name}" if folder else name for name in names]


def folders_in(root: Path, folder: str) -> list[str]:
    """Folders directly in a folder below the root: names relative to the root, sorted. DataError when it is absent."""
    if not (root / folder).is_dir():
        raise DataError(f"there is no folder {root / folder}: the copy is incomplete or another")
    names = sorted(path.name for path in (root / folder).iterdir() if path.is_dir())
    return [f"{folder}/{name}" if folder else name for name in names]


def sorted_names(words: Iterable[str]) -> tuple[str, ...]:
    """Sorted: as numbers where all are whole numbers, else as words."""
    found = sorted(set(words))
    return tuple(sorted(found, key=int if all(w.isascii() and w.isdecimal() for w in found) else None))


def label_and_bias(root: Path, file: str, classes: int, biases: int) -> tuple[int, int]:
    """The two numbers at the end of a name such as `00017_1_0.png`. Raises DataError when they aren't there."""
    parts = Path(file).stem.split("_")[-2:]
    if len(parts) == 2 and all(part.isascii() and part.isdecimal() for part in parts):
        label, bias = int(parts[0]), int(parts[1])
        if label < classes and bias < biases:
            return label, bias
    raise DataError(
        f"{root / file}: the name has to end in _<label>_<bias>, label in 0..{classes - 1}, bias in 0..{biases - 1}"
    )


def hold_out(keys: Sequence[Any], fraction: float, seed: int) -> np.ndarray:
    """Rows to be held out, bool (n,): of the rows of each key `fraction`, rounded, but never all of them.

    keys: what the draw is stratified by, one a row (labels, or label and bias).
    """
    rng = np.random.default_rng(seed)
    rows_of: dict[Any, list[int]] = {}
    for row, key in enumerate(keys):
        rows_of.setdefault(key, []).append(row)
    held = np.zeros(len(keys), dtype=bool)
    for key in sorted(rows_of):
        rows = rng.permutation(rows_of[key])
        held[rows[: min(round(fraction * len(rows)), len(rows) - 1)]] = True
    return held
