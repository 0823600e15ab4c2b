"""Single slices saved as pictures, in a folder or a ZIP file: training and testing, a folder for each kind.

The layout of the brain tumour set of Kaggle (glioma, meningioma, pituitary, no tumour). Pictures carry neither subject,
plane nor spacing: neighbours of one patient can be in two splits, and on both sides of an unpaired data set. Numbers
made on them say how well a method does on real anatomy, not on new patients.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from lab.config.fields import option
from lab.data.base import Card, Source, Split
from lab.data.files import absent, data_root, digest, fingerprint_files
from lab.data.folder import is_image
from lab.data.scans.simulated import moved
from lab.data.scans.slice_set import BRAIN, Block, Found, levels
from lab.data.scans.slices import SliceConfig, SlicedData, divided
from lab.data.scans.volume import Plane, normalised
from lab.errors import DataError
from lab.stages.seeds import derive

PARTS: dict[str, Split] = {"training": "train", "testing": "test"}
PLACES = ("brain_slices", "brain_slices.zip", "brain/slices_256.zip")
REMARK = (
    "the pictures carry no subject: neighbours of one patient can be in two splits, and among clean and affected slices"
)

CARD = Card(
    name="image_slices",
    title="Brain MR slices as pictures",
    licence="CC0, as stated on the page",
    reference="Nickparvar, Brain Tumor MRI Dataset, Kaggle 2021 (a mixture of three sets)",
    layout=(
        "training/ and testing/, each with folders glioma, meningioma, notumor, pituitary of grey pictures; as a folder"
        f" brain_slices or a ZIP file; {REMARK}"
    ),
    sources=(
        Source(
            "https://www.kaggle.com/datasets/masoudnickparvar/brain-tumor-mri-dataset",
            {},
            manual=True,
            note="needs an account; no published hash",
        ),
    ),
    folder="brain_slices",
)


@dataclass
class ImageSlicesConfig(SliceConfig):
    """Which pictures are read. `planes`, `central` and `min_brain` are for volumes, and have no effect here."""

    path: str | None = option(None, "folder or ZIP file below the root; default: one of the usual names")
    field_of_view: float = option(240.0, "mm that a picture is taken to be wide and high, for motion in mm; not stated")
    kinds: tuple[str, ...] = option(("glioma", "meningioma", "notumor", "pituitary"), "folders that are read")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if self.through_plane:
            yield "through_plane", "is for volumes; these are single slices"
        if self.field_of_view <= 0:
            yield "field_of_view", f"has to be positive, is {self.field_of_view}"
        if not self.kinds:
            yield "kinds", "has to name a folder or more"


class ImageSlices(SlicedData):
    """Pictures squeezed to the size wanted; each is a subject of its own, for want of better.

    The test split is `testing`; validation pictures are drawn from `training`, as many as `val_fraction` of it.
    """

    card = CARD
    drawn_from = (*SlicedData.drawn_from, "path", "kinds")
    modality = "various"

    def __init__(self, config: ImageSlicesConfig, cache: Path):
        super().__init__(config, cache)
        self._kinds = {kind.lower() for kind in config.kinds}
        self.names = self._find()

    @classmethod
    def locate(cls, config: ImageSlicesConfig) -> Path:
        root = data_root(config)
        places = [root / name for name in ((config.path,) if config.path else PLACES)]
        for place in places:
            if place.is_dir() or zipfile.is_zipfile(place):
                return place
        raise absent(CARD, "training/ and testing/", places)

    @classmethod
    def write_stand_in(cls, folder: Path, config: ImageSlicesConfig, seed: int = 0) -> None:
        """Slices of drawn heads in all planes, those of the tumour folders with a lesion."""
        from lab.data.scans.stand_ins import write_slices

        write_slices(folder / (config.path or PLACES[0]).removesuffix(".zip"), config, config.kinds, seed)

    def _find(self) -> dict[str, Split]:
        """Name of each picture -> its split as given, in an order that never changes."""
        if self.root.is_dir():
            names = [path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file()]
        else:
            with zipfile.ZipFile(self.root) as archive:
                names = archive.namelist()
        found: dict[str, Split] = {}
        for name in sorted(names):
            parts = [part.lower() for part in PurePosixPath(name).parts]
            placed = len(parts) >= 3 and parts[-3] in PARTS and parts[-2] in self._kinds
            if placed and is_image(parts[-1]):
                found[name] = PARTS[parts[-3]]
        for part, split in PARTS.items():
            if split not in found.values():
                raise DataError(
                    f"{self.root} has no pictures in {part}/ and {', '.join(sorted(self._kinds))}; it has to hold "
                    f"{CARD.layout}"
                )
        return found

    @property
    def planes(self) -> tuple[Plane, ...]:
        return ()

    def remarks(self) -> list[str]:
        return [REMARK]

    def subjects(self) -> Sequence[str]:
        return list(self.names)

    def has(self, subject: str, affected: bool) -> bool:
        return not affected or self.config.motion.simulator != "none"

    @cached_property
    def split_of(self) -> Mapping[str, Split]:
        training = [name for name, split in self.names.items() if split == "train"]
        drawn = divided(training, self.config.val_fraction, 0, self.config.split_seed)
        return {name: drawn.get(name, split) for name, split in self.names.items()}

    def slices_of(self, subject: str) -> Found:
        config, simulates = self.config, self.config.motion.simulator != "none"
        if config.select != "clean" and not simulates:
            return Found()
        target = self._decode(subject)[None]
        image, spacing = target, (config.field_of_view / config.image_size,) * 2
        if config.select != "clean":
            image = moved(target, [derive(config.motion_seed, subject)], config.motion, spacing)
        masks = np.where(head(target[0]), np.uint8(BRAIN), np.uint8(0))[None]
        numbers, affected = np.zeros(1, dtype=np.int64), config.select != "clean"
        block = Block(levels(image), levels(target), masks, numbers, -1, spacing, subject, affected, subject)
        return Found([block])

    def _decode(self, name: str) -> np.ndarray:
        """float32 (size, size) in [0, 1], clipped at the percentiles of the picture."""
        size = self.config.image_size
        try:
            if self.root.is_dir():
                content = (self.root / name).read_bytes()
            else:
                with zipfile.ZipFile(self.root) as archive:
                    content = archive.read(name)
            with Image.open(BytesIO(content)) as picture:
                grey = picture.convert("L").resize((size, size), Image.Resampling.BICUBIC)
        except (OSError, SyntaxError, ValueError, zipfile.BadZipFile, Image.DecompressionBombError) as error:
            raise DataError(f"{self.root}: {name} can't be decoded ({error}); get it again") from error
        pixels = np.asarray(grey)
        low, high = np.percentile(pixels, self.config.percentiles)
        if low == high:
            raise DataError(f"{self.root}: {name} is empty: nearly all its pixels are {low:g}")
        return normalised(pixels, float(low), float(high))

    @cached_property
    def _content(self) -> str:
        index = self.cache / f"hashes-{digest(str(self.root.absolute()))}.json"
        if self.root.is_dir():
            return fingerprint_files(list(self.names), self.root, index)
        return fingerprint_files([self.root.name], self.root.parent, index)


def head(image: np.ndarray) -> np.ndarray:
    """Where the head is, bool (h, w): `lab.mri.masks.head_mask` of a slice float32 (h, w)."""
    import torch

    from lab.mri.masks import head_mask

    return np.asarray(head_mask(torch.from_numpy(image)[None, None])[0, 0].numpy())
