"""DICOM series as volumes: slices sorted by where they lie, not by their names. NumPy and pydicom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lab.data.scans.volume import Volume, check_values
from lab.errors import DataError, UserError

NEEDED = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM's axes point to the left, the back and up; NIfTI's to the right, the front and up."""


def is_dicom(path: Path) -> bool:
    """Whether a file has DICOM's mark after its preamble."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def find_series(folder: Path) -> dict[str, list[Path]]:
    """Series below a folder: SeriesInstanceUID -> its files, sorted by name. Other files are left aside.

    Raises:
        DataError: a file can't be read.
        UserError: pydicom is not installed.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and is_dicom(path)):
        header = _read(path, stop_before_pixels=True)
        if header.get("ImagePositionPatient") is not None or header.get("NumberOfFrames") is not None:
            found.setdefault(str(header.get("SeriesInstanceUID", "")), []).append(path)
    return found


def read_series(files: list[Path]) -> Volume:
    """The volume that the files of one series are the slices of.

    Raises:
        DataError: a file is damaged, has several frames or colours, or the slices are not parallel, of one size and
            evenly spaced; naming the file or folder.
        UserError: pydicom, or what it decompresses such files with, is not installed.
    """
    where = files[0].parent
    slices = [_read(path) for path in files]
    for path, data in zip(files, slices, strict=True):
        _check(path, data)
    first = slices[0]
    row, column = (np.array(part, dtype=float) for part in np.split(np.array(first.ImageOrientationPatient), 2))
    normal = np.cross(row, column)
    for path, data in zip(files, slices, strict=True):
        turned = not np.allclose(data.ImageOrientationPatient, first.ImageOrientationPatient, atol=1e-3)
        if turned or (data.Rows, data.Columns) != (first.Rows, first.Columns):
            raise DataError(f"{path}: its slice has another size or direction than {files[0].name}, of the same series")
    places = np.array([np.array(data.ImagePositionPatient, dtype=float) for data in slices])
    along = places @ normal
    order = np.argsort(along)
    gaps = np.diff(along[order])
    if len(gaps) and (gaps.min() <= 0 or np.ptp(gaps) > 0.05 * gaps.mean()):
        raise DataError(
            f"{where}: slices are {gaps.min():.3g} to {gaps.max():.3g} mm apart: some are missing or double"
        )
    thickness = float(gaps.mean()) if len(gaps) else float(first.get("SliceThickness") or 1)
    step = (places[order[-1]] - places[order[0]]) / max(len(order) - 1, 1) if len(gaps) else normal * thickness
    affine = np.eye(4)
    # Pixel spacing is between rows, then between columns; a pixel's column number counts along `row`.
    affine[:3, 0], affine[:3, 1] = row * float(first.PixelSpacing[1]), column * float(first.PixelSpacing[0])
    affine[:3, 2], affine[:3, 3] = step, places[order[0]]
    values = np.stack([_pixels(files[n], slices[n]).T for n in order], axis=2)
    check_values(values, where)
    return _upright(values, TO_RAS @ affine, str(where))


def read_header(path: Path) -> Any:
    """The header of a DICOM file. Raises DataError when it can't be read."""
    return _read(path, stop_before_pixels=True)


def _upright(values: np.ndarray, affine: np.ndarray, name: str) -> Volume:
    from lab.data.scans.volume import nib

    nibabel = nib()
    orientation = nibabel.io_orientation(affine)
    affine = affine @ nibabel.orientations.inv_ornt_aff(orientation, values.shape)
    return Volume(nibabel.apply_orientation(values, orientation), affine, name)


def _read(path: Path, **options: Any) -> Any:
    try:
        import pydicom
    except ImportError:
        raise UserError("reading DICOM files needs pydicom: pip install 'lab[mri]'") from None
    try:
        return pydicom.dcmread(path, **options)
    except Exception as error:  # pydicom has no common one for damaged files
        raise DataError(f"{path} can't be read as DICOM ({error}); get this file again") from error


def _check(path: Path, data: Any) -> None:
    if int(data.get("NumberOfFrames") or 1) > 1:
        raise DataError(f"{path} holds several frames: convert it to NIfTI, for instance with dcm2niix, and use that")
    if int(data.get("SamplesPerPixel") or 1) > 1:
        raise DataError(f"{path} is a colour image, not a slice")
    absent = [name for name in NEEDED if data.get(name) is None]
    if absent:
        raise DataError(f"{path} doesn't say where its slice lies: it has no {', '.join(absent)}")


def _pixels(path: Path, data: Any) -> np.ndarray:
    try:
        pixels = data.pixel_array
    except Exception as error:  # cut short, or compressed in a way that needs another package
        raise DataError(f"{path}: its pixels can't be decoded ({' '.join(str(error).split())})") from error
    slope, intercept = float(data.get("RescaleSlope") or 1), float(data.get("RescaleIntercept") or 0)
    return np.asarray(pixels * slope + intercept, dtype=np.float32)
