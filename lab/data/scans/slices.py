"""What data sets of brain slices have in common: options, splits by subject, clean and affected sides, the cache.

No subject is ever in two splits. With `unpaired`, the subjects of each split are divided once more: those that give
clean slices and those that give affected ones (DIMA notes section 4), so that no network meets both of one head.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from lab.config.fields import as_plain, option
from lab.data.base import Card, DataConfig, Split
from lab.data.files import THREADS, digest, fingerprint_files, in_order
from lab.data.scans.slice_set import Found, SliceSet, beside, kept_slices, plane_names
from lab.data.scans.volume import Plane
from lab.errors import DataError
from lab.mri.config import MotionConfig

Select = Literal["clean", "affected", "pairs", "both"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
VERSION = 1
"""Raise when the same files and options would give other slices."""


@dataclass
class SliceConfig(DataConfig):
    """Which slices are read, and how. Defaults are ours where the notes of both papers say "unknown"."""

    select: Select = option(
        "clean",
        "clean slices; affected ones; pairs: affected, with their clean twin as target; both: affected, with a clean "
        "slice of somebody else as target",
    )
    planes: tuple[Plane, ...] = option(("axial",), "axial, coronal, sagittal: one, or several in one data set")
    image_size: int = option(256, "side in pixels of the square that a slice is put into the middle of")
    percentiles: tuple[float, float] = option((0.5, 99.5), "of all voxels of a volume: what becomes 0 and 1")
    min_brain: float = option(0.1, "least share of a slice's pixels that is brain")
    central: float = option(1.0, "share of these slices that is kept, in the middle of the volume")
    every: int = option(1, "take every n-th slice only")
    val_fraction: float = option(0.08, "share of the subjects for validation (12 of MR-ART's 148)")
    test_fraction: float = option(0.24, "share of the subjects for testing (36 of MR-ART's 148)")
    split_seed: int = option(0, "seed of the division of the subjects")
    splits: tuple[Split, ...] = option(SPLITS, "splits that are read; the others stay empty, and cost no time")
    unpaired: bool = option(True, "clean and affected: take them from different subjects, in every split")
    affected_share: float = option(0.5, "unpaired: share of each split's subjects that give affected slices")
    motion: MotionConfig = option(
        help="motion simulated on clean scans, in place of affected scans", factory=MotionConfig
    )
    motion_seed: int = option(0, "seed of the simulated motion; a slice keeps the motion it was given")
    through_plane: bool = option(False, "simulate motion of the whole volume, out of the plane too, before slicing")
    stand_in_subjects: int = option(16, "heads of the stand-in")
    stand_in_size: int = option(64, "voxels of the stand-in along 256 mm")
    stand_in_fine: bool = option(False, "average each voxel of the stand-in over 2 x 2 x 2 samples; 8 times slower")

    def check(self) -> Iterator[tuple[str, str]]:
        if not self.planes or len(set(self.planes)) < len(self.planes):
            yield "planes", f"names each plane once, and at least one, is {list(self.planes)}"
        if self.image_size < 16 or self.image_size % 8:
            yield "image_size", f"has to be a multiple of 8, at least 16, is {self.image_size}"
        if not 0 <= self.percentiles[0] < self.percentiles[1] <= 100:
            yield "percentiles", f"needs 0 <= low < high <= 100, is {self.percentiles}"
        for name in ("min_brain", "val_fraction", "test_fraction"):
            if not 0 <= getattr(self, name) < 1:
                yield name, f"has to be in [0, 1), is {getattr(self, name)}"
        if self.val_fraction + self.test_fraction >= 1:
            yield "test_fraction", "leaves no subjects for training, with val_fraction"
        if not 0 < self.central <= 1:
            yield "central", f"has to be in (0, 1], is {self.central}"
        if self.select == "both" and not self.unpaired:
            yield "unpaired", "has to be true with select: both"
        if not 0 < self.affected_share < 1:
            yield "affected_share", f"has to be in (0, 1), is {self.affected_share}"
        if self.every < 1:
            yield "every", f"has to be at least 1, is {self.every}"
        if not self.splits or set(self.splits) - set(SPLITS):
            yield "splits", f"has to be of train, val, test, is {list(self.splits)}"
        if self.through_plane and self.motion.simulator == "none":
            yield "through_plane", "is about simulated motion: set motion.simulator too"
        if self.motion.phase_axis == 2 and not self.through_plane:
            yield "motion.phase_axis", "is 0 or 1 for slices; 2 is for volumes (through_plane)"
        if self.stand_in_subjects < 6:
            yield "stand_in_subjects", f"has to be at least 6, is {self.stand_in_subjects}"
        if self.stand_in_size < 32 or self.stand_in_size % 4:
            yield "stand_in_size", f"has to be a multiple of 4, at least 32, is {self.stand_in_size}"

    @property
    def stand_in_shape(self) -> tuple[int, int, int]:
        """Voxels of a stand-in's volume to the right, to the front, and up."""
        return 3 * self.stand_in_size // 4, self.stand_in_size, self.stand_in_size


