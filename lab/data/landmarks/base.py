"""What the landmark sets have in common: options, few labels, squashed images, and where a picture's points are.

Places are (x, y) in pixels of the original image, whole numbers being pixel centres: the image reaches from -0.5 to
width - 0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from lab.config.fields import as_plain, option
from lab.data.base import Card, DataConfig, Split
from lab.data.files import absent, data_root, digest, fingerprint_files, in_order, warn
from lab.data.folder import is_image
from lab.data.landmarks.pictures import read_size, squashed
from lab.errors import DataError

SPLITS: tuple[Split, ...] = ("train", "val", "test")
VERSION = 1
"""Raise when the same files and options would give other rows."""
MARGIN = 0.01
"""Share of the image's side by which a point may lie outside: readers click at edges, and files round."""
STAND_IN_NOTE = "drawn.txt"
"""A file in a generated folder, which may hold fewer images than the official set without a warning."""


@dataclass
class LandmarkConfig(DataConfig):
    """Which images are read, and which of them with their labels."""

    image_size: int = option(256, "side in pixels; the whole image is squashed to a square (published code: 256)")
    n_labels: int | None = option(
        None, "labelled training images; absent: all. A larger number keeps those of a smaller"
    )
    subset_seed: int = option(0, "seed of the draw of these images")
    use_val_labels: bool = option(True, "false: no validation split, as its labels are beyond the few that count")
    images: Literal["labelled", "train", "train_val"] = option(
        "labelled", "train or train_val: all these images, without labels, for pre-training; then no test split either"
    )
    frame: int | None = option(None, "side of the square in whose pixels px are counted; absent: those of the original")
    published: bool = option(False, "as the released code: the first n_labels files by name, and its ways to count")
    stand_in_size: int = option(150, "images of the stand-in, all splits together")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.image_size < 16:
            yield "image_size", f"has to be at least 16, is {self.image_size}"
        if self.n_labels is not None and self.n_labels < 1:
            yield "n_labels", f"has to be at least 1, is {self.n_labels}"
        if self.n_labels is not None and self.images != "labelled":
            yield "n_labels", f"is about labelled images; with images: {self.images} there are no labels"
        if self.frame is not None and self.frame < 1:
            yield "frame", f"has to be at least 1, is {self.frame}"
        if self.stand_in_size < 12:
            yield "stand_in_size", f"has to be at least 12, is {self.stand_in_size}"


@dataclass(frozen=True)
class LandmarkSet:
    """Images of one split.

    images: uint8 (n, s, s, 1), squashed.
    landmarks: float32 (n, L, 2), (x, y) in pixels of the original image; NaN where labels are withheld.
    sizes: int64 (n, 2), width and height of the original images.
    spacing: float32 (n, 2), mm between columns and between rows of the original image; NaN where it isn't known.
    names: n file names relative to the root.
    """

    images: np.ndarray
    landmarks: np.ndarray
    sizes: np.ndarray
    spacing: np.ndarray
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def labels(self) -> np.ndarray:
        """No classes: int64 (0,). For `lab data verify`."""
        return np.zeros(0, dtype=np.int64)

    bias = labels


@dataclass(frozen=True)
class Record:
    """One labelled image: file relative to the root, width and height, points float64 (L, 2), spacing (2,), split."""

    file: str
    size: tuple[int, int]
    points: np.ndarray
    spacing: tuple[float, float]
    split: Split


