"""NIfTI volumes: read whatever the order of voxels, cut into slices, put together and written back to the bit."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from lab.data.scans.volume import (
    PLANES,
    Volume,
    acquired_plane,
    from_slices,
    off_canvas,
    on_canvas,
    pixel_spacing,
    read_volume,
    stack_of,
    to_slices,
    write_volume,
)
from lab.errors import DataError

nibabel = pytest.importorskip("nibabel")

SHAPE = (10, 14, 12)
SPACING = (1.0, 1.5, 2.0)


def head(dtype: str = "int16") -> np.ndarray:
    """Values that tell right from left, front from back and up from down."""
    x, y, z = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    return (100 * x + 10 * y + z).astype(dtype)


def saved(path: Path, values: np.ndarray, codes: str = "RAS", slope: float = 1.0, inter: float = 0.0) -> Path:
    """`values` (right, front, up) as a file whose voxels go the way `codes` says."""
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = [-4, -9, -11]
    turn = nibabel.orientations.axcodes2ornt(codes)
    affine = affine @ nibabel.orientations.inv_ornt_aff(turn, values.shape)
    image = nibabel.Nifti1Image(nibabel.apply_orientation(values, turn), affine)
    image.header.set_slope_inter(slope, inter)
    image.header["descrip"] = b"kept"
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PSR", "SAL", "AIL"])
def test_axes_go_right_front_and_up(tmp_path, codes):
    volume = read_volume(saved(tmp_path / "scan.nii.gz", head(), codes))
    assert (volume.values == head()).all()
    assert volume.spacing == pytest.approx(SPACING)
    corner = volume.affine @ np.array([0, 0, 0, 1.0])
    assert corner[:3] == pytest.approx([-4, -9, -11])


@pytest.mark.parametrize("codes", ["RAS", "PSR", "LIA"])
@pytest.mark.parametrize(
    ("dtype", "slope", "inter"),
    [("int16", 1, 0), ("uint8", 1, 0), ("int16", 0.37, -5), ("float32", 1, 0), ("float64", 1, 0), ("uint16", 2.5, 0)],
)
@pytest.mark.parametrize("plane", PLANES)
def test_a_model_that_changes_nothing_gives_the_file_back(tmp_path, codes, dtype, slope, inter, plane):
    values = head("float64") / 10 if dtype.startswith("float") else head("float64") % 250
    path = saved(tmp_path / "scan.nii.gz", values.astype(dtype), codes, slope, inter)
    stack = stack_of(read_volume(path), plane, 16)
    out = tmp_path / "out" / "scan.nii.gz"
    write_volume(stack.put_back(stack.images.copy()), out)
    before, after = nibabel.load(path), nibabel.load(out)
    assert (np.asarray(before.dataobj.get_unscaled()) == np.asarray(after.dataobj.get_unscaled())).all()
    assert (before.dataobj.slope, before.dataobj.inter) == (after.dataobj.slope, after.dataobj.inter)
    assert (before.affine == after.affine).all() and before.get_data_dtype() == after.get_data_dtype()
    assert before.header.get_zooms() == after.header.get_zooms()
    assert bytes(after.header["descrip"]).startswith(b"kept")
    assert before.header["qform_code"] == after.header["qform_code"]
    assert not list(out.parent.glob(".*"))


def test_a_change_arrives_where_it_was_made(tmp_path):
    volume = read_volume(saved(tmp_path / "scan.nii", head(), "PSR"))
    stack = stack_of(volume, "coronal", 16, (0, 100))
    changed = stack.images.copy()
    row, column = np.argwhere(on_canvas(to_slices(volume.values, "coronal"), 16)[5] == 100 * 3 + 10 * 5 + 7)[0]
    changed[5, row, column] += 0.25
    out = tmp_path / "out.nii"
    write_volume(stack.put_back(changed), out)
    difference = read_volume(out).values.astype(float) - head()
    assert np.argwhere(difference).tolist() == [[3, 5, 7]]
    assert difference[3, 5, 7] == pytest.approx(0.25 * (head().max() - head().min()), abs=0.5)


def test_what_an_integer_type_cannot_hold_is_clipped(tmp_path):
    volume = read_volume(saved(tmp_path / "scan.nii", (head() % 256).astype(np.uint8)))
    stack = stack_of(volume, "axial", 16)
    write_volume(stack.put_back(stack.images + 2), tmp_path / "out.nii")
    assert (np.asarray(nibabel.load(tmp_path / "out.nii").dataobj) == 255).all()


def test_pictures_are_seen_from_the_usual_side():
    volume = np.zeros((4, 5, 6))
    volume[3, 4, 5] = 1  # right, front, top
    axial, coronal, sagittal = (to_slices(volume, plane) for plane in PLANES)
    assert axial.shape == (6, 5, 4) and axial[5, 0, 0] == 1  # front above, the patient's right on the left
    assert coronal.shape == (5, 6, 4) and coronal[4, 0, 0] == 1
    assert sagittal.shape == (4, 6, 5) and sagittal[3, 0, 0] == 1  # crown above, front on the left
    for plane in PLANES:
        assert (from_slices(to_slices(volume, plane), plane) == volume).all()
    assert [pixel_spacing((1.0, 2.0, 3.0), plane) for plane in PLANES] == [(2.0, 1.0), (3.0, 1.0), (3.0, 2.0)]


@pytest.mark.parametrize("size", [4, 7, 12])
def test_a_canvas_keeps_the_middle(size):
    slices = np.arange(2 * 9 * 6).reshape(2, 9, 6)
    canvas = on_canvas(slices, size, fill=-1)
    assert canvas.shape == (2, size, size)
    back = off_canvas(canvas, (9, 6), fill=-1)
    kept = back != -1
    assert (back[kept] == slices[kept]).all()
    assert kept[0].sum() == min(size, 9) * min(size, 6)
    if size == 12:
        assert (back == slices).all()


def test_thick_slices_have_one_plane(tmp_path):
    assert acquired_plane((1.0, 1.0, 1.2)) is None
    assert acquired_plane((0.7, 0.7, 5.0)) == "axial"
    volume = Volume(head(), np.diag([0.7, 0.7, 5.0, 1.0]), "scan.nii")
    stack_of(volume, "axial", 16)
    with pytest.raises(DataError, match=r"acquired as axial slices \(0.7 x 0.7 x 5 mm\): it has no sagittal slices"):
        stack_of(volume, "sagittal", 16)


def damaged(path: Path, kind: str) -> None:
    values = head("float32")
    if kind == "truncated":
        saved(path, np.random.default_rng(0).integers(0, 999, SHAPE).astype(np.int16))
        path.write_bytes(path.read_bytes()[:-200])
    elif kind == "cut short, not compressed":
        whole = gzip.decompress(saved(path, values).read_bytes())
        path.write_bytes(gzip.compress(whole[:-100]))
    elif kind == "no NIfTI":
        path.write_bytes(b"some text")
    elif kind == "4-D":
        nibabel.save(nibabel.Nifti1Image(np.stack([values] * 3, axis=3), np.eye(4)), path)
    elif kind == "2-D":
        nibabel.save(nibabel.Nifti1Image(values[0], np.eye(4)), path)
    elif kind == "NaN":
        values[2, 3, 4] = np.nan
        saved(path, values)
    elif kind == "empty":
        saved(path, np.zeros(SHAPE, dtype=np.int16))
    elif kind == "complex":
        nibabel.save(nibabel.Nifti1Image(values.astype(np.complex64), np.eye(4)), path)
    elif kind == "flat":
        image = nibabel.Nifti1Image(values, np.eye(4))
        image.header.set_sform(np.zeros((4, 4)), code=1)
        nibabel.save(image, path)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("truncated", "can't be read as NIfTI, or is cut short"),
        ("cut short, not compressed", "can't be read as NIfTI, or is cut short"),
        ("no NIfTI", "can't be read as NIfTI"),
        ("4-D", r"is 4-D \(10x14x12x3\)"),
        ("2-D", "is no volume: its shape is 14x12"),
        ("NaN", "has 1 voxels that are NaN or infinite"),
        ("empty", "is empty: all its voxels are 0"),
        ("complex", "holds complex64 voxels"),
        ("absent", "is missing"),
    ],
)
def test_what_cannot_be_used_is_one_line(tmp_path, kind, said):
    path = tmp_path / "scan.nii.gz"
    damaged(path, kind)
    with pytest.raises(DataError, match=said) as error:
        read_volume(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_a_single_frame_of_a_4d_file_is_a_volume(tmp_path):
    path, out = tmp_path / "scan.nii", tmp_path / "out.nii"
    nibabel.save(nibabel.Nifti1Image(head()[..., None], np.eye(4)), path)
    volume = read_volume(path)
    assert (volume.values == head()).all()
    write_volume(volume, out)
    assert nibabel.load(out).shape == (*SHAPE, 1)


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    volume = read_volume(saved(tmp_path / "scan.nii", head()))

    def full(image, path):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nibabel, "save", full)
    with pytest.raises(DataError, match="No space left on device; nothing was kept"):
        write_volume(volume, tmp_path / "out" / "scan.nii")
    assert not list((tmp_path / "out").iterdir())
