"""Public sets for classification, read as they are published: one class for image files, one for arrays.

What tells the sets apart is data (`records`): a card, a layout and what is published of their size.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from lab.config.fields import option
from lab.data.base import Card, Split
from lab.data.class_images import (
    ClassConfig,
    ClassImages,
    Item,
    Listing,
    PhotoConfig,
    UnsplitConfig,
    draw_set,
    stand_in_counts,
)
from lab.data.files import absent, data_root, kept, warn
from lab.data.listed import Row
from lab.data.public.arrays import ArrayLayout, Arrays, stacked
from lab.data.public.layouts import Layout
from lab.errors import DataError

STAND_IN = "STAND_IN.txt"
"""File that tells a stand-in from a copy of the set: what is published of the set does not hold for it."""


@dataclass
class DtdConfig(PhotoConfig):
    """Which of the published splits is used."""

    partition: int = option(1, "which of the ten published splits, 1 to 10")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if not 1 <= self.partition <= 10:
            yield "partition", f"has to be 1 to 10, is {self.partition}"


@dataclass
class ArrayConfig(ClassConfig):
    """Options of sets that are arrays."""

    image_size: int = option(0, "side in pixels; 0: as stored (32; STL-10 96; MNIST and those of its form 28)")

    def check(self) -> Iterator[tuple[str, str]]:
        # 0 is allowed here, and is no size to the check of the others.
        checked = self if self.image_size else replace(self, image_size=32)
        yield from ClassConfig.check(checked)


@dataclass(frozen=True)
class Record:
    """One public set.

    summary: for lists.
    folders: below the root that may hold it, in the order they are tried; "" is the root itself.
    classes: published number of classes.
    images: published number of images of each split, 0 where it is not known; None for all of a set without splits.
    sample: class names of the stand-in.
    hashes: file -> `algorithm:hex`, as torchvision has it; checked by `lab data verify`.
    options: class of its options, where the layout doesn't say which.
    """

    card: Card
    summary: str
    layout: Layout | ArrayLayout
    folders: tuple[str, ...]
    classes: int
    images: Mapping[Split | None, int]
    sample: tuple[str, ...]
    hashes: Mapping[str, str] = field(default_factory=dict)
    options: type[ClassConfig] | None = None

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def config(self) -> type[ClassConfig]:
        """Class of its options."""
        if self.options is not None:
            return self.options
        if isinstance(self.layout, ArrayLayout):
            return ArrayConfig
        if "{partition}" in self.layout.wanted:
            return DtdConfig
        return PhotoConfig if "test" in self.images else UnsplitConfig


class PublicImages(ClassImages):
    """A set of image files. Subclasses name its record.

    Raises:
        DataError: the set is not there, or naming the file that is missing or damaged.
    """

    record: ClassVar[Record]

    def __init__(self, config: Any, cache: Path):
        super().__init__(config, cache)
        self.stand_in = any((folder / STAND_IN).is_file() for folder in (self.root, *self.root.parents[:3]))
        difference = self.difference()
        if difference and config.per_class is None:
            warn(f"{self.card.title} in {self.root}: {difference}")

    @classmethod
    def wanted(cls, config: Any) -> str:
        return cls._layout().wanted.format(**vars(config))

    @classmethod
    def write_stand_in(cls, folder: Path, config: Any, seed: int = 0) -> None:
        """Drawn figures in the published layout, of as many classes as the record has names for."""
        root = folder / cls.record.folders[0]
        counts = stand_in_counts(cls.record.images, config.stand_in_size)
        images = draw_set(len(cls.record.sample), counts, seed)
        cls._layout().write(root, cls.record.sample, images, config)
        mark_stand_in(folder)

    @classmethod
    def _layout(cls) -> Layout:
        assert isinstance(cls.record.layout, Layout)
        return cls.record.layout

    def listing(self) -> Listing:
        found = self._layout().read(self.root, self.config)
        self._found = Counter(item.split for item in found.items)
        return found

    def files(self) -> list[str]:
        tables = (name.format(**vars(self.config)) for name in self._layout().tables)
        return [*(name for name in tables if (self.root / name).is_file()), *(row.file for row in self.rows)]

    def difference(self) -> str:
        """What of the copy is not as published: number of classes, images of a split. Empty when nothing is."""
        if self.stand_in:
            return ""
        said = []
        if len(self.class_names) != self.record.classes:
            said.append(f"{len(self.class_names)} classes, {self.record.classes} are published")
        for split, count in self.record.images.items():
            if count and self._found[split] != count:
                said.append(f"{self._found[split]:,} {split or ''} images, {count:,} are published".replace("  ", " "))
        return "; ".join(said)

    def remarks(self) -> Iterator[str]:
        """Lines for `lab data verify`.

        Raises:
            DataError: a file is not the published one.
        """
        if self.stand_in:
            yield "a stand-in that lab drew"
            return
        yield f"sizes: {self.difference() or 'as published'}"
        checked = 0
        for name, expected in self.record.hashes.items():
            if not (self.root / name).is_file():
                continue
            algorithm, _, wanted = expected.partition(":")
            with (self.root / name).open("rb") as file:
                found = hashlib.file_digest(file, algorithm).hexdigest()
            if found != wanted:
                raise DataError(f"{self.root / name} is not the published file: {algorithm} {found}, not {wanted}")
            checked += 1
        if checked:
            yield f"hashes: {checked} files as published"


class PublicArrays(PublicImages):
    """A set of arrays; names of rows are `train/<row>` and `test/<row>`."""

    @classmethod
    def _arrays(cls) -> ArrayLayout:
        assert isinstance(cls.record.layout, ArrayLayout)
        return cls.record.layout

    @classmethod
    def locate(cls, config: Any) -> Path:
        """The folder with the files. Raises DataError when there is none."""
        tried = [data_root(config) / name for name in cls.record.folders]
        for folder in tried:
            if cls._arrays().files(folder):
                return folder
        raise absent(cls.card, cls.card.layout.partition(";")[0], tried)

    @classmethod
    def write_stand_in(cls, folder: Path, config: Any, seed: int = 0) -> None:
        """Drawn figures in the published layout."""
        layout, sample = cls._arrays(), cls.record.sample
        counts = stand_in_counts(cls.record.images, config.stand_in_size)
        images = draw_set(len(sample), counts, seed, (layout.side, layout.side))
        train, test = (stacked([i for i in images if i.split == split], layout.side) for split in ("train", "test"))
        layout.write(folder / cls.record.folders[0], sample, train, test)
        mark_stand_in(folder)

    def listing(self) -> Listing:
        arrays = self._read
        parts: tuple[tuple[Split, np.ndarray], ...] = (("train", arrays.train.labels), ("test", arrays.test.labels))
        items = [
            Item(f"{split}/{row}", label, split) for split, labels in parts for row, label in enumerate(labels.tolist())
        ]
        self._found = Counter(item.split for item in items)
        return Listing(arrays.class_names, items)

    def files(self) -> list[str]:
        return self._arrays().files(self.root) or []

    def how(self) -> list[Any]:
        return [self.config.image_size]

    def pixels(self, split: Split, rows: Sequence[Row], target: Path) -> np.ndarray:
        pictures = self._read.test if split == "test" else self._read.train
        chosen = [int(row.file.partition("/")[2]) for row in rows]
        size = self.config.image_size or self._arrays().side
        if size == self._arrays().side:
            return np.ascontiguousarray(pictures.images[chosen])

        def resized(start: int) -> Iterator[np.ndarray]:
            for row in chosen[start:]:
                image = Image.fromarray(np.ascontiguousarray(pictures.images[row]))
                yield np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))

        return kept(len(rows), size, target, resized)

    @cached_property
    def _read(self) -> Arrays:
        return self._arrays().read(self.root)


def data_set(record: Record) -> type[PublicImages]:
    """The data set class of a record."""
    base = PublicArrays if isinstance(record.layout, ArrayLayout) else PublicImages
    content = {"record": record, "card": record.card, "folders": record.folders, "__module__": __name__}
    return type(record.name, (base,), content)


def mark_stand_in(folder: Path) -> None:
    (folder / STAND_IN).write_text("Drawn by lab: no images of the data set.\n")
