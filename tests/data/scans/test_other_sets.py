"""IXI, fastMRI, folders of scans and pictures of slices: each through its stand-in, in its own layout."""

from __future__ import annotations

import shutil
import zipfile

import h5py
import nibabel
import numpy as np
import pytest
from PIL import Image

from lab.cli import main
from lab.data.scans.fastmri import FastMri, FastMriConfig, read_fastmri, read_kspace, rss
from lab.data.scans.image_slices import ImageSlices, ImageSlicesConfig
from lab.data.scans.ixi import Ixi, IxiConfig
from lab.data.scans.scan_folder import ScanFolder, ScanFolderConfig
from lab.data.scans.slice_set import STEPS
from lab.data.scans.slices import SPLITS
from lab.errors import DataError
from lab.mri.config import MotionConfig

SMALL = {"stand_in_subjects": 6, "stand_in_size": 48, "image_size": 48, "val_fraction": 0.34, "test_fraction": 0.34}
MOTION = MotionConfig("line_mixing")


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    made = {}
    for data, config in (
        (Ixi, IxiConfig(**SMALL)),
        (FastMri, FastMriConfig(**SMALL)),
        (ScanFolder, ScanFolderConfig(**SMALL)),
        (ImageSlices, ImageSlicesConfig(**SMALL)),
    ):
        made[data] = tmp_path_factory.mktemp(data.__name__)
        data.write_stand_in(made[data], config)
    return made


@pytest.mark.parametrize("data", [Ixi, FastMri, ScanFolder])
def test_volumes_give_clean_and_simulated_slices(roots, data, tmp_path):
    config = {Ixi: IxiConfig, FastMri: FastMriConfig, ScanFolder: ScanFolderConfig}[data]
    clean = data(config(root=str(roots[data]), **SMALL), tmp_path)
    pairs = data(config(root=str(roots[data]), select="pairs", motion=MOTION, **SMALL), tmp_path)
    for split in SPLITS:
        rows = pairs.split(split)
        assert len(rows.subject_names) == 2 and (rows.images != rows.targets).any()
        assert 0.1 < (clean.split(split).images / STEPS).mean() < 0.5
    with pytest.raises(DataError, match="has it no affected scans"):
        data(config(root=str(roots[data]), select="affected", **SMALL), tmp_path).split("train")


def test_ixi_is_read_by_site_whatever_the_order_of_voxels(roots, tmp_path):
    config = IxiConfig(root=str(roots[Ixi]), sites=("HH",), **SMALL)
    assert [scan.subject for scan in Ixi(config, tmp_path).scans] == ["IXI003", "IXI006"]
    path = next(roots[Ixi].rglob("*HH*"))
    assert nibabel.aff2axcodes(nibabel.load(path).affine) == ("P", "S", "R")
    with pytest.raises(DataError, match="lab data get ixi --part T2"):
        Ixi.locate(IxiConfig(root=str(roots[Ixi]), contrast="T2"))


def test_fastmris_image_is_that_of_its_kspace(roots, tmp_path):
    path = next(roots[FastMri].rglob("*.h5"))
    volume, kspace = read_fastmri(path), read_kspace(path)
    assert kspace.ndim == 4 and kspace.dtype == np.complex64 and kspace.shape[1] == 4
    with h5py.File(path) as file:
        assert np.allclose(rss(kspace), file["reconstruction_rss"], atol=1e-4)
        assert volume.spacing == pytest.approx((256 / 48, 256 / 48, 5.0))
    copy = tmp_path / path.name
    shutil.copy(path, copy)
    with h5py.File(copy, "a") as file:
        del file["reconstruction_rss"]
    assert np.allclose(read_fastmri(copy).values, volume.values, atol=1e-4)
    copy.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match="can't be read as HDF5, or is cut short"):
        read_fastmri(copy)
    assert [n for n, _ in FastMriConfig(planes=("sagittal",)).check()] == ["planes"]


