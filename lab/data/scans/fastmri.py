"""fastMRI's brain scans: one HDF5 file a volume, with the raw k-space of all coils. Axial slices only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lab.config.fields import option
from lab.data.base import Card, Source
from lab.data.files import absent, data_root
from lab.data.scans.slices import SliceConfig, SlicedData
from lab.data.scans.volume import Volume, check_values, from_slices
from lab.data.scans.volumes import Scan, SlicedVolumes
from lab.errors import DataError, UserError

FOLDERS = ("multicoil_train", "multicoil_val")
SPACING = (5.0, 0.6875, 0.6875)
"""mm between slices, rows and columns, where a file doesn't say: 220 mm over 320 pixels."""

CARD = Card(
    name="fastmri_brain",
    title="fastMRI brain",
    licence="fastMRI data agreement: research, no redistribution",
    reference="Zbontar et al., fastMRI: An Open Dataset and Benchmarks for Accelerated MRI, 2018",
    layout=(
        "multicoil_train/*.h5 and multicoil_val/*.h5, such as file_brain_AXT1_201_6002717.h5, with kspace (slices, "
        "coils, rows, columns), reconstruction_rss (slices, rows, columns) and ismrmrd_header"
    ),
    sources=(
        Source("https://fastmri.med.nyu.edu", {}, manual=True, note="fill in the form; links come by mail; 1.3 TB"),
    ),
    folder="fastmri_brain",
)


@dataclass
class FastMriConfig(SliceConfig):
    """Which scans are read, besides the slices. Slices lie 5 mm apart."""

    contrasts: tuple[str, ...] = option(("AXT1", "AXT1PRE"), "AXT1, AXT1PRE, AXT1POST, AXT2, AXFLAIR")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if self.planes != ("axial",):
            yield "planes", f"fastMRI's slices are axial, 5 mm thick; has to be [axial], is {list(self.planes)}"
        if self.through_plane:
            yield "through_plane", "slices of 5 mm are too thick for it"


class FastMri(SlicedVolumes):
    """One volume a file; files are taken as subjects, as the names of patients are not given."""

    card = CARD
    drawn_from = (*SlicedData.drawn_from, "contrasts")
    modality = "various"

    @classmethod
    def locate(cls, config: FastMriConfig) -> Path:
        folders = CARD.looked_in(data_root(config))
        for folder in folders:
            if any((folder / part).is_dir() for part in FOLDERS):
                return folder
        raise absent(CARD, " or ".join(FOLDERS), folders)

    @classmethod
    def write_stand_in(cls, folder: Path, config: FastMriConfig, seed: int = 0) -> None:
        """Thick axial slices of drawn heads, and their k-space as four coils see it."""
        from lab.data.scans.stand_ins import write_fastmri

        write_fastmri(folder / CARD.folder / FOLDERS[0], config, config.contrasts[0], seed)

    def find_scans(self) -> list[Scan]:
        return [
            Scan(path.stem, str(path.relative_to(self.root)))
            for folder in FOLDERS
            for path in sorted((self.root / folder).glob("*.h5"))
            if path.stem.split("_")[2:3] and path.stem.split("_")[2] in self.config.contrasts
        ]

    def read(self, file: str) -> Volume:
        return read_fastmri(self.root / file)


def read_fastmri(path: Path) -> Volume:
    """The volume of a fastMRI file: root sum of squares over the coils, as published, or computed from k-space.

    Rows run from the front to the back, columns from the patient's right, as all pictures here do; the files don't say
    so, it is how they look.

    Raises:
        DataError: the file is damaged or truncated, or has neither image nor k-space.
        UserError: h5py is not installed.
    """
    with _opened(path) as file:
        if "reconstruction_rss" in file:
            slices = _array(path, file, "reconstruction_rss")
        else:
            slices = rss(_array(path, file, "kspace"))
        spacing = _spacing(file)
    if slices.ndim != 3:
        raise DataError(f"{path} holds no volume: its image has {slices.ndim} dimensions, not 3")
    check_values(slices, path)
    affine = np.diag([spacing[2], spacing[1], spacing[0], 1.0])
    return Volume(np.ascontiguousarray(from_slices(slices, "axial")), affine, str(path))


def read_kspace(path: Path) -> np.ndarray:
    """Measured k-space of a fastMRI file, complex64 (slices, coils, rows, columns), the lowest frequency in the middle.

    Raises:
        DataError: the file is damaged or has none.
        UserError: h5py is not installed.
    """
    with _opened(path) as file:
        return _array(path, file, "kspace").astype(np.complex64)


def rss(kspace: np.ndarray) -> np.ndarray:
    """Root sum of squares, float32 (slices, rows, columns), of k-space (slices, coils, rows, columns)."""
    axes = (-2, -1)
    images = np.fft.ifft2(np.fft.ifftshift(kspace, axes=axes), axes=axes, norm="ortho")
    images = np.fft.fftshift(images, axes=axes)
    return np.asarray(np.sqrt((np.abs(images) ** 2).sum(axis=1)), dtype=np.float32)


def _opened(path: Path) -> Any:
    try:
        import h5py
    except ImportError:
        raise UserError("reading fastMRI files needs h5py: pip install 'lab[mri]'") from None
    try:
        return h5py.File(path)
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except OSError as error:
        raise DataError(f"{path} can't be read as HDF5, or is cut short ({error}); get this file again") from error


def _array(path: Path, file: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(file[name])
    except (KeyError, OSError) as error:
        raise DataError(f"{path}: '{name}' can't be read ({error}); get this file again") from error


def _spacing(file: Any) -> tuple[float, float, float]:
    """mm between slices, rows, columns: from the ISMRMRD header's reconstructed space, if it is there."""
    header = file["ismrmrd_header"][()] if "ismrmrd_header" in file else b""
    text = header.decode(errors="replace") if isinstance(header, bytes) else str(header)
    space = re.search(r"<reconSpace>(.*?)</reconSpace>", text, re.DOTALL)
    values = [re.findall(rf"<{axis}>([\d.]+)</{axis}>", space.group(1)) for axis in "xyz"] if space else []
    if len(values) != 3 or any(len(found) != 2 for found in values):
        return SPACING
    counts, sizes = ([float(found[n]) for found in values] for n in (0, 1))  # matrixSize, then fieldOfView_mm
    across, down, along = (size / max(count, 1) for count, size in zip(counts, sizes, strict=True))
    return along, down, across
