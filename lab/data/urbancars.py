"""UrbanCars (Li et al. 2023): cars pasted on scenes beside an object; scene and object both give the class away."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from PIL import ImageDraw

from lab.data.base import Card, Source, Split
from lab.data.biased_mnist import COLOURS
from lab.data.drawn import draw_figure
from lab.data.listed import ListedConfig, ListedImages, Row, images_in

TRAIN = "bg-0.95_co_occur_obj-0.95"
EVALUATION = "bg-0.5_co_occur_obj-0.5"
KINDS = ("urban", "country")
PARTS: dict[Split, str] = {"train": f"{TRAIN}/train", "val": f"{EVALUATION}/val", "test": f"{EVALUATION}/test"}
TRAIN_SHARES = (3610, 190, 190, 10)
"""Official training images of a class, by `2 * scene is rare + object is rare`."""

CARD = Card(
    name="urbancars",
    title="UrbanCars",
    licence="code CC BY-NC 4.0; images under the terms of Stanford Cars, Places and LVIS; not to be passed on",
    reference="Li et al., A Whac-A-Mole Dilemma: Shortcuts Come in Multiples, CVPR 2023",
    layout=(
        f"{TRAIN}/train and {EVALUATION}/{{val,test}}, each with eight folders "
        "obj-{urban,country}_bg-{urban,country}_co_occur_obj-{urban,country} of *.jpg; the folder itself may be called "
        "urbancars or urbancars_images; 8000 / 1000 / 1000 images"
    ),
    sources=(
        Source(
            "https://github.com/facebookresearch/Whac-A-Mole",
            {},
            manual=True,
            note="built with the authors' code from Stanford Cars, Places and LVIS; no published hash",
        ),
    ),
    folder="urbancars",
)


@dataclass
class UrbanCarsConfig(ListedConfig):
    """How the images are read."""


class UrbanCars(ListedImages):
    """Urban or country car. The bias attribute is scene x object: `2 * scene + object`, four groups a class.

    A row counts as aligned where both go with the class.
    """

    card = CARD
    folders = (CARD.folder, "urbancars_images", "")
    class_names = ("urban car", "country car")
    bias_names = tuple(f"{scene} scene, {thing} object" for scene, thing in product(KINDS, KINDS))
    bias_factors = (2, 2)
    aligned = np.array([[True, False, False, False], [False, False, False, True]])

    @classmethod
    def wanted(cls, config: UrbanCarsConfig) -> str:
        return PARTS["train"]

    @classmethod
    def write_stand_in(cls, folder: Path, config: UrbanCarsConfig, seed: int = 0) -> None:
        """Drawn figures with a coloured ground and a coloured square in a corner, at the official shares."""
        rng = np.random.default_rng(seed)
        shares = np.array(TRAIN_SHARES) / sum(TRAIN_SHARES)
        for split, part in PARTS.items():
            rows = config.stand_in_size // 2 * shares if split == "train" else [16 if split == "test" else 8] * 4
            for car, (rare, count) in product((0, 1), enumerate(rows)):
                scene, thing = car ^ (rare // 2), car ^ (rare % 2)
                place = folder / CARD.folder / part / _folder(car, scene, thing)
                place.mkdir(parents=True)
                for number in range(max(1, round(count))):
                    image = draw_figure(car, scene, rng, (64, 64))
                    left, top = (int(n) for n in rng.integers(2, 6, 2))
                    box = (left, top, left + 14, top + 14)
                    ImageDraw.Draw(image).rectangle(box, fill=tuple(COLOURS[7 + thing].tolist()))
                    image.save(place / f"{number:06d}.jpg", quality=92)

    def read_rows(self) -> list[Row]:
        return [
            Row(file, car, 2 * scene + thing, split)
            for split, part in PARTS.items()
            for car, scene, thing in product((0, 1), repeat=3)
            for file in images_in(self.root, f"{part}/{_folder(car, scene, thing)}")
        ]


def _folder(car: int, scene: int, thing: int) -> str:
    return f"obj-{KINDS[car]}_bg-{KINDS[scene]}_co_occur_obj-{KINDS[thing]}"
