"""BFFHQ (Kim et al. 2021; the archive of DisEnt, Lee et al. 2021): faces, young or old; gender gives age away."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from lab.config.fields import option
from lab.data.base import Card, Source, Split
from lab.data.bias import assign_bias
from lab.data.drawn import save_figure
from lab.data.listed import ListedConfig, ListedImages, Row, folders_in, images_in, label_and_bias
from lab.errors import DataError

CARD = Card(
    name="bffhq",
    title="BFFHQ",
    licence="CC BY-NC-SA 4.0 (FFHQ); images under their own licences; not to be passed on",
    reference="Lee et al., Learning Debiased Representation via Disentangled Feature Augmentation, NeurIPS 2021",
    layout=(
        "0.5pct/{align,conflict}/<class>/<id>_<age>_<gender>.png, valid/*.png (or 0.5pct/valid/*.png) and test/*.png "
        "with names of the same form; age 0 young, 1 old; aligned where age and gender are the same number; "
        "19200 / 1000 / 1000 images"
    ),
    sources=(
        Source(
            "https://github.com/kakaoenterprise/Learning-Debiased-Disentangled",
            {},
            manual=True,
            note="the authors' page links the archive; no published hash",
        ),
    ),
    folder="bffhq",
)


@dataclass
class BffhqConfig(ListedConfig):
    """Which version is read, and how."""

    percent: Literal["0.5pct", "1pct", "2pct", "5pct"] = option(
        "0.5pct",
        "folder of the training images, named after the share of conflicting ones; the usual archive has 0.5pct",
    )


class Bffhq(ListedImages):
    """Young or old; the bias attribute is the gender. Most of the young are women, which names genders 0 and 1."""

    card = CARD
    folders = (CARD.folder, "")
    class_names = ("young", "old")
    bias_names = ("female", "male")
    aligned = np.eye(2, dtype=bool)

    @classmethod
    def wanted(cls, config: BffhqConfig) -> str:
        return f"{config.percent}/align"

    @classmethod
    def write_stand_in(cls, folder: Path, config: BffhqConfig, seed: int = 0) -> None:
        """Drawn figures in the official layout, 5 % conflicting in training; half of the others."""
        rng = np.random.default_rng(seed)
        root = folder / CARD.folder
        for split, count, rho in (("train", config.stand_in_size, 0.95), ("valid", 40, 0.5), ("test", 80, 0.5)):
            labels = rng.permutation(np.arange(count) % 2)
            bias = assign_bias(labels, 2, rho, rng)
            for number, (y, b) in enumerate(zip(labels.tolist(), bias.tolist(), strict=True)):
                kind = f"{config.percent}/{'align' if y == b else 'conflict'}/{y}" if split == "train" else split
                save_figure(root / kind / f"{number:05d}_{y}_{b}.png", y, b, rng)

    def read_rows(self) -> list[Row]:
        percent = self.config.percent
        train = [
            file
            for kind in ("align", "conflict")
            for folder in folders_in(self.root, f"{percent}/{kind}")
            for file in images_in(self.root, folder)
        ]
        valid = next((f for f in ("valid", f"{percent}/valid") if (self.root / f).is_dir()), None)
        if valid is None:
            raise DataError(
                f"{self.root} has neither valid/ nor {percent}/valid/: the copy is incomplete; get it again"
            )
        listed: dict[Split, list[str]] = {
            "train": train,
            "val": images_in(self.root, valid),
            "test": images_in(self.root, "test"),
        }
        return [
            Row(file, *label_and_bias(self.root, file, 2, 2), split)
            for split, files in listed.items()
            for file in files
        ]