class LandmarkData:
    """Base of the data sets.

    Raises:
        DataError: the data set is absent, a label or an image is missing or wrong, or fewer are labelled than wanted.
    """

    card: ClassVar[Card]
    folders: ClassVar[tuple[str, ...]]
    """Folders below the root that may hold the data set, in the order they are tried."""
    wanted: ClassVar[str]
    """A pattern by which its folder is known."""
    names: tuple[str, ...]
    """Of the landmarks."""
    radii: tuple[float, ...]
    """At which detections are counted, in `unit`."""
    unit: Literal["mm", "px"] = "mm"
    class_names: tuple[str, ...] = ()
    bias_names: tuple[str, ...] = ()
    aligned = np.zeros((0, 0), dtype=bool)

    def __init__(self, config: Any, cache: Path):
        self.config, self.cache = config, cache
        self.root = self.locate(config)
        self.records = self.read_records()
        self._splits: dict[Split, LandmarkSet] = {}

    @classmethod
    def locate(cls, config: Any) -> Path:
        """The data set's folder. Raises DataError when there is none."""
        tried = [data_root(config) / name for name in cls.folders]
        for folder in tried:
            if cls.is_in(folder):
                return folder
        raise absent(cls.card, cls.wanted, tried)

    @classmethod
    def is_in(cls, folder: Path) -> bool:
        """Whether a folder holds the data set."""
        return next(folder.glob(cls.wanted), None) is not None

    @classmethod
    def stand_in_options(cls, config: Any) -> dict[str, Any]:
        """Options that decide what a stand-in is made of; all that differ in others share it."""
        return {"stand_in_size": config.stand_in_size}

    def read_records(self) -> list[Record]:
        """All labelled images, in an order that never changes."""
        raise NotImplementedError

    @property
    def tables(self) -> list[str]:
        """Files besides the images that decide the content, relative to the root."""
        raise NotImplementedError

    @property
    def frame(self) -> int | None:
        """Side of the square in whose pixels px are counted; None: those of the original image."""
        frame: int | None = self.config.frame
        return frame

    def split(self, name: Split) -> LandmarkSet:
        """The rows of a split, as the options have it; the same object each time."""
        if name not in self._splits:
            self._splits[name] = self._read(name)
        return self._splits[name]

    def _read(self, name: Split) -> LandmarkSet:
        config = self.config
        withheld = config.images != "labelled"
        pixels, records = self._pixels(name), self._of(name)
        if withheld and name == "train" and config.images == "train_val":
            pixels = np.concatenate([pixels, self._pixels("val")])
            records = records + self._of("val")
        elif (withheld and name == "test") or (not withheld and name == "val" and not config.use_val_labels):
            pixels, records = pixels[:0], []
        elif name == "train" and config.n_labels is not None:
            rows = self._few(len(records))
            pixels, records = pixels[rows], [records[row] for row in rows]
        count = len(self.names)
        points = np.array([r.points for r in records], dtype=np.float32).reshape(-1, count, 2)
        return LandmarkSet(
            images=pixels,
            landmarks=np.full_like(points, np.nan) if withheld else points,
            sizes=np.array([r.size for r in records], dtype=np.int64).reshape(-1, 2),
            spacing=np.array([r.spacing for r in records], dtype=np.float32).reshape(-1, 2),
            names=[r.file for r in records],
        )

    def _few(self, available: int) -> list[int]:
        """Rows of the labelled images, sorted."""
        config = self.config
        if config.n_labels > available:
            raise DataError(
                f"data.n_labels={config.n_labels}, but {self.root} has {available} labelled training images; "
                "leave it out for all"
            )
        if config.published:
            return list(range(config.n_labels))
        order = np.random.default_rng(config.subset_seed).permutation(available)
        return sorted(order[: config.n_labels].tolist())

    def _of(self, split: Split) -> list[Record]:
        return [record for record in self.records if record.split == split]

    def _pixels(self, split: Split) -> np.ndarray:
        files = [record.file for record in self._of(split)]
        kind = digest([self._content, self.config.image_size, files])
        target = self.cache / f"{self.card.name}-{split}-{kind}.npy"
        return squashed([self.root / file for file in files], self.config.image_size, target)

    def remarks(self) -> list[str]:
        """What `lab data verify` says besides."""
        counts = " / ".join(str(len(self._of(split))) for split in SPLITS)
        spacing = np.array([r.spacing for r in self.records])
        lines = [f"{len(self.records)} labelled images, {counts} for train / val / test; {len(self.names)} landmarks"]
        if self.unit == "mm":
            lines.append(f"spacing {spacing.min():.4g} to {spacing.max():.4g} mm a pixel")
        if self.frame is not None:
            lines.append(f"px are those of the image squashed to {self.frame} x {self.frame}")
        return lines

    def fingerprint(self) -> str:
        plain = as_plain(self.config, keep_runtime=False)
        return digest([self.card.name, VERSION, self._content, plain])

    @staticmethod
    def read_bias(images: np.ndarray, config: Any) -> None:
        """X-rays have no bias attribute."""

    @cached_property
    def _content(self) -> str:
        index = self.cache / f"hashes-{digest(str(self.root.absolute()))}.json"
        return fingerprint_files([*self.tables, *(record.file for record in self.records)], self.root, index)

    # For those who implement `read_records`.

    def text(self, name: str) -> str:
        """A text file of the data set. Raises DataError when it can't be read."""
        try:
            return (self.root / name).read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            raise DataError(f"{self.root / name} is missing: each image needs its label file") from None
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self.root / name} can't be read: {error}") from error

    def sizes(self, files: Sequence[str]) -> list[tuple[int, int]]:
        """Width and height of images. Raises DataError naming one that is missing or no image."""
        return list(in_order(lambda file: read_size(self.root / file), files, "opening"))

    def inside(self, points: np.ndarray, size: tuple[int, int], where: object) -> np.ndarray:
        """The points, if they are in an image of that size. Raises DataError for the first that isn't."""
        room = MARGIN * max(size)
        out = (points < -0.5 - room).any(1) | (points > np.array(size) - 0.5 + room).any(1)
        if out.any():
            number = int(np.argmax(out))
            x, y = points[number]
            raise DataError(
                f"{where}: point {number} ({x:g}, {y:g}) is outside its image of {size[0]} x {size[1]} pixels"
            )
        return points


