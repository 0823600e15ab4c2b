"""Corrupted CIFAR-10 (LfF, Nam et al. 2020): CIFAR-10 under ten corruptions; the corruption gives the class away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from lab.config.fields import option
from lab.data.base import Card, Source, Split
from lab.data.bias import assign_bias
from lab.data.cifar_files import CLASSES, FILES, TEST_BATCH, TRAIN_BATCHES, Pictures, read_batches, write_batches
from lab.data.drawn import draw_figure
from lab.data.files import decoded, digest, kept
from lab.data.listed import SPLITS, ListedConfig, ListedImages, Row, folders_in, hold_out, images_in, label_and_bias

VERSION = 1
"""Raise when the same options and CIFAR-10 would give other images."""

KINDS = ("snow", "frost", "fog", "brightness", "contrast", "spatter", "elastic", "jpeg", "pixelate", "saturate")

CARD = Card(
    name="corrupted_cifar10",
    title="Corrupted CIFAR-10",
    licence="that of CIFAR-10, which states none; cite Krizhevsky 2009",
    reference="Nam et al., Learning from Failure: Training Debiased Classifier from Biased Classifier, NeurIPS 2020",
    layout=(
        "form=cifar10: data_batch_1..5 and test_batch of CIFAR-10's Python version, in corrupted_cifar10/, "
        "cifar-10-batches-py/ or the root; corrupted while it is read. form=disent: "
        "<percent>/{align,conflict,valid}/<class>/*_<class>_<corruption>.png and test/<class>/ of the same, percent "
        "being 0.5pct, 1pct, 2pct or 5pct, in corrupted_cifar10/, cifar10c/ or the root"
    ),
    sources=(
        Source(
            "https://www.cs.toronto.edu/~kriz/",
            {"cifar-10-python.tar.gz": "md5:c58f30108f718f92721af3b95e74349a"},
            unpack=True,
            note="CIFAR-10, 0.2 GB; for form=cifar10",
        ),
        Source(
            "https://github.com/kakaoenterprise/Learning-Debiased-Disentangled",
            {},
            manual=True,
            note="the authors of DisEnt link their images; for form=disent; no published hash",
        ),
    ),
    folder="corrupted_cifar10",
)


@dataclass
class CorruptedCifar10Config(ListedConfig):
    """Where the images come from, and how strongly the corruption goes with the class."""

    image_size: int = option(32, "side in pixels")
    form: Literal["cifar10", "disent"] = option(
        "cifar10", "cifar10: corrupt CIFAR-10 here, by rules of our own where LfF's need other libraries; disent: the "
        "images that DisEnt published"
    )  # fmt: skip
    percent: Literal["0.5pct", "1pct", "2pct", "5pct"] = option("5pct", "share of conflicting training images")
    level: int = option(5, "cifar10: strength of the corruptions, 1 to 5; LfF's severity 4 is level 5")
    val_fraction: float = option(0.1, "cifar10: share of the training images held out for validation, per class")
    val_rho: float = option(0.1, "cifar10: share of aligned validation images; 0.1 is unbiased, as LfF has it")
    bias_seed: int = option(0, "cifar10: seed of the validation draw, of the corruptions and of who gets which")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if not 1 <= self.level <= 5:
            yield "level", f"has to be 1 to 5, is {self.level}"
        if not 0 < self.val_fraction < 1:
            yield "val_fraction", f"has to be in (0, 1), is {self.val_fraction}"
        if not 0 <= self.val_rho <= 1:
            yield "val_rho", f"has to be in [0, 1], is {self.val_rho}"

    @property
    def rho(self) -> float:
        """Share of aligned training images."""
        return 1 - float(self.percent.removesuffix("pct")) / 100


class CorruptedCifar10(ListedImages):
    """Ten classes, ten corruptions; corruption k goes with class k. Names of rows are `train/<row>` and `test/<row>` of
    CIFAR-10, or file names.
    """

    card = CARD
    folders = (CARD.folder, "cifar-10-batches-py", "cifar10c", "")
    forms = ("cifar10", "disent")
    class_names = CLASSES
    bias_names = KINDS
    aligned = np.eye(10, dtype=bool)

    @classmethod
    def wanted(cls, config: CorruptedCifar10Config) -> str:
        return f"{config.percent}/align" if config.form == "disent" else TEST_BATCH

    @classmethod
    def write_stand_in(cls, folder: Path, config: CorruptedCifar10Config, seed: int = 0) -> None:
        """Drawn figures on random grounds: as CIFAR-10's batches, or corrupted, as DisEnt's images."""
        rng = np.random.default_rng(seed)
        root = folder / CARD.folder
        train, test = (_draw(count, rng) for count in (config.stand_in_size, config.stand_in_size // 2))
        if config.form == "cifar10":
            write_batches(root, train, test)
            return
        val = _draw(config.stand_in_size // 4, rng)
        parts = ((config.percent, train, 0.9), (f"{config.percent}/valid", val, 0.1), ("test", test, 0.1))
        for part, pictures, rho in parts:
            bias = assign_bias(pictures.labels, 10, rho, rng)
            for row, image in enumerate(_corrupted(pictures.images, bias, config.level, [seed])):
                y, b = int(pictures.labels[row]), int(bias[row])
                kind = f"{part}/{'align' if y == b else 'conflict'}" if part == config.percent else part
                path = root / kind / str(y) / f"{row}_{y}_{b}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(path)

    def read_rows(self) -> list[Row]:
        return self._disent() if self.config.form == "disent" else self._built()

    def files(self) -> list[str]:
        return super().files() if self.config.form == "disent" else list(FILES)

    def fingerprint(self) -> str:
        if self.config.form == "disent":
            return super().fingerprint()
        return digest([super().fingerprint(), VERSION, self.config.level, self.config.bias_seed])

    def pixels(self, split: Split, rows: Sequence[Row], target: Path) -> np.ndarray:
        config = self.config
        if config.form == "disent":
            return decoded([self.root / row.file for row in rows], config.image_size, target)
        chosen = [int(row.file.partition("/")[2]) for row in rows]
        bias = np.array([row.bias for row in rows])
        images = self._pictures["test" if split == "test" else "train"].images[chosen]
        seed = [config.bias_seed, 3, SPLITS.index(split)]
        mark = digest([VERSION, config.level, seed, bias.tolist()])
        target = target.with_stem(f"{target.stem}-{mark[:8]}")
        return kept(
            len(rows), config.image_size, target, lambda start: islice(self._made(images, bias, seed), start, None)
        )

    @cached_property
    def _pictures(self) -> dict[str, Pictures]:
        return {"train": read_batches(self.root, TRAIN_BATCHES), "test": read_batches(self.root, (TEST_BATCH,))}

    def _made(self, images: np.ndarray, bias: np.ndarray, seed: list[int]) -> Iterator[np.ndarray]:
        size = self.config.image_size
        for image in _corrupted(images, bias, self.config.level, seed):
            if size != image.shape[0]:
                image = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))
            yield image

    def _built(self) -> list[Row]:
        config, labels = self.config, self._pictures["train"].labels
        held = hold_out(labels.tolist(), config.val_fraction, config.bias_seed)
        rows = []
        parts: tuple[tuple[Split, str, np.ndarray, float], ...] = (
            ("train", "train", np.flatnonzero(~held), config.rho),
            ("val", "train", np.flatnonzero(held), config.val_rho),
            ("test", "test", np.arange(len(self._pictures["test"].labels)), 0.1),
        )
        for number, (split, part, chosen, rho) in enumerate(parts):
            rng = np.random.default_rng([config.bias_seed, number])
            labels = self._pictures[part].labels[chosen]
            bias = assign_bias(labels, 10, rho, rng)
            rows += [Row(f"{part}/{r}", int(y), int(b), split) for r, y, b in zip(chosen, labels, bias, strict=True)]
        return rows

    def _disent(self) -> list[Row]:
        percent = self.config.percent
        parts: dict[str, Split] = {f"{percent}/align": "train", f"{percent}/conflict": "train"}
        parts |= {f"{percent}/valid": "val", "test": "test"}
        return [
            Row(file, *label_and_bias(self.root, file, 10, 10), split)
            for part, split in parts.items()
            for folder in folders_in(self.root, part)
            for file in images_in(self.root, folder)
        ]


def _corrupted(images: np.ndarray, bias: np.ndarray, level: int, seed: list[int]) -> Iterator[np.ndarray]:
    """Images uint8 (n, 32, 32, 3) under corruption `bias` (n,); what a row gets depends on the seed and its place."""
    from lab.data.corruptions import corrupt  # SciPy takes a while to import

    for row, (image, kind) in enumerate(zip(images, bias.tolist(), strict=True)):
        yield corrupt(image, KINDS[kind], level, np.random.default_rng([*seed, row]))


def _draw(count: int, rng: np.random.Generator) -> Pictures:
    labels = rng.permutation(np.arange(count) % 10)
    images = [np.asarray(draw_figure(int(y), int(rng.integers(10)), rng, (32, 32))) for y in labels]
    return Pictures(np.stack(images), labels)
