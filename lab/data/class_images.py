"""What image sets for classification have in common: splits of their own or drawn ones, and no bias attribute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from lab.config.fields import added_option, option
from lab.data.base import Split
from lab.data.drawn import draw_figure
from lab.data.draws import held_out, held_out_groups, some_of_each
from lab.data.files import Prepare, Resize, decoded, warn
from lab.data.listed import ListedConfig, ListedImages, Row, no_bias
from lab.data.padding import Fill, largest_side, padded, without_bottom
from lab.errors import DataError


@dataclass
class ClassConfig(ListedConfig):
    """How much is used for training, and what is held out of it."""

    val_fraction: float = option(0.2, "share of the training images held out for validation, where the set has none")
    split_seed: int = option(0, "seed of all draws; they keep the shares of the classes")
    per_class: int | None = option(None, "training images used of each class; default all")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        for name in ("val_fraction", "test_fraction"):
            value = getattr(self, name, 0.0)
            if not 0 <= value < 1:
                yield name, f"has to be in [0, 1), is {value}"
        if self.per_class is not None and self.per_class < 1:
            yield "per_class", f"has to be at least 1, is {self.per_class}"


@dataclass
class PhotoConfig(ClassConfig):
    """Options of sets of image files that come with a test split."""

    image_size: int = option(224, "side in pixels")
    resize: Resize = option(
        "crop",
        "crop: the short side becomes image_size, the middle is kept; squeeze: the whole image, as a square; pad: made "
        "square by a border; pad_largest: made as large as the largest training image, so that sizes can be compared",
    )
    fill: Fill = added_option(
        "border", "colour of what is padded: black, white, or the median of the image's own border"
    )


@dataclass
class UnsplitConfig(PhotoConfig):
    """Options of sets of image files that come without a test split."""

    test_fraction: float = option(0.2, "share of all images held out for the test, where the set has none")


class Item(NamedTuple):
    """One image of a set: file relative to the root, label, split where the set says it, group that stays together."""

    file: str
    label: int
    split: Split | None = None
    group: str = ""


@dataclass(frozen=True)
class Listing:
    """What is in a copy of a set. Items keep one order for ever."""

    class_names: tuple[str, ...]
    items: Sequence[Item]


class Drawn(NamedTuple):
    """One image of a stand-in; the split is None in sets that have none."""

    split: Split | None
    label: int
    image: Image.Image


class ClassImages(ListedImages):
    """Base of the data sets. A split that the set has is used as it is; one that it lacks is drawn from the training
    images: first the test split, then validation.

    Raises:
        DataError: the copy is absent or damaged, or a class has too few images for the splits that have to be drawn.
    """

    every_class: tuple[Split, ...] = ("train",)
    has_groups = False

    def listing(self) -> Listing:
        raise NotImplementedError

    def read_rows(self) -> list[Row]:
        listing, config = self.listing(), self.config
        self.class_names = listing.class_names
        self.aligned = no_bias(len(self.class_names))
        labels = np.array([item.label for item in listing.items])
        splits = self._splits_of(listing, labels)
        rows = [Row(i.file, i.label, -1, s) for i, s in zip(listing.items, splits, strict=True)]
        if config.per_class is not None:
            train = np.flatnonzero([row.split == "train" for row in rows])
            left_out = set(train[~some_of_each(labels[train], config.per_class, config.split_seed)].tolist())
            rows = [row for number, row in enumerate(rows) if number not in left_out]
        for split in ("val", "test"):
            present = {row.label for row in rows if row.split == split}
            absent = [name for label, name in enumerate(self.class_names) if label not in present]
            if present and absent:
                warn(
                    f"{len(absent)} of {len(self.class_names)} classes have no images in the {split} split of "
                    f"{self.root}: {', '.join(absent[:5])}{', …' if len(absent) > 5 else ''}"
                )
        return rows

    def _splits_of(self, listing: Listing, labels: np.ndarray) -> list[Split]:
        config = self.config
        splits = np.array([item.split or "train" for item in listing.items])
        groups = [item.group for item in listing.items]
        fractions = {"test": getattr(config, "test_fraction", 0.0), "val": config.val_fraction}
        draws = {name: share for name, share in fractions.items() if share > 0 and name not in splits}
        self._insist_on_enough(listing, splits, list(draws))
        for seed, (name, share) in enumerate(draws.items()):
            train = np.flatnonzero(splits == "train")
            where = 2 * config.split_seed + seed
            if self.has_groups:
                held = held_out_groups(labels[train], [groups[row] for row in train], share, where)
            else:
                held = held_out(labels[train], share, where)
            splits[train[held]] = name
        return splits.tolist()  # type: ignore[no-any-return]

    def _insist_on_enough(self, listing: Listing, splits: np.ndarray, draws: Sequence[str]) -> None:
        """Each class needs an image (or a group) for training and for each split that is drawn."""
        if not draws:
            return
        units: dict[int, dict[str, str]] = {}
        for item, split in zip(listing.items, splits.tolist(), strict=True):
            if split == "train":
                units.setdefault(item.label, {}).setdefault(item.group if self.has_groups else item.file, item.file)
        for label, found in units.items():
            if len(found) <= len(draws):
                kind = "group of images" if self.has_groups else "image"
                many = f"a single {kind}" if len(found) == 1 else f"only {len(found)} {kind.replace('image', 'images')}"
                raise DataError(
                    f"class '{listing.class_names[label]}' has {many} in {self.root} ({next(iter(found.values()))}), "
                    f"but has to be in the splits {', '.join(['train', *draws])}: add images, or take the class out"
                )

    def pixels(self, split: Split, rows: Sequence[Row], target: Path) -> np.ndarray:
        files = [self.root / row.file for row in rows]
        return decoded(files, self.config.image_size, target, self.config.resize, self.prepare())

    def prepare(self) -> Prepare | None:
        """What is done to images before they are resized."""
        kind, bottom = self.config.resize, self.bottom
        pad = kind in ("pad", "pad_largest")
        if not pad and not bottom:
            return None
        side, fill = self.side if kind == "pad_largest" else 0, self.config.fill

        def prepared(image: Image.Image) -> Image.Image:
            cut = without_bottom(image, bottom)
            return padded(cut, side, fill) if pad else cut

        return prepared

    @property
    def bottom(self) -> int:
        """Rows at the bottom of images that are none of theirs: a printed scale bar."""
        return getattr(self.config, "bottom", 0)

    @cached_property
    def side(self) -> int:
        """Longest side of a training image, in pixels."""
        return largest_side([self.root / row.file for row in self.rows if row.split == "train"])

    def how(self) -> list[Any]:
        kind = self.config.resize
        padding = [self.config.fill] if kind in ("pad", "pad_largest") else []
        padding += [self.side] if kind == "pad_largest" else []
        return [self.config.image_size, kind, *padding, *([f"bottom {self.bottom}"] if self.bottom else [])]


def draw_set(
    classes: int, counts: Mapping[Split | None, int], seed: int, size: tuple[int, int] = (56, 48)
) -> list[Drawn]:
    """Images of a stand-in: figure k is class k (of at most 10), on ground k for half of them, else on any.

    counts: images of each split, about; every class has two of each at least, and three where there are no splits.
    """
    rng = np.random.default_rng(seed)
    drawn = []
    for split, count in counts.items():
        for label in range(classes):
            for _ in range(max(2 if split else 3, count // classes)):
                ground = label if rng.random() < 0.5 else int(rng.integers(10))
                drawn.append(Drawn(split, label, draw_figure(label, ground, rng, size)))
    return drawn


def stand_in_counts(splits: Iterable[Split | None], size: int) -> dict[Split | None, int]:
    """Images of each split of a stand-in with about `size` training images."""
    share: dict[Split | None, float] = {"train": 1, "val": 0.25, "test": 0.4, None: 1.6}
    return {split: round(size * share[split]) for split in splits}