def pictures_in(root: Path, folders: Sequence[str]) -> dict[str, str]:
    """Stem -> file relative to the root, of the images in the first of these folders that there is.

    Raises:
        DataError: there is none of them.
    """
    for folder in folders:
        if (root / folder).is_dir():
            found = sorted(path.name for path in (root / folder).iterdir() if is_image(path.name))
            return {Path(name).stem: f"{folder}/{name}" for name in reversed(found)}
    raise DataError(f"{root} has no folder of images: looked for {', '.join(folders)}")


def by_position(stems: Sequence[str], counts: tuple[int, int, int], totals: Sequence[int], root: Path) -> list[Split]:
    """The split of each of the sorted stems: the first block trains, the next validates, the last tests.

    counts: images of train, val and test in the full set; the last takes what is there.
    totals: numbers of images with which a copy counts as full. Another number is divided in the same shares, with a
        warning unless it was drawn, as its blocks are others than those of published results.

    Raises:
        DataError: too few images for three splits.
    """
    train, val = counts[0], counts[1]
    if len(stems) not in totals:
        train, val = (round(len(stems) * count / sum(counts)) for count in counts[:2])
        val = max(val, 1)
        if len(stems) - train - val < 1 or train < 1:
            raise DataError(f"{root} has {len(stems)} labelled images, too few for train, val and test")
        if not (root / STAND_IN_NOTE).exists():
            warn(
                f"{root} has {len(stems)} labelled images, not {' or '.join(str(n) for n in totals)}: divided as "
                f"{train} / {val} / {len(stems) - train - val} by name, not into the official splits"
            )
    return ["train" if n < train else "val" if n < train + val else "test" for n in range(len(stems))]


def draw_all(root: Path, count: int, draw: Callable[[int, np.random.Generator], None], seed: int) -> None:
    """Write the images of a stand-in: `draw(number, generator)` writes one. The folder is marked as drawn."""
    root.mkdir(parents=True, exist_ok=True)
    (root / STAND_IN_NOTE).write_text("Drawn by lab, not x-rays of anybody.\n")
    for _ in in_order(lambda n: draw(n, np.random.default_rng([seed, n])), range(count), "drawing"):
        pass
