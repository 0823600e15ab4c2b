"""A folder, or a ZIP file, of images without labels, to be sorted into clusters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lab.config.fields import option
from lab.data.base import Card
from lab.data.class_images import PhotoConfig, draw_set
from lab.data.files import Resize
from lab.data.image_classes import ImageClasses
from lab.data.listed import Row, no_bias
from lab.data.public.layouts import save
from lab.data.tree import read_tree

CARD = Card(
    name="unlabelled_images",
    title="Your own images, without labels",
    licence="yours",
    reference="none",
    layout="a folder of images, with folders in it or not, or a ZIP file of one; data.root= names it",
    sources=(),
    folder="unlabelled_images",
)


@dataclass
class UnlabelledConfig(PhotoConfig):
    """How images are read, and how many are held out."""

    val_fraction: float = option(0.1, "share of the images held out, to tell when a training has to end")
    resize: Resize = option(
        "pad",
        "pad: made square by a border; pad_largest: made as large as the largest training image, so that sizes can be "
        "compared; squeeze: the whole image, as a square; crop: the middle",
    )

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if self.per_class is not None:
            yield "per_class", "is not for images without classes; leave it out"


class UnlabelledImages(ImageClasses):
    """All images below a folder; labels are -1, there are no classes, and folders mean nothing.

    Raises:
        DataError: there is no image, or naming the one that is damaged.
    """

    card = CARD
    class_names = ()

    def __init__(self, config: UnlabelledConfig, cache: Path):
        self.aligned = no_bias(0)
        super().__init__(config, cache)  # type: ignore[arg-type]

    @classmethod
    def write_stand_in(cls, folder: Path, config: UnlabelledConfig, seed: int = 0) -> None:  # type: ignore[override]
        """Drawn figures, some of them in a folder."""
        for number, drawn in enumerate(draw_set(10, {None: config.stand_in_size}, seed)):
            save(drawn.image, folder / CARD.folder / ("more" if number % 3 == 0 else "") / f"{number:05d}.png")

    def read_rows(self) -> list[Row]:
        names = read_tree(self.root).images
        order = np.random.default_rng(self.config.split_seed).permutation(len(names))
        held = set(order[: round(self.config.val_fraction * len(names))].tolist())
        return [Row(name, -1, -1, "val" if row in held else "train") for row, name in enumerate(names)]