class SlicedData:
    """Base of the data sets; see `lab.data.scans.slice_set.SliceSet` for what a split is.

    Raises:
        DataError: the data set is absent or damaged, or a split that is read has no slices of the kind wanted.
    """

    card: ClassVar[Card]
    modality: str = "T1w"
    """What the scanner was set to; `various` where images of several kinds are mixed."""
    drawn_from: ClassVar[tuple[str, ...]] = ("stand_in_subjects", "stand_in_size", "stand_in_fine")
    class_names = ("clean", "affected")
    bias_names: tuple[str, ...] = ()
    aligned = np.zeros((2, 0), dtype=bool)

    def __init__(self, config: Any, cache: Path):
        self.config, self.cache = config, cache
        self.root = self.locate(config)
        self._splits: dict[Split, SliceSet] = {}

    @classmethod
    def locate(cls, config: Any) -> Path:
        """Where the data set is. Raises DataError when it is not there."""
        raise NotImplementedError

    @property
    def planes(self) -> tuple[Plane, ...]:
        """Planes of the slices; empty where they aren't known."""
        return tuple(self.config.planes)

    @classmethod
    def stand_in_options(cls, config: Any) -> dict[str, Any]:
        """The options that decide what a stand-in is made of; all that differ in others share it."""
        return {name: getattr(config, name) for name in cls.drawn_from}

    def remarks(self) -> list[str]:
        """What a reader of numbers made on these slices should know, a line each."""
        return [line for split in SPLITS for line in self.split(split).remarks]

    def subjects(self) -> Sequence[str]:
        """All subjects, sorted."""
        raise NotImplementedError

    def has(self, subject: str, affected: bool) -> bool:
        """Whether a subject has a scan of that kind."""
        raise NotImplementedError

    def slices_of(self, subject: str) -> Found:
        """The slices of a subject that `config.select` asks for. May be called from several threads."""
        raise NotImplementedError

    def files(self) -> list[str]:
        """The files that decide the content, relative to the root."""
        raise NotImplementedError

    @cached_property
    def split_of(self) -> Mapping[str, Split]:
        """The split of each subject."""
        config, subjects = self.config, self.subjects()
        splits = divided(subjects, config.val_fraction, config.test_fraction, config.split_seed)
        if "train" not in splits.values():
            raise DataError(
                f"{self.card.title} in {self.root} has {len(subjects)} subjects, too few for the splits: give more, or "
                "set data.val_fraction=0 or data.test_fraction=0"
            )
        return splits

    @cached_property
    def gives_affected(self) -> frozenset[str]:
        """Subjects that, with `unpaired`, give affected slices; the others give clean ones."""
        chosen: set[str] = set()
        for split in SPLITS:
            members = [s for s in self.subjects() if self.split_of[s] == split]
            # Who has scans of one kind only can be used for that alone.
            only = {s: self.has(s, True) - self.has(s, False) for s in members}
            rng = np.random.default_rng([self.config.split_seed, 1, SPLITS.index(split)])
            drawn = [members[n] for n in rng.permutation(len(members))]
            ordered = sorted(drawn, key=lambda s: -only[s])
            chosen |= set(ordered[: round(self.config.affected_share * len(members))])
        return frozenset(chosen)

    def members(self, split: Split) -> list[str]:
        """Subjects that a split is read from, as `config.select` and `config.unpaired` have it."""
        subjects = [s for s in self.subjects() if self.split_of[s] == split]
        if self.config.select == "pairs" or not self.config.unpaired:
            return subjects
        wanted = self.config.select == "affected"
        return [s for s in subjects if (s in self.gives_affected) == wanted]

    def split(self, name: Split) -> SliceSet:
        if name not in self._splits and self.config.select == "both":
            affected, clean = (self._side(side).split(name) for side in ("affected", "clean"))
            self._splits[name] = beside(affected, clean)
        if name not in self._splits:
            subjects = self.members(name) if name in self.config.splits else []
            folder = self.cache / f"{self.card.name}-{name}-{digest([self.fingerprint(), subjects])}"
            paired = self.config.select == "pairs"
            slices = kept_slices(folder, self.config.image_size, paired, lambda: self._make(subjects))
            if subjects and not len(slices):
                raise DataError(
                    f"{self.card.title} in {self.root}: the {len(subjects)} subjects of the {name} split have no "
                    f"{self.config.select} {plane_names(self.config.planes)} slices with more than "
                    f"{self.config.min_brain:.0%} brain{self.hint()}"
                )
            self._splits[name] = slices
        return self._splits[name]

    def _side(self, select: Select) -> SlicedData:
        """The same data set, of one kind of slices."""
        return type(self)(replace(self.config, select=select), self.cache)

    def _make(self, subjects: Sequence[str]) -> Iterator[Found]:
        return in_order(self.slices_of, subjects, "slicing", ahead=THREADS)

    def hint(self) -> str:
        """What to do about a split without slices; ends the error line."""
        if self.config.motion.simulator == "none" and self.config.select != "clean":
            return "; has it no affected scans? then set data.motion.simulator=line_mixing"
        return ""

    def fingerprint(self) -> str:
        plain = as_plain(self.config, keep_runtime=False)
        return digest([self.card.name, VERSION, self._content, plain])

    @staticmethod
    def read_bias(images: np.ndarray, config: Any) -> None:
        """Slices have no bias attribute."""

    @cached_property
    def _content(self) -> str:
        index = self.cache / f"hashes-{digest(str(self.root.absolute()))}.json"
        return fingerprint_files(self.files(), self.root, index)


def divided(subjects: Sequence[str], val: float, test: float, seed: int) -> dict[str, Split]:
    """A split for each subject, at random: about these shares, at least two subjects where a share isn't 0.

    Two, because a split may be divided into clean and affected once more.
    """
    order = np.random.default_rng(seed).permutation(len(subjects))
    held = [max(2, round(share * len(subjects))) if share else 0 for share in (test, val)]
    bounds = np.cumsum(held)
    names: tuple[Split, ...] = ("test", "val", "train")
    return {subjects[n]: names[int(np.searchsorted(bounds, place, side="right"))] for place, n in enumerate(order)}
