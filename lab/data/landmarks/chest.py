"""Chest radiographs of the Shenzhen set with six landmarks, as the authors of GU2Net labelled them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from lab.config.fields import option
from lab.data.base import Card, Source
from lab.data.landmarks.base import LandmarkConfig, LandmarkData, Record, by_position, draw_all, pictures_in
from lab.data.landmarks.labels import chest_points
from lab.errors import DataError

COUNTS = (195, 34, 50)
EXCLUDED = tuple(f"CHNCXR_{n:04d}_0" for n in (59, 178, 228, 267, 276, 285, 295, 303, 310))
"""Left out by two public codes, which leaves 270 images, 41 of them for testing; papers say 279 and 50."""
PUBLISHED_FRAME = 256

CARD = Card(
    name="chest_landmarks",
    title="Shenzhen chest radiographs with six landmarks",
    licence="images: terms of the Shenzhen set (NLM); labels: MIT",
    reference="Zhu et al., You Only Learn Once: Universal Anatomical Landmark Detection, MICCAI 2021 (labels)",
    layout=(
        "chest/pngs/CHNCXR_0001_0.png (or CXR_png/) and chest/labels/CHNCXR_0001_0.txt: the number 6, then six lines "
        "`x y` in shares of width and height; 279 labelled images, by sorted name 195 train, 34 val, 50 test"
    ),
    sources=(
        Source(
            "https://raw.githubusercontent.com/MIRACLE-Center/YOLO_Universal_Anatomical_Landmark_Detection/"
            "57a960cce4f9c8d42be5303d47ea9bd0f746718b/data/",
            {"chest_labels.zip": "sha256:4d140d5b8fb5ea162621f1af6c0d00ef060e5e73d1f5bfbd4c9bf8f595654fa2"},
            unpack=True,
            note="labels alone; the hash is that of the file at this commit",
        ),
        Source(
            "https://www.kaggle.com/datasets/nikhilpandey360/chest-xray-masks-and-labels",
            {},
            part="pngs",
            manual=True,
            note="images, needs an account: put its folder CXR_png into chest/",
        ),
    ),
    folder="chest",
)


@dataclass
class ChestLandmarksConfig(LandmarkConfig):
    """Which images count, and in which pixels: public numbers of the chest are in px at 512 x 512."""

    frame: int | None = option(512, "side of the square in whose pixels px are counted (GU2Net: 512); published: 256")
    exclude: bool = option(False, "leave out the nine images that two public codes leave out; published does so")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if self.frame is None:
            yield "frame", "has to be given: chest errors have no physical unit, and sizes of the images differ"


class ChestLandmarks(LandmarkData):
    """Lungs: apex, outer and inner corner of each."""

    card = CARD
    folders = (CARD.folder, "")
    wanted = "labels/CHNCXR_*.txt"
    radii = (3.0, 6.0, 9.0)
    unit = "px"

    def __init__(self, config: ChestLandmarksConfig, cache: Path):
        from lab.data.landmarks.drawn_chests import NAMES

        self.names = NAMES
        self._files: list[str] = []
        super().__init__(config, cache)

    @property
    def frame(self) -> int | None:
        return PUBLISHED_FRAME if self.config.published else self.config.frame

    @property
    def tables(self) -> list[str]:
        return self._files

    def read_records(self) -> list[Record]:
        excluded = EXCLUDED if self.config.exclude or self.config.published else ()
        stems = sorted(p.stem for p in (self.root / "labels").glob("CHNCXR_*.txt") if p.stem not in excluded)
        pictures = pictures_in(self.root, ("pngs", "CXR_png", "png", "images"))
        missing = [stem for stem in stems if stem not in pictures]
        if missing:
            raise DataError(
                f"{self.root}: labels/{missing[0]}.txt has no image ({len(missing)} of {len(stems)} are missing)"
            )
        self._files = [f"labels/{stem}.txt" for stem in stems]
        files = [pictures[stem] for stem in stems]
        sizes = self.sizes(files)
        totals = [sum(COUNTS) - len(EXCLUDED) * bool(excluded)]
        splits = by_position(stems, COUNTS, totals, self.root)
        unknown = (float("nan"), float("nan"))
        records = []
        for table, file, size, split in zip(self._files, files, sizes, splits, strict=True):
            shares = chest_points(self.text(table), self.root / table)
            records.append(Record(file, size, shares * size - 0.5, unknown, split))
        return records

    @classmethod
    def write_stand_in(cls, folder: Path, config: ChestLandmarksConfig, seed: int = 0) -> None:
        """Drawn chests, their shapes distributed as the official labels are."""
        from lab.data.landmarks.drawn_chests import draw_chest

        root = folder / CARD.folder
        for name in ("pngs", "labels"):
            (root / name).mkdir(parents=True)

        def draw(number: int, rng: np.random.Generator) -> None:
            size = (int(rng.integers(220, 270)), int(rng.integers(210, 260)))
            pixels, points = draw_chest(rng, size)
            name = f"CHNCXR_{number + 1:04d}_0"
            Image.fromarray(pixels).save(root / "pngs" / f"{name}.png")
            lines = [f"{x:.6f} {y:.6f}" for x, y in (points + 0.5) / size]
            (root / "labels" / f"{name}.txt").write_text("\n".join(["6", *lines]) + "\n")

        draw_all(root, config.stand_in_size, draw, seed)
