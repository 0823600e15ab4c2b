"""ImageNet-9 and ImageNet-A: nine classes made of 42 classes of ImageNet (Bahng et al. 2020), tested on hard images.

Which attribute is the shortcut (texture, context) is not annotated.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from lab.config.fields import option
from lab.data.base import Card, Source, Split
from lab.data.bias import assign_bias
from lab.data.drawn import save_figure
from lab.data.files import data_root
from lab.data.listed import ListedConfig, ListedImages, Row, hold_out, images_in, no_bias
from lab.errors import DataError

WNIDS = {
    "dog": ("n02085620", "n02099601", "n02106550", "n02106662", "n02110958"),
    "cat": ("n02123045", "n02123159", "n02123394", "n02123597", "n02124075"),
    "frog": ("n01641577", "n01644373", "n01644900"),
    "turtle": ("n01664065", "n01665541", "n01667114", "n01667778", "n01669191"),
    "bird": ("n01819313", "n01820546", "n01833805", "n01843383", "n01847000"),
    "monkey": ("n02486410", "n02487347", "n02488291", "n02488702", "n02492035"),
    "fish": ("n02607072", "n02640242", "n02641379", "n02643566", "n02655020"),
    "crab": ("n01978287", "n01978455", "n01980166", "n01981276"),
    "insect": ("n02174001", "n02177972", "n02190166", "n02206856", "n02219486"),
}
"""Class -> its ImageNet classes."""
CLASSES = tuple(WNIDS)
LABELS = {wnid: label for label, wnids in enumerate(WNIDS.values()) for wnid in wnids}

CARD = Card(
    name="imagenet9",
    title="ImageNet-9 and ImageNet-A",
    licence="ImageNet terms (non-commercial research and education); ImageNet-A MIT; not to be passed on",
    reference="Bahng et al., ICML 2020 (the nine classes); Hendrycks et al., Natural Adversarial Examples, CVPR 2021",
    layout=(
        "train/<wnid>/*.JPEG and val/<wnid>/*.JPEG of ImageNet (ILSVRC 2012), of which the 42 wnids of the nine "
        "classes are read, in imagenet9/, imagenet/, ILSVRC/Data/CLS-LOC/ or the root; and imagenet-a/<wnid>/*.jpg in "
        "that folder or in the root. val has to be sorted into folders. About 54600 training, 2100 val images"
    ),
    sources=(
        Source(
            "https://image-net.org/download.php",
            {},
            part="imagenet",
            manual=True,
            note="ILSVRC 2012 training and validation images; needs an account",
        ),
        Source(
            "https://people.eecs.berkeley.edu/~hendrycks/",
            {"imagenet-a.tar": None},
            part="imagenet-a",
            unpack=True,
            note="0.7 GB; no published hash",
        ),
    ),
    folder="imagenet9",
)


@dataclass
class ImageNet9Config(ListedConfig):
    """Which images are the test split, and how images are read."""

    test_set: Literal["imagenet-a", "val"] = option(
        "imagenet-a", "test on the 42 wnids of ImageNet-A, or on ImageNet's own validation images"
    )
    val_fraction: float = option(0.05, "share of the training images held out for validation, per class")
    val_seed: int = option(0, "seed of that draw")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if not 0 <= self.val_fraction < 1:
            yield "val_fraction", f"has to be in [0, 1), is {self.val_fraction}"


class ImageNet9(ListedImages):
    """Nine animals. Wnids may be absent from ImageNet-A, which lacks some; not from training."""

    card = CARD
    folders = (CARD.folder, "imagenet", "ILSVRC/Data/CLS-LOC", "")
    every_class: tuple[Split, ...] = ("train",)
    class_names = CLASSES
    aligned = no_bias(len(CLASSES))

    @classmethod
    def wanted(cls, config: ImageNet9Config) -> str:
        return f"train/{WNIDS['dog'][0]}"

    @classmethod
    def write_stand_in(cls, folder: Path, config: ImageNet9Config, seed: int = 0) -> None:
        """Drawn figures, each class on a colour of its own: 95 % of train and val, hardly any of imagenet-a."""
        rng = np.random.default_rng(seed)
        wnids = list(LABELS)
        each = max(3, config.stand_in_size // len(wnids))
        for part, count, rho, ending in (
            ("train", each, 0.95, "JPEG"),
            ("val", 2, 0.95, "JPEG"),
            ("imagenet-a", 3, 0.05, "jpg"),
        ):
            named = [wnid for wnid in wnids for _ in range(count)]
            labels = np.array([LABELS[wnid] for wnid in named])
            bias = assign_bias(labels, len(CLASSES), rho, rng)
            for number, (wnid, y, b) in enumerate(zip(named, labels.tolist(), bias.tolist(), strict=True)):
                save_figure(folder / CARD.folder / part / wnid / f"{wnid}_{number}.{ending}", y, b, rng)

    def read_rows(self) -> list[Row]:
        train = [file for wnid in LABELS for file in self._images("train", wnid)]
        if self.config.test_set == "val":
            test = [file for wnid in LABELS for file in self._images("val", wnid)]
        else:
            hard = self._imagenet_a()
            present = [wnid for wnid in LABELS if (self.root / hard / wnid).is_dir()]
            test = [file for wnid in present for file in images_in(self.root, f"{hard}/{wnid}")]
            if not test:
                raise DataError(f"{self.root / hard} has none of the 42 wnids, such as {WNIDS['dog'][0]}; get it again")
        held = hold_out([LABELS[_wnid(file)] for file in train], self.config.val_fraction, self.config.val_seed)
        return [
            *(Row(f, LABELS[_wnid(f)], -1, "val" if out else "train") for f, out in zip(train, held, strict=True)),
            *(Row(f, LABELS[_wnid(f)], -1, "test") for f in test),
        ]

    def _images(self, part: str, wnid: str) -> list[str]:
        found = images_in(self.root, f"{part}/{wnid}")
        if not found:
            raise DataError(f"{self.root / part / wnid} has no images: the copy is incomplete")
        return found

    def _imagenet_a(self) -> str:
        """Folder of ImageNet-A, relative to the root."""
        places = (self.root / "imagenet-a", data_root(self.config) / "imagenet-a")
        for place in places:
            if place.is_dir():
                return os.path.relpath(place, self.root)
        raise DataError(
            f"ImageNet-A is not here: looked for {' and '.join(str(place) for place in places)}; get it with "
            "`lab data get imagenet9 --part imagenet-a`, or test on ImageNet's own images with data.test_set=val"
        )


def _wnid(file: str) -> str:
    return Path(file).parent.name
