"""Lateral cephalograms of the ISBI 2015 challenge: 19 landmarks, each read by a junior and a senior doctor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from lab.config.fields import option
from lab.data.base import Card, Source
from lab.data.landmarks.base import LandmarkConfig, LandmarkData, Record, by_position, draw_all, pictures_in
from lab.data.landmarks.drawn_skulls import FRAME, NAMES, draw_skull
from lab.data.landmarks.labels import cephalometric_points
from lab.errors import DataError

COUNTS = (130, 20, 250)
MM = 0.1
"""Between pixels of the official film of 1935 x 2400."""
READERS = {"junior": ("400_junior",), "senior": ("400_senior",), "mean": ("400_junior", "400_senior")}

CARD = Card(
    name="cephalometric_landmarks",
    title="Cephalograms of the ISBI 2015 challenge",
    licence="for research",
    reference="Wang et al., A benchmark for comparison of dental radiography analysis algorithms, MedIA 2016",
    layout=(
        "cephalo/jpg/001.jpg (or raw/001.bmp), 400_junior/001.txt and 400_senior/001.txt: 19 lines `x,y` in pixels of "
        "the film of 1935 x 2400 (0.1 mm), then classes; 400 images, by sorted name 130 train, 20 val, 250 test"
    ),
    sources=(
        Source(
            "http://www-o.ntust.edu.tw/~cweiwang/ISBI2015/challenge1/",
            {},
            manual=True,
            note="the challenge's page; put raw (or jpg), 400_junior and 400_senior into cephalo/",
        ),
    ),
    folder="cephalo",
)


@dataclass
class CephalometricLandmarksConfig(LandmarkConfig):
    """Whose reading is the truth."""

    reader: Literal["mean", "senior", "junior"] = option(
        "mean", "mean of both (GU2Net and its followers), or one; the challenge's truth is nearly the senior's"
    )


class CephalometricLandmarks(LandmarkData):
    """Copies of the images in another size are read, too; points and spacing then are in their pixels."""

    card = CARD
    folders = (CARD.folder, "ISBI2015_ceph", "")
    wanted = "400_senior/*.txt"
    names = NAMES
    radii = (2.0, 2.5, 3.0, 4.0)

    def __init__(self, config: CephalometricLandmarksConfig, cache: Path):
        self._files: list[str] = []
        super().__init__(config, cache)

    @property
    def tables(self) -> list[str]:
        return self._files

    def read_records(self) -> list[Record]:
        readers = READERS[self.config.reader]
        pictures = pictures_in(self.root, ("jpg", "raw", "png", "images"))
        stems = sorted(pictures)
        unread = sorted({p.stem for p in (self.root / readers[0]).glob("*.txt")} - set(stems))
        if unread:
            raise DataError(f"{self.root}: {readers[0]}/{unread[0]}.txt has no image ({len(unread)} are missing)")
        files = [pictures[stem] for stem in stems]
        self._files = [f"{reader}/{stem}.txt" for stem in stems for reader in readers]
        splits = by_position(stems, COUNTS, [sum(COUNTS)], self.root)
        records = []
        for stem, file, size, split in zip(stems, files, self.sizes(files), splits, strict=True):
            read = []
            for reader in readers:
                name = f"{reader}/{stem}.txt"
                points = cephalometric_points(self.text(name), self.root / name)
                read.append(self.inside(points, FRAME, self.root / name))
            scale = np.array(size) / FRAME
            points = (np.mean(read, axis=0) + 0.5) * scale - 0.5
            records.append(Record(file, size, points, self._spacing(size), split))
        return records

    def _spacing(self, size: tuple[int, int]) -> tuple[float, float]:
        """The released code takes the height's mm for x and the width's for y."""
        mm_x, mm_y = MM * FRAME[0] / size[0], MM * FRAME[1] / size[1]
        if self.config.published:
            return MM * FRAME[1] / size[0], MM * FRAME[0] / size[1]
        return mm_x, mm_y

    @classmethod
    def write_stand_in(cls, folder: Path, config: CephalometricLandmarksConfig, seed: int = 0) -> None:
        """Drawn skulls an eighth of the official size, with two readings whose errors are a few tenths of a mm."""
        root = folder / CARD.folder
        for name in ("jpg", *READERS["mean"]):
            (root / name).mkdir(parents=True)
        size = (FRAME[0] // 8, FRAME[1] // 8)

        def draw(number: int, rng: np.random.Generator) -> None:
            pixels, points = draw_skull(rng, size)
            stem = f"{number + 1:03d}"
            Image.fromarray(pixels).save(root / "jpg" / f"{stem}.jpg", quality=92)
            film = (points + 0.5) * FRAME / size - 0.5
            for reader, error in zip(READERS["mean"], (6.0, 4.0), strict=True):
                read = (film + rng.normal(0, error, film.shape)).clip(0, np.array(FRAME) - 1).round().astype(int)
                lines = [f"{x},{y}" for x, y in read]
                classes = [str(value) for value in rng.integers(1, 4, 8)]
                (root / reader / f"{stem}.txt").write_text("\n".join(lines + classes) + "\n")

        draw_all(root, config.stand_in_size, draw, seed)