def test_a_folder_of_scans_in_any_order_of_voxels(roots, tmp_path):
    folder = roots[ScanFolder] / "scans"
    config = ScanFolderConfig(root=str(roots[ScanFolder]), kind="FLAIR", **SMALL)
    data = ScanFolder(config, tmp_path)
    assert data.modality == "FLAIR"
    assert data.subjects() == sorted(path.name for path in folder.iterdir())
    for scan in data.scans[:3]:
        values = data.read(scan.file).values
        assert values[:, :, 40:].mean() > 3 * values[:, :4].mean()  # up is up, and there is air in front of the back
    with pytest.raises(DataError, match="there is no folder") as error:
        ScanFolder.locate(ScanFolderConfig(root=str(tmp_path), folder="none"))
    assert "data.folder=" in str(error.value)
    with pytest.raises(DataError, match="has no scan that fits"):
        ScanFolder(ScanFolderConfig(root=str(roots[ScanFolder]), pattern="*_T2w*"), tmp_path)


def test_pictures_from_a_folder_and_from_a_zip_file(roots, tmp_path):
    root = roots[ImageSlices]
    folder = root / "brain_slices"
    data = ImageSlices(ImageSlicesConfig(root=str(root), **SMALL), tmp_path / "a")
    archive = tmp_path / "sub" / "slices.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as bundle:
        for path in sorted(folder.rglob("*.png")):
            bundle.write(path, path.relative_to(folder))
    config = ImageSlicesConfig(root=str(tmp_path), path="sub/slices.zip", **SMALL)
    zipped = ImageSlices(config, tmp_path / "b")
    for split in SPLITS:
        one, other = data.split(split), zipped.split(split)
        assert one.names == other.names and (one.images == other.images).all() and len(one)
    assert all(name.startswith("testing/") for name in data.split("test").names)
    assert all(name.startswith("training/") for s in ("train", "val") for name in data.split(s).names)
    assert (data.split("train").planes == -1).all()
    assert data.split("train").spacing[0] == pytest.approx([5.0, 5.0])  # 240 mm over 48 pixels
    assert "neighbours of one patient" in data.remarks()[0]


def test_pictures_with_motion_and_of_one_kind(roots, tmp_path):
    options = {"root": str(roots[ImageSlices]), "kinds": ("glioma",), "motion": MOTION, **SMALL}
    pairs = ImageSlices(ImageSlicesConfig(select="pairs", **options), tmp_path).split("train")
    assert {name.split("/")[1] for name in pairs.names} == {"glioma"}
    assert (pairs.images != pairs.targets).any() and set(pairs.labels) == {1}
    clean = ImageSlices(ImageSlicesConfig(select="clean", **options), tmp_path)
    affected = ImageSlices(ImageSlicesConfig(select="affected", **options), tmp_path)
    assert not set(clean.split("train").names) & set(affected.split("train").names)


@pytest.mark.parametrize(("damage", "said"), [("cut", "can't be decoded"), ("black", "is empty")])
def test_a_damaged_picture_is_one_line(roots, tmp_path, damage, said):
    folder = shutil.copytree(roots[ImageSlices], tmp_path / "data")
    path = sorted(folder.rglob("training/glioma/*.png"))[0]
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:300])
    else:
        Image.new("L", (48, 48)).save(path)
    data = ImageSlices(ImageSlicesConfig(root=str(folder), unpaired=False, **SMALL), tmp_path / "cache")
    with pytest.raises(DataError, match=said) as error:
        for split in SPLITS:
            data.split(split)
    assert path.name in str(error.value) and "\n" not in str(error.value)


def test_lab_data_verify_counts_and_remarks(roots, capsys):
    words = [f"{key}={value}" for key, value in SMALL.items()]
    assert main(["data", "verify", "image_slices", "--root", str(roots[ImageSlices]), *words]) == 0
    out = capsys.readouterr().out
    assert "images of 48x48" in out and "clean: " in out and "neighbours of one patient" in out
    assert main(["data", "get", "mr_art", "--root", str(roots[Ixi])]) == 2
    assert "openneuro.org/datasets/ds004173" in capsys.readouterr().err
