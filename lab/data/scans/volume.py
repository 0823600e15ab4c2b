"""MR volumes: NIfTI files read, cut into slices of a plane, put together again, and written as they came.

Slices are always seen from the same side, whatever the order of voxels in the file: rows run from top to bottom of the
picture, from the front (axial) or from the crown (coronal, sagittal); columns from the patient's right (axial, coronal;
"radiological") or from the front (sagittal). NumPy and nibabel.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lab.errors import DataError, UserError

Plane = Literal["axial", "coronal", "sagittal"]
PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")

ACROSS: dict[Plane, int] = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Axis of a volume (right, front, up) that a plane's slices follow each other along."""
_ORDER: dict[Plane, tuple[int, int, int]] = {"sagittal": (0, 2, 1), "coronal": (1, 2, 0), "axial": (2, 1, 0)}
"""Axes of a volume that become slice, row and column."""
THICK = 2.5
"""How many times longer than wide a pixel of a slice may be: beyond, the volume was acquired in another plane."""


@dataclass(frozen=True)
class Stored:
    """What a NIfTI file says besides the values: header, order of voxels, and `value = slope * number + inter`."""

    header: Any
    orientation: np.ndarray
    slope: float
    inter: float


@dataclass(frozen=True)
class Volume:
    """One scan.

    values: real (X, Y, Z), in the units of the file; axes to the patient's right, front and up, as nearly as the order
        of voxels allows (oblique scans are not resampled).
    affine: float64 (4, 4), from these voxels to mm.
    name: for people: the file's path.
    stored: how the NIfTI file has it, if it came from one.
    """

    values: np.ndarray
    affine: np.ndarray
    name: str
    stored: Stored | None = None

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance in mm between voxels along each axis."""
        x, y, z = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return float(x), float(y), float(z)


def nib() -> Any:
    """nibabel. Raises UserError where it is not installed."""
    try:
        import nibabel
    except ImportError:
        raise UserError("reading NIfTI files needs nibabel: pip install 'lab[mri]'") from None
    return nibabel


def read_volume(path: Path) -> Volume:
    """A NIfTI file (`.nii`, `.nii.gz`).

    Raises:
        DataError: it is missing, damaged or truncated, not a single 3-D image of real numbers, has NaN or infinite
            voxels, or all voxels are equal.
        UserError: nibabel is not installed.
    """
    nibabel = nib()
    try:
        image = nibabel.load(path)
        if not isinstance(image, (nibabel.Nifti1Image, nibabel.Nifti1Pair)):
            raise DataError(f"{path} is a {type(image).__name__}, not NIfTI; convert it first")
        _check_shape(path, image)
        values = np.asarray(image.dataobj)
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except DataError:
        raise
    except Exception as error:  # nibabel, gzip and zlib each have their own for a damaged file
        reason = " ".join(str(error).split())
        raise DataError(f"{path} can't be read as NIfTI, or is cut short ({reason}); get this file again") from error
    affine = image.affine
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise DataError(f"{path}: its header doesn't say where the voxels are (the affine has no inverse)")
    values = values.reshape(image.shape[:3])
    check_values(values, path)
    orientation = nibabel.io_orientation(affine)
    upright = nibabel.apply_orientation(values, orientation)
    affine = affine @ nibabel.orientations.inv_ornt_aff(orientation, values.shape)
    # The header of a loaded image has no scaling any more; the proxy of its data has.
    stored = Stored(image.header, orientation, float(image.dataobj.slope), float(image.dataobj.inter))
    return Volume(upright, affine, str(path), stored)


def _check_shape(path: Path, image: Any) -> None:
    shape = image.shape
    if image.get_data_dtype().kind not in "iuf":
        raise DataError(f"{path} holds {image.get_data_dtype()} voxels: only real numbers are read")
    if len(shape) > 3 and any(n != 1 for n in shape[3:]):
        raise DataError(
            f"{path} is {len(shape)}-D ({'x'.join(map(str, shape))}): save one 3-D volume of it, and use that"
        )
    if len(shape) < 3 or 0 in shape:
        raise DataError(f"{path} is no volume: its shape is {'x'.join(map(str, shape)) or 'empty'}")


def check_values(values: np.ndarray, path: Path) -> None:
    """Raises DataError for NaN or infinite voxels, or when all are equal."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        raise DataError(f"{path} has {count:,} voxels that are NaN or infinite; fill them first, for instance with 0")
    if values.min() == values.max():
        raise DataError(f"{path} is empty: all its voxels are {values.flat[0]}")


