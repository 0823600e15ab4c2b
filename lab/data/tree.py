"""Image trees with a folder for each class, on disk or in a ZIP file: which image is in which class and split."""

from __future__ import annotations

import os
import re
import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lab.data.base import Split
from lab.data.class_images import Item, Listing
from lab.data.folder import ENDINGS, images_below, is_image
from lab.data.listed import sorted_names
from lab.errors import DataError

SPLIT_FOLDERS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Names of folders, in small letters, that are splits and not classes."""


@dataclass(frozen=True)
class Zipped:
    """One file inside a ZIP file."""

    archive: zipfile.ZipFile
    where: Path
    name: str
    lock: threading.Lock

    def __str__(self) -> str:
        return f"{self.where}/{self.name}"

    def read_bytes(self) -> bytes:
        """Content. Raises DataError when it can't be had; safe in threads."""
        try:
            with self.lock:
                return self.archive.read(self.name)
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
            raise DataError(f"{self} can't be read ({error}); get {self.where.name} again") from error
        except RuntimeError as error:  # what zipfile raises where a password is needed
            raise DataError(f"{self} can't be read: {self.where.name} is encrypted; unpack it first") from error


@contextmanager
def opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """A ZIP file. Raises DataError when it is none, or damaged."""
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} can't be read as a ZIP file ({error}); get it again") from error
    with archive:
        yield archive


class Tree(NamedTuple):
    """Relative names with /, sorted: of the image files, and of the folders in which and below which there are none."""

    images: list[str]
    empty: list[str]


NOT_OURS = (".", "__MACOSX")
"""How names begin of what some programs put beside images."""


def read_tree(root: Path) -> Tree:
    """The images of a folder or a ZIP file; hidden ones are left out.

    Raises:
        DataError: there are none, or the ZIP file is damaged.
    """
    if root.is_dir():
        names, folders = images_below(root), [path.relative_to(root).as_posix() for path in _folders_below(root)]
    else:
        with opened_zip(root) as archive:
            names = sorted(name for name in archive.namelist() if is_image(name.rpartition("/")[2] or "."))
            folders = [name.rstrip("/") for name in archive.namelist() if name.endswith("/")]
    names = [name for name in names if not any(part.startswith(NOT_OURS) for part in name.split("/"))]
    if not names:
        raise DataError(f"no images in {root.absolute()}: looked for {', '.join(sorted(ENDINGS))}")
    full = {name[:end] for name in names for end in range(len(name)) if name[end] == "/"}
    empty = [name for name in folders if name not in full and not name.rpartition("/")[2].startswith(NOT_OURS)]
    return Tree(names, sorted(empty))


def _folders_below(root: Path) -> Iterator[Path]:
    for place, folders, _ in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if name[0] != "."]
        yield from (Path(place, name) for name in folders)


def listing(tree: Tree, where: Path, group_pattern: str | None = None) -> Listing:
    """Classes, labels and splits of images, read off their names.

    Folders that hold everything (as `101_ObjectCategories/`) are passed over. Then come the folders of splits (see
    `SPLIT_FOLDERS`), if there are any, and the folders of classes; below those, folders mean nothing.

    Args:
        where: the root, for messages.
        group_pattern: regular expression that is searched for in the part of a name below the class's folder; images in
            which it finds the same (its first group, if it has groups) form one group.

    Raises:
        DataError: the tree is of another form, a class has no training images, the pattern is not found in a name, or
            a group is in more than one split.
    """
    names = tree.images
    parts = [tuple(name.split("/")) for name in names]
    depth = _wrappers(parts)
    with_splits = _has_splits(parts, depth, names, where)
    found = []
    for name, part in zip(names, parts, strict=True):
        inner = part[depth + with_splits :]
        if len(inner) < 2:
            place = where / "/".join(part[:-1])
            raise DataError(f"{place} has images of its own ({part[-1]}), where a folder for each class is expected")
        split = SPLIT_FOLDERS[part[depth].lower()] if with_splits else None
        found.append((name, inner[0], split, "/".join(inner[1:])))
    class_names = sorted_names(name for _, name, split, _ in found if split in (None, "train"))
    if len(class_names) < 2:
        raise DataError(f"{where} has only one folder with images, '{class_names[0]}'; it takes one for each class")
    label = {name: number for number, name in enumerate(class_names)}
    for folder in tree.empty:
        inner = tuple(folder.split("/"))[depth:]
        if len(inner) == with_splits + 1 and inner[-1] not in label:
            raise DataError(f"{where / folder} has no images: add some, or take the folder away")
    for name, of_class, _, _ in found:
        if of_class not in label:
            raise DataError(f"class '{of_class}' of {where} has no training images, only others such as {name}")
    pattern = re.compile(group_pattern) if group_pattern else None
    items = [
        Item(name, label[of_class], split, _group(pattern, rest, where / name) if pattern else "")
        for name, of_class, split, rest in found
    ]
    _insist_on_whole_groups(items, where)
    return Listing(class_names, items)


def _wrappers(parts: Sequence[tuple[str, ...]]) -> int:
    """How many folders hold everything, and are neither a split nor a class."""
    depth = 0
    while (
        all(len(part) >= depth + 3 for part in parts)
        and len({part[depth] for part in parts}) == 1
        and parts[0][depth].lower() not in SPLIT_FOLDERS
    ):
        depth += 1
    return depth


def _has_splits(parts: Sequence[tuple[str, ...]], depth: int, names: Sequence[str], where: Path) -> bool:
    folders = {part[depth] for part in parts if len(part) > depth + 1}
    splits = {folder for folder in folders if folder.lower() in SPLIT_FOLDERS}
    if not splits:
        return False
    nested = any(len(part) > depth + 2 for part in parts if part[depth] in splits)
    others = sorted(folders - splits)
    if others and (nested or len(splits) > 1):
        raise DataError(
            f"{where} has the splits {', '.join(sorted(splits))} and beside them '{others[0]}' with images: "
            "move that away, or all splits together"
        )
    if others:  # 'train' can be a class: of vehicles
        return False
    if "train" not in {SPLIT_FOLDERS[folder.lower()] for folder in splits}:
        raise DataError(f"{where} has {' and '.join(sorted(splits))}, but no folder train")
    return True


def _group(pattern: re.Pattern[str], rest: str, file: Path) -> str:
    match = pattern.search(rest)
    if match is None:
        raise DataError(f"group_pattern '{pattern.pattern}' is not found in '{rest}' ({file})")
    return match[1] if pattern.groups else match[0]


def _insist_on_whole_groups(items: Sequence[Item], where: Path) -> None:
    first: dict[str, Item] = {}
    for item in items:
        before = first.setdefault(item.group, item) if item.group else item
        if before.split != item.split:
            raise DataError(
                f"group '{item.group}' of {where} is in {before.split} ({before.file}) and in {item.split} "
                f"({item.file}): a group has to be in one split"
            )
