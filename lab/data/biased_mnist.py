"""Biased MNIST (ReBias, Bahng et al. 2020) on MNIST, Fashion-MNIST or KMNIST: the ground colour gives the class away.

Digit k has background colour k of ten; with probability rho an image gets its own colour, otherwise one of the
others. Pixels of the digit (not zero) are white. Here the shares are exact in every class, not drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lab.config.fields import as_plain, option
from lab.data.base import Card, DataConfig, ImageSet, Source, Split
from lab.data.bias import assign_bias, nearest_colour
from lab.data.files import absent, data_root, digest, fingerprint_files
from lab.data.mnist_files import VARIANTS, Digits, find, folders, read, write_idx
from lab.errors import DataError

VERSION = 1
"""Raise when the same options and files would give other images."""

COLOURS = np.array(
    [
        [255, 0, 0], [0, 255, 0], [0, 0, 255], [225, 225, 0], [225, 0, 225],
        [0, 255, 255], [255, 128, 0], [255, 0, 128], [128, 0, 255], [128, 128, 128],
    ],
    dtype=np.uint8,
)  # fmt: skip
"""RGB of background colour k, from the code of ReBias."""

COLOUR_NAMES = ("red", "green", "blue", "yellow", "magenta", "cyan", "orange", "rose", "violet", "grey")

CLASS_NAMES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": (
        "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    ),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}  # fmt: skip

NEAR = 50.0
"""Largest RGB distance at which a background counts as a colour; below half the least distance of two colours."""


def _idx_files(*md5: str) -> dict[str, str | None]:
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    return {f"{name}-ubyte.gz": f"md5:{value}" for name, value in zip(names, md5, strict=True)}


_MNIST = _idx_files(
    "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "d53e105ee54ea40749a09fcbcd1e9432",
    "9fb629c4189551a2d022fa330f9573f3",
    "ec29112dd5afa0611ce80d1b7f02629c",
)

CARD = Card(
    name="biased_mnist",
    title="MNIST, Fashion-MNIST or KMNIST (for Biased MNIST)",
    licence="MNIST CC BY-SA 3.0, Fashion-MNIST MIT, KMNIST CC BY-SA 4.0",
    reference="Bahng et al., Learning De-biased Representations with Biased Representations, ICML 2020",
    layout=(
        "mnist.npz, fashion_mnist.npz or kmnist.npz (x_train, y_train, x_test, y_test); or kmnist-{train,test}-{imgs,"
        "labels}.npz; or the four idx files {train,t10k}-{images-idx3,labels-idx1}-ubyte, plain or .gz; in the root, "
        "<variant>/ or torchvision's MNIST/raw, FashionMNIST/raw, KMNIST/raw. Coloured while it is read."
    ),
    sources=(
        Source("https://ossci-datasets.s3.amazonaws.com/mnist/", _MNIST, part="mnist"),
        Source("https://storage.googleapis.com/cvdf-datasets/mnist/", _MNIST, part="mnist"),
        Source(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            _idx_files(
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "25c81989df183df01b3e8a0aad5dffbe",
                "bef4ecab320f06d8554ea6380940ec79",
                "bb300cfdad3c16e7a12a480ee83cd310",
            ),
            part="fashion_mnist",
        ),
        Source(
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            _idx_files(
                "bdb82020997e1d708af4cf47b453dcf7",
                "e144d726b3acfaa3e44228e80efcd344",
                "5c965bf0a639b31b8f53240b1b52f4d7",
                "7320c461ea6c1c855c0b718fb2a4b134",
            ),
            part="kmnist",
        ),
    ),
    folder="biased_mnist",
)


@dataclass
class BiasedMnistConfig(DataConfig):
    """Which digits, how many, and how strongly the background colour goes with the class."""

    variant: Literal["mnist", "fashion_mnist", "kmnist"] = option("mnist", "which set is coloured")
    rho: float = option(0.95, "share of training and validation images with their class's own colour")
    test_rho: float = option(0.1, "the same share in the test split; 0.1 is unbiased")
    n_confusing: int = option(9, "colours among which the other images of a class are dealt")
    subset: int | None = option(None, "training images that are used; default all that validation leaves")
    val_fraction: float = option(0.1, "share of the official training images held out for validation, per class")
    image_size: int = option(32, "28: as it is; 32: background added around; others: resized from 32")
    bias_seed: int = option(0, "seed of the colours, of the subset and of the validation split")
    stand_in_size: int = option(2000, "training images of the stand-in")

    def check(self) -> Iterator[tuple[str, str]]:
        for name in ("rho", "test_rho"):
            if not 0 <= getattr(self, name) <= 1:
                yield name, f"is a share and has to be in [0, 1], is {getattr(self, name)}"
        if not 0 < self.val_fraction < 1:
            yield "val_fraction", f"has to be between 0 and 1, is {self.val_fraction}"
        if not 1 <= self.n_confusing <= 9:
            yield "n_confusing", f"has to be 1 to 9, is {self.n_confusing}"
        if self.subset is not None and self.subset < 10:
            yield "subset", f"has to be at least 10, one image a class, is {self.subset}"
        if self.image_size < 8:
            yield "image_size", f"has to be at least 8, is {self.image_size}"
        if self.stand_in_size < 200:
            yield "stand_in_size", f"has to be at least 200, is {self.stand_in_size}"


class BiasedMnist:
    """Ten classes, ten background colours; colour k goes with class k.

    Raises:
        DataError: the files are absent, damaged or another variant's; or a class would be left without images.
    """

    bias_names = COLOUR_NAMES
    aligned = np.eye(10, dtype=bool)

    def __init__(self, config: BiasedMnistConfig, cache: Path):
        self.config, self.cache = config, cache
        self.root = self.locate(config)
        self.class_names = CLASS_NAMES[config.variant]
        self._splits: dict[Split, ImageSet] = {}

    @classmethod
    def locate(cls, config: BiasedMnistConfig) -> Path:
        """The folder that holds the variant's files. Raises DataError when none does."""
        tried = folders(config.variant, CARD.looked_in(data_root(config)))
        for folder in tried:
            if find(config.variant, folder):
                return folder
        raise absent(CARD, f"{config.variant}.npz or the four idx files", tried, part=config.variant)

    @classmethod
    def write_stand_in(cls, folder: Path, config: BiasedMnistConfig, seed: int = 0) -> None:
        """Drawn digits as the four idx files of `config.variant`, in torchvision's layout; a quarter to test."""
        rng = np.random.default_rng(seed)
        raw = folder / VARIANTS[config.variant] / "raw"
        for part, size in (("train", config.stand_in_size), ("t10k", config.stand_in_size // 4)):
            labels = rng.permutation(np.arange(size) % 10)
            write_idx(raw / f"{part}-images-idx3-ubyte", np.stack([draw_digit(label, rng) for label in labels]))
            write_idx(raw / f"{part}-labels-idx1-ubyte", labels)

    def split(self, name: Split) -> ImageSet:
        if name not in self._splits:
            part = "test" if name == "test" else "train"
            rows = np.arange(len(self._digits["test"].labels)) if name == "test" else self._rows[name]
            self._splits[name] = self._coloured(name, part, rows)
        return self._splits[name]

    def fingerprint(self) -> str:
        files = find(self.config.variant, self.root)
        assert files is not None  # locate() has found them
        index = self.cache / f"hashes-{digest(str(self.root.absolute()))}.json"
        content = fingerprint_files([path.name for path in files], self.root, index)
        return digest([CARD.name, VERSION, content, as_plain(self.config, keep_runtime=False)])

    @staticmethod
    def read_bias(images: np.ndarray, config: BiasedMnistConfig) -> np.ndarray:
        """Background colour (n,) of images that may be blurred or generated; -1 when none is within `NEAR`."""
        return nearest_colour(images, COLOURS, NEAR)

    @cached_property
    def _digits(self) -> dict[str, Digits]:
        files = find(self.config.variant, self.root)
        assert files is not None
        return read(self.config.variant, files)

    @cached_property
    def _rows(self) -> dict[Split, np.ndarray]:
        """Rows of the official training images that are `train` and `val`, in file order."""
        config, labels = self.config, self._digits["train"].labels
        rng = np.random.default_rng([config.bias_seed, 0])
        held = []
        for label in range(10):
            rows = rng.permutation(np.flatnonzero(labels == label))
            held.append(rows[: round(config.val_fraction * len(rows))])
        val = np.sort(np.concatenate(held))
        train = rng.permutation(np.setdiff1d(np.arange(len(labels)), val))
        if config.subset is not None and config.subset > len(train):
            raise DataError(
                f"subset={config.subset} is more than the {len(train)} training images of {self.root} that "
                f"val_fraction={config.val_fraction} leaves"
            )
        return {"train": np.sort(train[: config.subset]), "val": val}

    def _coloured(self, name: Split, part: str, rows: np.ndarray) -> ImageSet:
        config, digits = self.config, self._digits[part]
        labels = digits.labels[rows]
        for label in set(range(10)) - set(labels.tolist()):
            raise DataError(f"class '{self.class_names[label]}' has no images in the {name} split of {self.root}")
        rho = config.test_rho if name == "test" else config.rho
        rng = np.random.default_rng([config.bias_seed, 1 + ("train", "val", "test").index(name)])
        bias = assign_bias(labels, 10, rho, rng, config.n_confusing)
        images = paint(digits.images[rows], COLOURS[bias], config.image_size)
        return ImageSet(images, labels, bias, [f"{config.variant}/{part}/{row}" for row in rows])


def paint(digits: np.ndarray, colours: np.ndarray, size: int) -> np.ndarray:
    """White digits on coloured ground.

    Args:
        digits: uint8 (n, 28, 28), 0 is ground.
        colours: uint8 (n, 3).

    Returns: uint8 (n, size, size, 3).
    """
    if size != 28:
        digits = np.pad(digits, ((0, 0), (2, 2), (2, 2)))
    images = np.where(digits[..., None] > 0, np.uint8(255), colours[:, None, None, :])
    if size in (28, 32):
        return images
    return np.stack([np.asarray(Image.fromarray(i).resize((size, size), Image.Resampling.BICUBIC)) for i in images])


def draw_digit(digit: int, rng: np.random.Generator) -> np.ndarray:
    """A digit in print, uint8 (28, 28), 0 outside: random size, stroke, shear, turn and place."""
    font = ImageFont.load_default(size=int(rng.integers(42, 56)))
    canvas = Image.new("L", (56, 56))
    stroke = int(rng.integers(0, 2))
    ImageDraw.Draw(canvas).text((28, 28), str(digit), fill=255, font=font, anchor="mm", stroke_width=stroke)
    angle, shear = rng.uniform(-0.25, 0.25), rng.uniform(-0.3, 0.3)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[1, shear], [0, 1]]) @ np.diag(rng.uniform(0.85, 1.15, 2))
    offset = np.full(2, 28.0) - matrix @ (np.full(2, 28.0) + rng.uniform(-4, 4, 2))
    warped = canvas.transform(
        (56, 56), Image.Transform.AFFINE, (*matrix[0], offset[0], *matrix[1], offset[1]), Image.Resampling.BILINEAR
    )
    grey = np.asarray(warped.resize((28, 28), Image.Resampling.BOX))
    return np.where(grey < 100, np.uint8(0), grey)
