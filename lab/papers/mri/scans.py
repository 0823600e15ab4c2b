"""A user's own scans: found, compared with what a corrector was trained on, cut into slices and put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from lab.data.base import Acquisition, Facts, Split
from lab.data.module import LabDataModule, Loading, RowDataset
from lab.data.scans.dicom import find_series, is_dicom, read_header, read_series
from lab.data.scans.module import SliceBatch
from lab.data.scans.volume import (
    PLANES,
    Plane,
    Stack,
    Volume,
    acquired_plane,
    from_slices,
    off_canvas,
    pixel_spacing,
    read_volume,
    stack_of,
    to_slices,
)
from lab.errors import DataError
from lab.papers.mri.pictures import rows_of_images

ENDINGS = (".nii.gz", ".nii")
SUFFIXES = ("T1w", "T2w", "PDw", "FLAIR", "T2starw", "bold", "dwi")
"""What BIDS has files end on, by how they were acquired."""
STRETCH = 1.25
"""How many times larger or smaller than those of the training a pixel may be."""
SHOWN = (0.35, 0.5, 0.65)
"""Where the slices that are shown lie, among those with something in them."""


@dataclass(frozen=True)
class Source:
    """One scan. name: of its results, a path below the output; read: loads it; modality: None is unknown."""

    name: str
    read: Callable[[], Volume]
    modality: str | None


def find_scans(source: Path) -> list[Source]:
    """The scans that a user names: a NIfTI file, a DICOM file's series, or all of both below a folder.

    Raises:
        DataError: there is none.
    """
    if not source.exists():
        raise DataError(f"--input {source}: no such file or folder")
    if source.is_file():
        if source.name.endswith(ENDINGS):
            return [_nifti(source, source.parent)]
        if is_dicom(source):
            found = [files for files in find_series(source.parent).values() if source in files]
            return [_dicom(files, source.parent) for files in found]
        raise DataError(f"--input {source}: neither NIfTI (.nii, .nii.gz) nor DICOM")
    files = sorted(path for path in source.rglob("*") if path.name.endswith(ENDINGS))
    scans = [_nifti(path, source) for path in files]
    scans += [_dicom(series, source) for series in find_series(source).values()]
    if not scans:
        raise DataError(f"--input {source}: holds neither NIfTI files (.nii, .nii.gz) nor DICOM series")
    return scans


def _nifti(path: Path, root: Path) -> Source:
    name = str(path.relative_to(root))
    name = name.removesuffix(".gz").removesuffix(".nii")
    suffix = name.rpartition("_")[2]
    return Source(name, lambda: read_volume(path), suffix if suffix in SUFFIXES else None)


def _dicom(files: list[Path], root: Path) -> Source:
    header = read_header(files[0])
    kind = str(header.get("Modality", "MR"))
    folder = str(files[0].parent.relative_to(root))
    stem = root.name if folder == "." else folder
    name = f"{stem}_{header.get('SeriesNumber', '')}".rstrip("_")
    return Source(name, lambda: read_series(files), None if kind == "MR" else kind)


def opened(source: Source, facts: Facts) -> Stack:
    """The slices of a scan, for a corrector with these facts.

    Raises:
        DataError: damaged, or of another modality, plane, slice size or resolution than the corrector was trained on.
    """
    trained = facts.acquisition
    assert trained is not None
    if source.modality is not None and trained.modality not in ("various", source.modality):
        raise DataError(f"{source.name} is a {source.modality} scan; this model was trained on {trained.modality} only")
    volume = source.read()
    plane = plane_of(volume, trained)
    size = facts.image_shape[1]
    rows, columns = to_slices(volume.values, plane).shape[1:]
    if max(rows, columns) > size:
        raise DataError(
            f"{source.name} has {plane} slices of {rows}x{columns} pixels; this model was trained on {size}x{size}: "
            "crop or resample the scan"
        )
    for own, theirs in zip(pixel_spacing(volume.spacing, plane), trained.spacing, strict=True):
        if not 1 / STRETCH <= own / theirs <= STRETCH:
            raise DataError(
                f"{source.name} has {plane} pixels of {own:.3g} mm; this model was trained on {theirs:.3g} mm: "
                "resample the scan"
            )
    return stack_of(volume, plane, size, trained.percentiles)


def plane_of(volume: Volume, trained: Acquisition) -> Plane:
    """The plane that a scan is corrected in: its own, if it has thick slices; else the first that was trained on.

    Raises:
        DataError: the model was not trained on the scan's own plane.
    """
    own = acquired_plane(volume.spacing)
    known = [plane for plane in PLANES if plane in trained.planes] or list(PLANES)
    if own is not None and own not in known:
        raise DataError(
            f"{volume.name} was acquired as {own} slices; this model was trained on {', '.join(known)} only"
        )
    return own or known[0]


class StackRows(RowDataset[SliceBatch]):
    """Batches of the slices of one scan; there is no clean twin."""

    def __init__(self, stack: Stack):
        self.stack = stack

    def __len__(self) -> int:
        return len(self.stack.images)

    def __getitem__(self, rows: list[int]) -> SliceBatch:
        index = torch.tensor(rows)
        image = torch.from_numpy(self.stack.images[rows]).unsqueeze(1)
        spacing = torch.tensor([pixel_spacing(self.stack.volume.spacing, self.stack.plane)] * len(rows))
        plane = torch.full_like(index, PLANES.index(self.stack.plane))
        mask, zero = torch.zeros_like(image, dtype=torch.uint8), torch.zeros_like(index)
        return SliceBatch(index, image, image, mask, zero, zero, index, plane, spacing)


class StackData(LabDataModule):
    """The slices of one scan as a data module."""

    def __init__(self, stack: Stack, facts: Facts, loading: Loading):
        super().__init__(None, loading)
        self.stack = stack
        self.facts = replace(facts, sizes={"test": len(stack.images)})

    def rows(self, split: Split) -> StackRows:
        return StackRows(self.stack)


def spread_volume(stack: Stack, spread: np.ndarray) -> Volume:
    """Standard deviations float (n, size, size) of slices as a volume float32, in units of the file."""
    rows, columns = to_slices(stack.volume.values, stack.plane).shape[1:]
    values = from_slices(off_canvas(spread, (rows, columns)), stack.plane) * (stack.high - stack.low)
    return Volume(values.astype(np.float32), stack.volume.affine, stack.volume.name)


def before_and_after(stack: Stack, corrected: np.ndarray, spread: np.ndarray | None) -> np.ndarray:
    """Slices of a scan before and after, what changed, and the spread: a picture uint8 (h, w, 3)."""
    filled = list(_filled(stack))
    chosen = [filled[min(int(place * len(filled)), len(filled) - 1)] for place in SHOWN]
    columns = {"before": stack.images[chosen], "after": corrected[chosen]}
    columns["after - before"] = columns["after"] - columns["before"]
    if spread is not None:
        columns["spread of draws"] = spread[chosen]
    return rows_of_images(columns)


def _filled(stack: Stack) -> Iterator[int]:
    """Numbers of the slices with something in them; of all, where none has much."""
    light = stack.images.mean(axis=(1, 2))
    yield from np.flatnonzero(light >= 0.3 * light.max()).tolist()
