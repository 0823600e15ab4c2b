"""Decoded slices of brain scans, kept on disk: uint16 files that are mapped into memory. NumPy only, no torch."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lab.data.scans.volume import PLANES, Plane
from lab.errors import DataError

STEPS = 65535
"""Grey levels between 0 and 1. float16 would have 2,000 near 1, fewer than an MR scanner writes."""
BRAIN, LESION = 1, 2
"""Values of a slice's mask, besides 0."""


@dataclass(frozen=True)
class SliceSet:
    """Slices of one split.

    images: uint16 (n, h, w), `round(65535 v)` of v in [0, 1], where 0 and 1 are percentiles of the slice's volume.
    targets: the same slices without motion, where both are known; with `select: both` clean slices of other subjects;
        else `images` itself.
    masks: uint8 (n, h, w): 1 in the brain, 2 in a lesion that somebody marked, 0 elsewhere.
    labels: int64 (n,), 0 where `images` is a clean slice, 1 where it is affected by motion.
    subjects: int64 (n,), index into `subject_names`.
    numbers: int64 (n,), place in its volume: to the right, to the front, or up.
    planes: int64 (n,), index into `lab.data.scans.volume.PLANES`.
    spacing: float32 (n, 2), mm between rows and between columns.
    names: n names for people.
    remarks: what a reader of numbers made on these slices should know.
    """

    images: np.ndarray
    targets: np.ndarray | Repeated
    masks: np.ndarray
    labels: np.ndarray
    subjects: np.ndarray
    numbers: np.ndarray
    planes: np.ndarray
    spacing: np.ndarray
    names: Sequence[str]
    subject_names: Sequence[str]
    remarks: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def bias(self) -> np.ndarray:
        """Slices have no bias attribute: -1 for all."""
        return np.full(len(self), -1, dtype=np.int64)


class Repeated:
    """Slices uint8 or uint16 (m, h, w) as if there were others: number n is number n modulo m. Nothing is copied."""

    def __init__(self, slices: np.ndarray):
        self.slices = slices

    def __getitem__(self, rows: Sequence[int]) -> np.ndarray:
        return np.asarray(self.slices[np.asarray(rows) % len(self.slices)])


def beside(affected: SliceSet, clean: SliceSet) -> SliceSet:
    """Affected slices, each with a clean one as target that has nothing to do with it; none where a side is empty."""
    if not len(clean):
        return clean
    return replace(
        affected,
        targets=Repeated(clean.images),
        remarks=list(dict.fromkeys([*affected.remarks, *clean.remarks])),
    )


class Block(NamedTuple):
    """Slices of one scan and plane: images and targets uint16 (n, h, w), masks uint8 (n, h, w), numbers int64 (n,)."""

    images: np.ndarray
    targets: np.ndarray
    masks: np.ndarray
    numbers: np.ndarray
    plane: int
    spacing: tuple[float, float]
    subject: str
    affected: bool
    name: str

    def slice_names(self) -> list[str]:
        """Names for people: with plane and number, where there is a volume."""
        if self.plane < 0:
            return [self.name] * len(self.numbers)
        return [f"{self.name} {PLANES[self.plane]} {number}" for number in self.numbers.tolist()]


@dataclass
class Found:
    """Slices of one subject, and what has to be said of those that were left out."""

    blocks: list[Block] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def levels(values: np.ndarray) -> np.ndarray:
    """uint16 of values in [0, 1]; what lies outside is clipped."""
    return np.asarray(np.rint(np.clip(values, 0, 1) * STEPS), dtype=np.uint16)


def kept_slices(folder: Path, size: int, paired: bool, make: Callable[[], Iterable[Found]]) -> SliceSet:
    """Slices (n, size, size) as read-only memory maps, made once into `folder`.

    `folder` has to be named after everything that decides the slices. Processes that want the same ones wait for the
    one that writes them.

    Args:
        paired: targets differ from images, and are kept too.
        make: asked once, for the slices of one subject after the other.

    Raises:
        DataError: whatever `make` raises, or the disk is full; nothing is left half-written.
    """
    from filelock import FileLock

    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            if not folder.exists():
                _write(folder, paired, make)
    return _read(folder, size, paired)


def _write(folder: Path, paired: bool, make: Callable[[], Iterable[Found]]) -> None:
    draft = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    for left in folder.parent.glob(f"{folder.name}.*.part"):  # of a killed process: we hold the lock
        shutil.rmtree(left)
    draft.mkdir()
    try:
        blocks, remarks = [], []
        with (
            (draft / "images.u16").open("wb") as images,
            (draft / "targets.u16").open("wb") as targets,
            (draft / "masks.u8").open("wb") as masks,
        ):
            for found in make():
                remarks += found.remarks
                for block in found.blocks:
                    images.write(block.images.tobytes())
                    masks.write(block.masks.tobytes())
                    if paired:
                        targets.write(block.targets.tobytes())
                    blocks.append(block._replace(images=None, targets=None, masks=None))  # type: ignore[arg-type]
            for file in (images, targets, masks):
                file.flush()
                os.fsync(file.fileno())
        _write_rows(draft, blocks, remarks)
        draft.rename(folder)
    except OSError as error:
        raise DataError(f"can't write {folder}: {error.strerror or error}; nothing was kept of it") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write_rows(folder: Path, blocks: Sequence[Block], remarks: Sequence[str]) -> None:
    subjects = list(dict.fromkeys(block.subject for block in blocks))
    counts = [len(block.numbers) for block in blocks]

    def column(values: list[int], dtype: type = np.int64) -> np.ndarray:
        return np.repeat(np.array(values, dtype=dtype), counts, axis=0)

    np.savez(
        folder / "rows.npz",
        labels=column([int(block.affected) for block in blocks]),
        subjects=column([subjects.index(block.subject) for block in blocks]),
        planes=column([block.plane for block in blocks]),
        spacing=np.repeat(np.array([b.spacing for b in blocks], dtype=np.float32).reshape(-1, 2), counts, axis=0),
        numbers=np.concatenate([np.zeros(0, dtype=np.int64), *(block.numbers for block in blocks)]),
    )
    names = [name for block in blocks for name in block.slice_names()]
    text = json.dumps({"names": names, "subjects": subjects, "remarks": list(remarks)})
    (folder / "names.json").write_text(text, encoding="utf-8")


def _read(folder: Path, size: int, paired: bool) -> SliceSet:
    with np.load(folder / "rows.npz") as rows:
        columns = {name: rows[name] for name in rows.files}
    words = json.loads((folder / "names.json").read_text(encoding="utf-8"))
    count = len(columns["labels"])

    def mapped(name: str, dtype: type) -> np.ndarray:
        if count == 0:
            return np.empty((0, size, size), dtype=dtype)
        return np.memmap(folder / name, dtype=dtype, mode="r", shape=(count, size, size))

    images = mapped("images.u16", np.uint16)
    return SliceSet(
        images=images,
        targets=mapped("targets.u16", np.uint16) if paired else images,
        masks=mapped("masks.u8", np.uint8),
        names=words["names"],
        subject_names=words["subjects"],
        remarks=words["remarks"],
        **columns,
    )


def plane_names(planes: Sequence[Plane]) -> str:
    return " or ".join(planes)
