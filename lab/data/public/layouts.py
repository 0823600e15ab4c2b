"""The layouts in which image files are published: a folder for each class, or lists in text files.

A layout reads a copy and writes a stand-in of the same form. MATLAB lists are in `mat`, arrays in `arrays`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from lab.data.base import Split
from lab.data.class_images import Drawn, Item, Listing
from lab.data.listed import folders_in, images_in, sorted_names
from lab.errors import DataError

Parts = Mapping[str, Split | None]
"""Folder or list of a set -> the split that it is, or None where the set has no splits."""


@dataclass(frozen=True)
class Layout:
    """One published form of a set of image files.

    wanted: file or folder by which a copy is known, or a pattern; braces hold options of the set.
    read: from a copy's folder and the options. Raises DataError.
    write: a stand-in, from its folder, class names, images and the options.
    tables: files besides the images that decide what is read; braces as in `wanted`.
    """

    wanted: str
    read: Callable[[Path, Any], Listing]
    write: Callable[[Path, Sequence[str], Sequence[Drawn], Any], None]
    tables: tuple[str, ...] = ()


def class_folders(
    wanted: str,
    parts: Parts,
    *,
    ending: str = ".jpg",
    leave_out: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
) -> Layout:
    """A folder for each class, in a folder for each part ("" is the set's own).

    Args:
        leave_out: folders that are no classes.
        names: folder -> class name, where it is another.
    """
    called = names or {}

    def is_class(folder: str) -> bool:
        name = folder.rpartition("/")[2]
        return name not in leave_out and not name.startswith((".", "__MACOSX"))

    def read(root: Path, config: Any) -> Listing:
        found = [
            (called.get(folder.rpartition("/")[2], folder.rpartition("/")[2]), file, split)
            for part, split in parts.items()
            for folder in folders_in(root, part)
            if is_class(folder)
            for file in images_in(root, folder)
        ]
        return listing_of(found, root)

    def write(root: Path, classes: Sequence[str], images: Sequence[Drawn], config: Any) -> None:
        part_of = {split: part for part, split in parts.items()}
        folder_of = {name: folder for folder, name in called.items()}
        for number, (split, label, image) in enumerate(images):
            name = classes[label]
            save(image, root / part_of[split] / folder_of.get(name, name) / f"{number:05d}{ending}")

    return Layout(wanted, read, write)


def text_lists(
    lists: Parts, line: str, image: str, written: Callable[[str, str, int], str], *, header: int = 0
) -> Layout:
    """Text files with a line for each image.

    Args:
        lists: text file -> split; braces hold options of the set.
        line: regular expression of a whole line, with the groups `file` and `label`, and `number` where classes are
            ordered by one.
        image: path of an image, with `{file}` for that group.
        written: line of a stand-in, from the image's number, its class's name, and that class's number from 1 on.
        header: lines at the start of each list that are left out.
    """
    pattern = re.compile(line)

    def read(root: Path, config: Any) -> Listing:
        found, number = [], {}
        for name, split in lists.items():
            for match in matches(root / name.format(**vars(config)), pattern, header):
                found.append((match["label"], image.format(file=match["file"]), split))
                if "number" in pattern.groupindex:
                    number[match["label"]] = match["number"]
        order = sorted(number, key=lambda label: int(number[label])) if number else None
        return listing_of(found, root, order)

    def write(root: Path, classes: Sequence[str], images: Sequence[Drawn], config: Any) -> None:
        for name, split in lists.items():
            lines = ["header"] * header
            for number, (of, label, picture) in enumerate(images):
                if of != split:
                    continue
                text = written(f"{number:05d}", classes[label], label + 1)
                match = pattern.fullmatch(text)
                assert match, f"the stand-in writes what {line} does not read: {text}"
                save(picture, root / image.format(file=match["file"]))
                lines.append(text)
            write_lines(root / name.format(**vars(config)), lines)

    return Layout(next(iter(lists)), read, write, tuple(lists))


def cub(folder: str = "images") -> Layout:
    """CUB-200-2011: images, their classes and the split in three text files with a number for each image."""
    names = ("classes.txt", "images.txt", "image_class_labels.txt", "train_test_split.txt")
    pair = re.compile(r"(?P<key>\d+)\s+(?P<value>\S+)")

    def read(root: Path, config: Any) -> Listing:
        classes, files, labels, splits = ({m["key"]: m["value"] for m in matches(root / n, pair)} for n in names)
        found: list[tuple[str, str, Split | None]] = []
        for key, file in files.items():
            if key not in labels or key not in splits or labels[key] not in classes:
                raise DataError(
                    f"{root / 'images.txt'}: image {key} is missing in one of {', '.join(names)}; get it again"
                )
            split: Split = "train" if splits[key] == "1" else "test"
            found.append((classes[labels[key]].partition(".")[2], f"{folder}/{file}", split))
        return listing_of(found, root, [name.partition(".")[2] for name in classes.values()])

    def write(root: Path, classes: Sequence[str], images: Sequence[Drawn], config: Any) -> None:
        called = [f"{number:03d}.{name}" for number, name in enumerate(classes, 1)]
        files = [f"{called[label]}/{number:04d}.jpg" for number, (_, label, _) in enumerate(images, 1)]
        for file, (_, _, picture) in zip(files, images, strict=True):
            save(picture, root / folder / file)
        columns: tuple[Sequence[Any], ...] = (
            called,
            files,
            [drawn.label + 1 for drawn in images],
            [int(drawn.split == "train") for drawn in images],
        )
        for name, column in zip(names, columns, strict=True):
            write_lines(root / name, [f"{number} {value}" for number, value in enumerate(column, 1)])

    return Layout("train_test_split.txt", read, write, names)


def listing_of(
    found: Iterable[tuple[str, str, Split | None]], root: Path, order: Sequence[str] | None = None
) -> Listing:
    """Listing of (class name, file, split) triples; classes in that order, or sorted.

    Raises:
        DataError: there are none, or a file is listed twice.
    """
    items = list(found)
    classes = tuple(order) if order else sorted_names(name for name, _, _ in items)
    label = {name: number for number, name in enumerate(classes)}
    seen: set[str] = set()
    for _, file, _ in items:
        if file in seen:
            raise DataError(f"{root / file} is listed twice; get the data set again")
        seen.add(file)
    if not items:
        raise DataError(f"{root} has no images: the copy is incomplete; get it again")
    return Listing(classes, [Item(file, label[name], split) for name, file, split in items])


def matches(path: Path, pattern: re.Pattern[str], header: int = 0) -> list[re.Match[str]]:
    """The lines of a text file, matched. Raises DataError naming the file, and the line that is of another form."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} can't be read ({error}): the copy is incomplete or damaged; get it again") from error
    found = []
    for number, line in enumerate(lines[header:], header + 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = pattern.fullmatch(line.strip())
        if match is None:
            raise DataError(f"{path} line {number}: '{line[:60]}' is not of the form {pattern.pattern}; get it again")
        found.append(match)
    return found


def write_lines(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def save(image: Image.Image, path: Path) -> None:
    """Write, as what the ending says; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
