"""DICOM series: slices lie where their headers say, whatever the names and the order of the files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lab.data.scans.dicom import find_series, read_series
from lab.data.scans.volume import read_volume, write_volume
from lab.errors import DataError

pydicom = pytest.importorskip("pydicom")
nibabel = pytest.importorskip("nibabel")

SHAPE = (6, 8, 5)


def head() -> np.ndarray:
    x, y, z = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    return 100 * x + 10 * y + z


def write_series(
    folder: Path, *, sagittal: bool = False, uid: str = "1.2.3", change=lambda data, number: None
) -> list[Path]:
    """The head as axial slices 3 mm apart (or sagittal ones 2 mm apart), files numbered against the grain."""
    folder.mkdir(parents=True, exist_ok=True)
    axis = 0 if sagittal else 2
    for number in range(SHAPE[axis]):
        data = pydicom.Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
        data.file_meta.MediaStorageSOPInstanceUID = f"{uid}.{number}"
        data.SOPClassUID, data.SOPInstanceUID = pydicom.uid.MRImageStorage, f"{uid}.{number}"
        data.SeriesInstanceUID, data.Modality = uid, "MR"
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation = 15, 0
        data.RescaleSlope, data.RescaleIntercept = 2, -1
        # DICOM's x and y point to the left and to the back.
        if sagittal:
            pixels = head()[number, ::-1, ::-1].T  # rows down, columns to the back
            data.ImageOrientationPatient, data.PixelSpacing = [0, 1, 0, 0, 0, -1], [3, 1.5]
            data.ImagePositionPatient = [-2.0 * number, -1.5 * (SHAPE[1] - 1), 3.0 * (SHAPE[2] - 1)]
        else:
            pixels = head()[::-1, ::-1, number].T  # rows to the back, columns to the left
            data.ImageOrientationPatient, data.PixelSpacing = [1, 0, 0, 0, 1, 0], [1.5, 2]
            data.ImagePositionPatient = [-2.0 * (SHAPE[0] - 1), -1.5 * (SHAPE[1] - 1), 3.0 * number]
        data.Rows, data.Columns = pixels.shape
        data.PixelData = np.ascontiguousarray(pixels, dtype=np.uint16).tobytes()
        change(data, number)
        data.save_as(folder / f"{99 - number:03d}.dcm", enforce_file_format=True)
    return sorted(folder.iterdir())


@pytest.mark.parametrize("sagittal", [False, True])
def test_a_series_is_the_volume(tmp_path, sagittal):
    volume = read_series(write_series(tmp_path / "series", sagittal=sagittal))
    assert (volume.values == 2 * head() - 1).all() and volume.values.dtype == np.float32
    assert volume.spacing == pytest.approx((2.0, 1.5, 3.0))
    assert volume.affine @ [0, 0, 0, 1] == pytest.approx([0, 0, 0, 1])
    write_volume(volume, tmp_path / "out.nii.gz")
    again = read_volume(tmp_path / "out.nii.gz")
    assert (again.values == volume.values).all() and np.allclose(again.affine, volume.affine)


def test_series_are_told_apart(tmp_path):
    first = write_series(tmp_path / "a", uid="1.2.3")
    second = write_series(tmp_path / "b" / "deep", uid="1.2.4")
    (tmp_path / "a" / "notes.txt").write_text("no scan")
    assert list(find_series(tmp_path).values()) == [first, second]


def missing_slice(folder: Path) -> list[Path]:
    files = write_series(folder)
    return files[:1] + files[2:]


def without(name: str):
    def change(data, number):
        if number == 2:
            delattr(data, name)

    return lambda folder: write_series(folder, change=change)


def several_frames(folder: Path) -> list[Path]:
    def change(data, number):
        data.NumberOfFrames = 2
        data.PixelData = data.PixelData * 2

    return write_series(folder, change=change)


def another_size(folder: Path) -> list[Path]:
    def change(data, number):
        if number == 1:
            data.Rows -= 1

    return write_series(folder, change=change)


def cut_short(folder: Path) -> list[Path]:
    files = write_series(folder)
    files[2].write_bytes(files[2].read_bytes()[:-20])
    return files


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (missing_slice, "slices are 3 to 6 mm apart: some are missing or double"),
        (without("ImagePositionPatient"), "it has no ImagePositionPatient"),
        (several_frames, "holds several frames: convert it to NIfTI"),
        (another_size, "another size or direction"),
        (cut_short, "its pixels can't be decoded"),
    ],
)
def test_what_cannot_be_used_is_one_line(tmp_path, make, said):
    files = make(tmp_path / "series")
    with pytest.raises(DataError, match=said) as error:
        read_series(files)
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)
