"""CelebA (Liu et al. 2015): faces with 40 attributes; blond hair as the class, sex as the bias, or any other two."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lab.config.fields import option
from lab.data.base import Card, Source, Split
from lab.data.bias import associated
from lab.data.drawn import save_figure
from lab.data.listed import SPLITS, ListedConfig, ListedImages, Row
from lab.errors import DataError, did_you_mean

_ATTRIBUTES = """
    5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair
    Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male
    Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks
    Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace
    Wearing_Necktie Young"""
ATTRIBUTES = tuple(_ATTRIBUTES.split())
ATTRIBUTE_FILE, PARTITION_FILE = "list_attr_celeba", "list_eval_partition"
FORMS = (".csv", ".txt")
IMAGES = ("img_align_celeba/img_align_celeba", "img_align_celeba")
"""Folders that may hold the images; the archive of the csv form has one in the other."""
SHARES = ((71629, 66874), (22880, 1387))
"""Official training images by blond hair and sex (female, male)."""

CARD = Card(
    name="celeba",
    title="CelebA",
    licence="non-commercial research; not to be passed on",
    reference="Liu et al., Deep Learning Face Attributes in the Wild, ICCV 2015",
    layout=(
        "img_align_celeba/*.jpg, and list_attr_celeba and list_eval_partition as .csv (image_id, 40 attributes in "
        "{-1, 1}; image_id, partition 0 train, 1 val, 2 test) or as .txt (number of images, names of the attributes, "
        "lines with spaces; lines without a head); 162770 / 19867 / 19962 images"
    ),
    sources=(
        Source(
            "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
            {},
            manual=True,
            note="the authors' page links img_align_celeba.zip and the txt files; no published hash",
        ),
        Source(
            "https://www.kaggle.com/datasets/jessicali9530/celeba-dataset",
            {},
            manual=True,
            note="the csv form; needs an account; no published hash",
        ),
    ),
    folder="celeba",
)


@dataclass
class CelebaConfig(ListedConfig):
    """Which attributes are the class and the bias, and how the images are read."""

    target: str = option("Blond_Hair", "attribute that is the class")
    bias: str = option("Male", "attribute that is the bias")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        for name in ("target", "bias"):
            value = getattr(self, name)
            if value not in ATTRIBUTES:
                yield name, f"'{value}' is no attribute of CelebA{did_you_mean(value, ATTRIBUTES)}"
        if self.target == self.bias:
            yield "bias", f"has to be another attribute than target, is {self.bias}"


class Celeba(ListedImages):
    """One attribute as the class, another as the bias.

    A value of the bias is aligned with the class in which it is the more frequent in training: of blond hair and sex,
    women with and men without.
    """

    card = CARD
    folders = (CARD.folder, "CelebA", "")
    tables = tuple(f"{name}{form}" for name in (ATTRIBUTE_FILE, PARTITION_FILE) for form in FORMS)

    def __init__(self, config: CelebaConfig, cache: Path):
        self.class_names = _names(config.target)
        self.bias_names = _names(config.bias)
        super().__init__(config, cache)
        train = np.array([(row.label, row.bias) for row in self.rows if row.split == "train"])
        self.aligned = associated(train[:, 0], train[:, 1], 2, 2)

    @classmethod
    def wanted(cls, config: CelebaConfig) -> str:
        return IMAGES[-1]

    @classmethod
    def write_stand_in(cls, folder: Path, config: CelebaConfig, seed: int = 0) -> None:
        """Drawn figures in the csv form, at the official shares of the four groups."""
        write_celeba(folder / CARD.folder, config, seed)

    def read_rows(self) -> list[Row]:
        form = next((form for form in FORMS if (self.root / f"{ATTRIBUTE_FILE}{form}").is_file()), None)
        if form is None:
            raise DataError(f"{self.root} has neither {ATTRIBUTE_FILE}.csv nor {ATTRIBUTE_FILE}.txt; get it again")
        columns = (self.config.target, self.config.bias)
        images = next(folder for folder in IMAGES if (self.root / folder).is_dir())
        attributes = read_attributes(self.root / f"{ATTRIBUTE_FILE}{form}", columns)
        partition = read_partition(self.root / f"{PARTITION_FILE}{form}")
        if attributes.keys() != partition.keys():
            odd = min(attributes.keys() ^ partition.keys())
            raise DataError(f"{self.root}: {odd} is in only one of {ATTRIBUTE_FILE}{form} and {PARTITION_FILE}{form}")
        rows = [Row(f"{images}/{name}", *values, partition[name]) for name, values in attributes.items()]
        missing = [row.file for row in rows if not (self.root / row.file).is_file()]
        if missing:
            raise DataError(
                f"{len(missing)} of {len(rows)} images named in {self.root / ATTRIBUTE_FILE}{form} are missing, "
                f"first {missing[0]}; get the data set again"
            )
        return rows


def read_attributes(path: Path, columns: tuple[str, str]) -> dict[str, tuple[int, int]]:
    """File name -> 0 or 1 for each of two attributes, from either form. Raises DataError with the line."""
    lines = _lines(path)
    if path.suffix == ".txt":
        next(lines, None)  # the number of images
    _, head = next(lines, (0, []))
    head = head[1:] if path.suffix == ".csv" else head
    absent = [name for name in columns if name not in head]
    if absent:
        raise DataError(f"{path} has no attribute {', '.join(absent)}; it has: {', '.join(head[:4]) or 'nothing'}, …")
    first, second = (head.index(name) + 1 for name in columns)
    found = {}
    for line, fields in lines:
        if len(fields) != len(head) + 1:
            raise DataError(f"{path} line {line}: has {len(fields)} values instead of {len(head) + 1}")
        pair = (fields[first], fields[second])
        if not set(pair) <= {"-1", "1"}:
            raise DataError(f"{path} line {line}: {columns[0]} and {columns[1]} are {pair}; they have to be -1 or 1")
        found[fields[0]] = (int(pair[0] == "1"), int(pair[1] == "1"))
    return found


def read_partition(path: Path) -> dict[str, Split]:
    """File name -> split, from either form. Raises DataError with the line."""
    lines = _lines(path)
    if path.suffix == ".csv":
        next(lines, None)  # the names of the columns
    found = {}
    for line, fields in lines:
        if len(fields) != 2 or fields[1] not in {"0", "1", "2"}:
            raise DataError(f"{path} line {line}: has to be a file name and 0, 1 or 2")
        found[fields[0]] = SPLITS[int(fields[1])]
    return found


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of the lines that are not empty."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file) if path.suffix == ".csv" else (line.split() for line in file)
            for number, fields in enumerate(lines, start=1):
                if fields:
                    yield number, [field.strip() for field in fields]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a text file in UTF-8 ({error})") from error
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}") from error


def _names(attribute: str) -> tuple[str, str]:
    """Names of the values 0 and 1."""
    if attribute == "Male":
        return "female", "male"
    name = attribute.replace("_", " ").lower()
    return f"not {name}", name


def write_celeba(root: Path, config: CelebaConfig, seed: int, form: str = ".csv") -> None:
    """The stand-in, in either form; a quarter as many validation and half as many test images."""
    rng = np.random.default_rng(seed)
    shares = np.array(SHARES) / np.sum(SHARES)
    attributes: list[list[object]] = []
    partition: list[list[object]] = []
    for split, count in enumerate((config.stand_in_size, config.stand_in_size // 4, config.stand_in_size // 2)):
        counts = np.maximum(2, np.round(count * shares)).astype(int)
        groups = [(y, b) for y in (0, 1) for b in (0, 1) for _ in range(counts[y, b])]
        for y, b in rng.permutation(groups).tolist():
            name = f"{len(attributes) + 1:06d}.jpg"
            save_figure(root / IMAGES[-1] / name, y, b, rng, (44, 54))
            values = dict(zip(ATTRIBUTES, rng.choice([-1, 1], len(ATTRIBUTES)).tolist(), strict=True))
            values |= {config.target: 2 * y - 1, config.bias: 2 * b - 1}
            attributes.append([name, *values.values()])
            partition.append([name, split])
    if form == ".csv":
        attributes.insert(0, ["image_id", *ATTRIBUTES])
        partition.insert(0, ["image_id", "partition"])
    else:
        attributes[:0] = [[len(attributes)], [*ATTRIBUTES]]
    for table, lines in ((ATTRIBUTE_FILE, attributes), (PARTITION_FILE, partition)):
        between = "," if form == ".csv" else " "
        text = "".join(between.join(str(field) for field in line) + "\n" for line in lines)
        (root / f"{table}{form}").write_text(text, encoding="utf-8")
