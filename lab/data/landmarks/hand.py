"""Hand radiographs of the Digital Hand Atlas with the 37 landmarks of Payer et al."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from lab.config.fields import option
from lab.data.base import Card, Source
from lab.data.landmarks.base import LandmarkConfig, LandmarkData, Record, by_position, draw_all, pictures_in
from lab.data.landmarks.labels import HAND, hand_points
from lab.errors import DataError

COUNTS = (550, 59, 300)
WRIST_MM = 50.0
"""What the distance between the two points of the wrist is taken for."""
TABLES = ("labels/all.csv", "all.csv")

CARD = Card(
    name="hand_landmarks",
    title="Digital Hand Atlas with 37 landmarks",
    licence="free for research",
    reference="Gertych et al. 2007 (images); Payer et al., MedIA 2019 (landmarks)",
    layout=(
        "hand/jpg/<id>.jpg and hand/labels/all.csv (or hand/all.csv): lines `id,x0,y0,…,x36,y36` in pixels, no header; "
        "909 images, by sorted name 550 train, 59 val, 300 test"
    ),
    sources=(
        Source("https://ipilab.usc.edu/research/baaweb/", {}, part="jpg", manual=True, note="images; often down"),
        Source(
            "https://raw.githubusercontent.com/christianpayer/MedicalDataAugmentationTool-HeatmapRegression/"
            "20560277bc4f2ed94f0fb49ad786e840bf0bf585/hand_xray/hand_xray_dataset/setup/",
            {"all.csv": "sha256:401b23872a6774266350515a4847f142c2a4cbb00bb4b3b64e8b6874d81d07fb"},
            part="labels",
            note="the hash is that of the file at this commit",
        ),
    ),
    folder="hand",
)


@dataclass
class HandLandmarksConfig(LandmarkConfig):
    """How pixels become mm."""

    wrist: tuple[int, int] = option(
        (0, 4), "points (from 0) whose distance is 50 mm; Payer's code: 1 and 5, 8 % larger mm"
    )

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if len(set(self.wrist)) != 2 or not all(0 <= n < HAND for n in self.wrist):
            yield "wrist", f"needs two different points in 0..{HAND - 1}, is {list(self.wrist)}"


class HandLandmarks(LandmarkData):
    """A row of the table without an image is left out (the official table has one); an image without a row is wrong."""

    card = CARD
    folders = (CARD.folder, "")
    wanted = TABLES[0]
    names = tuple(str(n) for n in range(HAND))
    radii = (2.0, 4.0, 10.0)

    @property
    def tables(self) -> list[str]:
        return [next(name for name in TABLES if (self.root / name).is_file())]

    @classmethod
    def is_in(cls, folder: Path) -> bool:
        return any((folder / name).is_file() for name in TABLES)

    def read_records(self) -> list[Record]:
        (table,) = self.tables
        points = hand_points(self.text(table), self.root / table)
        pictures = pictures_in(self.root, ("jpg", "images", "png"))
        lost = sorted(set(pictures) - set(points))
        if lost:
            raise DataError(f"{self.root / table} has no row for {pictures[lost[0]]} ({len(lost)} images lack theirs)")
        stems = sorted(pictures)
        if not stems:
            raise DataError(f"{self.root} has no images in jpg/")
        files = [pictures[stem] for stem in stems]
        splits = by_position(stems, COUNTS, [sum(COUNTS)], self.root)
        records = []
        for stem, file, size, split in zip(stems, files, self.sizes(files), splits, strict=True):
            own = self.inside(points[stem], size, f"{self.root / table}, image {stem}")
            records.append(Record(file, size, own, self._spacing(own, size, stem), split))
        return records

    def _spacing(self, points: np.ndarray, size: tuple[int, int], stem: str) -> tuple[float, float]:
        """50 mm divided by the width of the wrist. The released code measures it in the squashed image, so that the
        shape of the original leaks into the mm; whatever the side of the square, it cancels."""
        first, second = self.config.wrist
        scale = 1 / np.array(size) if self.config.published else np.ones(2)
        width = float(np.linalg.norm((points[first] - points[second]) * scale))
        if width == 0:
            raise DataError(f"{self.root}: image {stem} has a wrist of no width (points {first} and {second})")
        return float(scale[0] * WRIST_MM / width), float(scale[1] * WRIST_MM / width)

    @classmethod
    def write_stand_in(cls, folder: Path, config: HandLandmarksConfig, seed: int = 0) -> None:
        """Drawn hands of several sizes; the table has a row too many, as the official one."""
        from lab.data.landmarks.drawn_hands import draw_hand

        root = folder / CARD.folder
        for name in ("jpg", "labels"):
            (root / name).mkdir(parents=True)
        rows: dict[int, np.ndarray] = {}

        def draw(number: int, rng: np.random.Generator) -> None:
            size = (int(rng.integers(170, 215)), int(rng.integers(215, 255)))
            pixels, points = draw_hand(rng, size)
            Image.fromarray(pixels).save(root / "jpg" / f"{3000 + number}.jpg", quality=92)
            rows[3000 + number] = points

        draw_all(root, config.stand_in_size, draw, seed)
        rows[9999] = rows[3000]
        lines = [",".join([str(name), *(f"{v:.2f}" for v in rows[name].ravel())]) for name in sorted(rows)]
        (root / TABLES[0]).write_text("\n".join(lines) + "\n")