def write_volume(volume: Volume, path: Path) -> None:
    """Write a NIfTI file with affine, order of voxels, type and scaling of the file that `volume` came from.

    Values that the type can't hold are rounded and clipped. A volume from elsewhere is written as float32.

    Raises:
        DataError: the disk is full or can't be written; nothing is left half-written.
    """
    nibabel = nib()
    image = _as_stored(volume, nibabel)
    ending = ".nii.gz" if path.name.endswith(".gz") else ".nii"
    draft = path.with_name(f".{path.name}.{os.getpid()}{ending}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(image, draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise DataError(f"can't write {path}: {error.strerror or error}; nothing was kept of it") from error
    finally:
        draft.unlink(missing_ok=True)


def _as_stored(volume: Volume, nibabel: Any) -> Any:
    stored = volume.stored
    if stored is None:
        image = nibabel.Nifti1Image(np.asarray(volume.values, dtype=np.float32), volume.affine)
        image.header.set_xyzt_units("mm")
        return image
    back = nibabel.orientations.ornt_transform(nibabel.io_orientation(np.eye(4)), stored.orientation)
    values = nibabel.apply_orientation(volume.values, back)
    affine = volume.affine @ nibabel.orientations.inv_ornt_aff(back, volume.values.shape)
    if (stored.slope, stored.inter) != (1.0, 0.0):
        values = (values.astype(np.float64) - stored.inter) / stored.slope
    dtype = stored.header.get_data_dtype()
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    kind = nibabel.Nifti2Image if isinstance(stored.header, nibabel.Nifti2Header) else nibabel.Nifti1Image
    image = kind(values.astype(dtype).reshape(stored.header.get_data_shape()), affine, stored.header)
    image.header.set_slope_inter(stored.slope, stored.inter)  # once it is set, nibabel writes the numbers as they are
    return image


def acquired_plane(spacing: tuple[float, float, float]) -> Plane | None:
    """The plane of a volume that is a stack of thick slices; None for voxels of about the same size each way."""
    axis = int(np.argmax(spacing))
    if max(spacing) <= THICK * min(spacing):
        return None
    return next(plane for plane, across in ACROSS.items() if across == axis)


def pixel_spacing(spacing: tuple[float, float, float], plane: Plane) -> tuple[float, float]:
    """mm between rows, and between columns, of a plane's slices."""
    _, row, column = _ORDER[plane]
    return spacing[row], spacing[column]


def to_slices(values: np.ndarray, plane: Plane) -> np.ndarray:
    """(X, Y, Z) as (slices, rows, columns), a view. Slices go to the right, to the front, or up."""
    return values.transpose(_ORDER[plane])[:, ::-1, ::-1]


def from_slices(slices: np.ndarray, plane: Plane) -> np.ndarray:
    """The inverse of `to_slices`, a view."""
    order = _ORDER[plane]
    return slices[:, ::-1, ::-1].transpose([order.index(axis) for axis in range(3)])


def on_canvas(slices: np.ndarray, size: int, fill: float = 0) -> np.ndarray:
    """Slices (n, h, w) in the middle of squares (n, size, size): filled up, or cut, on all sides alike."""
    canvas = np.full((len(slices), size, size), fill, dtype=slices.dtype)
    outer, inner = _overlap(slices.shape[1:], size)
    canvas[:, outer[0], outer[1]] = slices[:, inner[0], inner[1]]
    return canvas


def off_canvas(canvas: np.ndarray, shape: tuple[int, int], fill: float = 0) -> np.ndarray:
    """Slices (n, *shape) that `on_canvas` made `canvas` of; what was cut off is `fill`."""
    slices = np.full((len(canvas), *shape), fill, dtype=canvas.dtype)
    outer, inner = _overlap(shape, canvas.shape[1])
    slices[:, inner[0], inner[1]] = canvas[:, outer[0], outer[1]]
    return slices


def _overlap(shape: tuple[int, ...], size: int) -> tuple[list[slice], list[slice]]:
    outer, inner = [], []
    for length in shape:
        kept = min(length, size)
        outer.append(slice((size - kept) // 2, (size - kept) // 2 + kept))
        inner.append(slice((length - kept) // 2, (length - kept) // 2 + kept))
    return outer, inner


@dataclass(frozen=True)
class Stack:
    """The slices of a volume as a network takes them, and the way back.

    images: float32 (n, size, size) in [0, 1]: clipped at two percentiles of the volume, in the middle of a square.
    low, high: what became 0 and 1, in units of the file.
    """

    volume: Volume
    plane: Plane
    images: np.ndarray
    low: float
    high: float

    def put_back(self, changed: np.ndarray) -> Volume:
        """The volume in which each slice has moved by what `changed`, float32 (n, size, size), differs from `images`.

        Only differences are put back: what lay outside of the square or beyond the percentiles stays, and where
        nothing changed the volume is the old one to the bit.
        """
        if changed.shape != self.images.shape:
            raise ValueError(f"there are slices {self.images.shape}, not {changed.shape}")
        difference = changed.astype(np.float64) - self.images
        rows, columns = to_slices(self.volume.values, self.plane).shape[1:]
        difference = from_slices(off_canvas(difference, (rows, columns)), self.plane)
        values = self.volume.values + difference * (self.high - self.low)
        if self.volume.values.dtype.kind == "f":
            values = values.astype(self.volume.values.dtype)
        return replace(self.volume, values=values)


def stack_of(volume: Volume, plane: Plane, size: int, percentiles: tuple[float, float] = (0.5, 99.5)) -> Stack:
    """All slices of a plane, for a network that was trained on squares of `size` pixels.

    Raises:
        DataError: the volume was acquired as thick slices in another plane.
    """
    check_plane(volume, plane)
    low, high = intensity_range(volume, percentiles)
    images = on_canvas(to_slices(normalised(volume.values, low, high), plane), size)
    return Stack(volume, plane, images, low, high)


def check_plane(volume: Volume, plane: Plane) -> None:
    """Raises DataError when the volume's own slices are thick, and in another plane."""
    own = acquired_plane(volume.spacing)
    if own is not None and own != plane:
        raise DataError(
            f"{volume.name} was acquired as {own} slices ({' x '.join(f'{s:.3g}' for s in volume.spacing)} mm): it has "
            f"no {plane} slices to speak of; take {own}"
        )


def intensity_range(volume: Volume, percentiles: tuple[float, float]) -> tuple[float, float]:
    """Two percentiles of all voxels. Raises DataError when they are equal."""
    low, high = (float(value) for value in np.percentile(volume.values, percentiles))
    if low == high:
        raise DataError(f"{volume.name}: its {percentiles[0]} and {percentiles[1]} percentiles are both {low:g}: empty")
    return low, high


def normalised(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """float32 in [0, 1]: 0 at `low` and below, 1 at `high` and above."""
    scaled = (values.astype(np.float32) - np.float32(low)) / np.float32(high - low)
    return np.asarray(np.clip(scaled, 0, 1))
