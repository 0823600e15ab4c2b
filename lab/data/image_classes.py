"""A user's own images, or any public set of that form: a folder for each class, on disk or in a ZIP file."""

from __future__ import annotations

import re
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from lab.config.fields import option
from lab.data.base import Card, Split
from lab.data.class_images import ClassImages, Listing, UnsplitConfig, draw_set, stand_in_counts
from lab.data.files import Readable, data_root, decoded, digest, fingerprint_files
from lab.data.listed import Row
from lab.data.padding import largest_side
from lab.data.tree import Zipped, listing, opened_zip, read_tree
from lab.errors import DataError

CARD = Card(
    name="image_classes",
    title="Your own images, a folder for each class",
    licence="yours",
    reference="none",
    layout=(
        "a folder, or a ZIP file of one, with a folder of images for each class; or with train/ (training/), and where "
        "you have them val/ (valid/, validation/) and test/ (testing/), with a folder for each class in each. "
        "data.root= names the folder or the file. Splits that are not there are drawn"
    ),
    sources=(),
    folder="image_classes",
)


@dataclass
class ImageClassesConfig(UnsplitConfig):
    """How images are read, and how those without a split are divided."""

    group_pattern: str | None = option(
        None,
        "regular expression; images with the same match in their names, below the class's folder, stay in one split "
        "('^[^_]+_[0-9]+': all that was cut out of one picture)",
    )

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        try:
            re.compile(self.group_pattern or "")
        except re.error as error:
            yield "group_pattern", f"is no regular expression: {error}"


class ImageClasses(ClassImages):
    """Classes are the folders, sorted. See `lab.data.tree.listing` for what a tree may look like.

    Raises:
        DataError: naming the folder or file that is not as it has to be.
    """

    card = CARD

    def __init__(self, config: ImageClassesConfig, cache: Path):
        self.has_groups = getattr(config, "group_pattern", None) is not None
        super().__init__(config, cache)

    @classmethod
    def locate(cls, config: ImageClassesConfig) -> Path:
        """The folder, or the ZIP file."""
        root = data_root(config)
        if not config.root:  # LAB_DATA holds many sets: its folders are no classes
            root = root / cls.card.folder
        inner = root / cls.card.folder  # of a stand-in, and of an unpacked copy
        if inner.is_dir():
            return inner
        if root.is_dir() or zipfile.is_zipfile(root):
            return root
        what = "is neither a folder nor a ZIP file" if root.exists() else "is not there"
        raise DataError(
            f"{root.absolute()} {what}: name the folder of your images (with a folder for each class), or a ZIP file "
            "of it, with data.root=; to try the same experiment without, add data.stand_in=true"
        )

    @classmethod
    def write_stand_in(cls, folder: Path, config: ImageClassesConfig, seed: int = 0) -> None:
        """Drawn figures of ten classes, without splits; of several sizes, grey and in colour, in several formats.

        The names look as if several images were cut out of one picture: `picture_12_3.png`.
        """
        endings = (".png", ".jpg", ".bmp", ".tif", ".webp", ".gif")
        for number, drawn in enumerate(draw_set(10, stand_in_counts([None], config.stand_in_size), seed)):
            image = drawn.image.crop((0, 0, drawn.image.width, drawn.image.height - number % 3))
            path = (
                folder / CARD.folder / f"class_{drawn.label}" / f"picture_{number % 40}_{number}{endings[number % 6]}"
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            (image.convert("L") if number % 5 == 0 else image).save(path)

    def listing(self) -> Listing:
        return listing(read_tree(self.root), self.root, self.config.group_pattern)

    def files(self) -> list[str]:
        return super().files() if self.root.is_dir() else [self.root.name]

    def pixels(self, split: Split, rows: Sequence[Row], target: Path) -> np.ndarray:
        prepare = self.prepare()  # which may look at other images than these
        with self.opened() as file:
            files = [file(row.file) for row in rows]
            return decoded(files, self.config.image_size, target, self.config.resize, prepare)

    @cached_property
    def side(self) -> int:
        with self.opened() as file:
            return largest_side([file(row.file) for row in self.rows if row.split == "train"])

    @contextmanager
    def opened(self) -> Iterator[Callable[[str], Readable]]:
        """What finds a file by its name, in the folder or in the ZIP file."""
        if self.root.is_dir():
            yield lambda name: self.root / name
            return
        with opened_zip(self.root) as archive:
            lock = threading.Lock()
            yield lambda name: Zipped(archive, self.root, name, lock)

    @cached_property
    def _content(self) -> str:
        folder = self.root if self.root.is_dir() else self.root.parent
        index = self.cache / f"hashes-{digest(str(folder.absolute()))}.json"
        return fingerprint_files(self.files(), folder, index)
