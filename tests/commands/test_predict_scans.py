"""`lab predict` with correctors: a user's own scans in, corrected scans out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("nibabel")

import nibabel as nib

from lab.cli import main
from lab.data.scans.phantoms import draw_head
from lab.papers.mri.scans import find_scans
from lab.stages.record import run_artefact

EXPERIMENT = """
name: tiny
data: {name: scan_folder, stand_in: true, stand_in_subjects: 12, stand_in_size: 32, image_size: 32, val_fraction: 0.2,
  test_fraction: 0.2, every: 3, motion: {simulator: line_mixing}}
trainer: {batch_size: 4, max_steps: 1, validate_every: 0}
stages:
  none_test: {verb: test, module: {name: mri/uncorrected}, data: {select: pairs}}
  unet: {verb: fit, module: {name: mri/corrector, widths: [8, 8]}, data: {select: pairs}}
  ddpm: {verb: fit, module: {name: mri/ddpm, timesteps: 50, unet: {widths: [8, 8], head_dim: 8, attn_resolutions: []}}}
  diffusion_test:
    {verb: test, module: {name: mri_diffusion/corrector, draws: 2, steps: 1}, data: {select: pairs}, weights: ddpm}
predict: {model: unet}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(EXPERIMENT)
    assert main(["fit", "--config", str(folder / "tiny.yaml"), f"runs_dir={folder / 'runs'}"]) == 0
    return next((folder / "runs").glob("tiny-*"))


def test_a_test_keeps_numbers_and_pictures_and_needs_no_weights_where_nothing_is_learnt(trained):
    artefact = run_artefact(trained, "none_test")
    table = artefact.table()
    assert len(table["psnr"]) == artefact.metrics["test/slices"]
    assert float(table["psnr"].mean()) == pytest.approx(artefact.metrics["test/psnr"], rel=0.05)
    assert [path.name for path in artefact.pictures()] == ["corrections.png"]


def scan(path: Path, *, dtype=np.int16, spacing=(8.0, 8.0, 8.0), slope=None, codes="PSR") -> Path:
    """A drawn head of 24 x 32 x 32 voxels, in another order than right, front, up."""
    values = draw_head([5], (24, 32, 32)).values * 900
    image = nib.Nifti1Image(np.rint(values).astype(dtype), np.diag([*spacing, 1.0]))
    turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(codes))
    image = image.as_reoriented(turn)
    if slope:
        image.header.set_slope_inter(slope, 3.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


def predict(run: Path, source: Path, output: Path, *more: str) -> int:
    return main(["predict", str(run), "--input", str(source), "--output", str(output), *more])


@pytest.mark.parametrize(("dtype", "slope"), [(np.int16, None), (np.uint8, 2.5), (np.float32, None)])
def test_without_correction_the_scan_comes_back_as_it_was(trained, tmp_path, dtype, slope):
    source = scan(tmp_path / "sub-1_T1w.nii.gz", dtype=dtype, slope=slope)
    assert predict(trained, source, tmp_path / "out", "--stage", "none_test") == 0
    before, after = nib.load(source), nib.load(tmp_path / "out" / "sub-1_T1w_corrected.nii.gz")
    assert np.array_equal(before.get_fdata(), after.get_fdata())
    assert np.array_equal(before.affine, after.affine)
    assert before.get_data_dtype() == after.get_data_dtype()
    assert nib.aff2axcodes(after.affine) == ("P", "S", "R")


def test_a_folder_with_a_model_that_draws(trained, tmp_path, capfd):
    scan(tmp_path / "in" / "a" / "one.nii.gz")
    scan(tmp_path / "in" / "two.nii")
    assert predict(trained, tmp_path / "in", tmp_path / "out", "--stage", "diffusion_test") == 0
    assert "2 scans, axial slices" in capfd.readouterr().out
    files = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    kinds = ("corrected.nii.gz", "spread.nii.gz", "corrected.png")
    assert files == {f"{name}_{kind}" for name in ("a/one", "two") for kind in kinds}
    before, after = (nib.load(path) for path in (tmp_path / "in/two.nii", tmp_path / "out/two_corrected.nii.gz"))
    assert not np.array_equal(before.get_fdata(), after.get_fdata())
    spread = nib.as_closest_canonical(nib.load(tmp_path / "out/two_spread.nii.gz"))
    assert spread.shape == (24, 32, 32)
    assert np.allclose(spread.affine, nib.as_closest_canonical(before).affine)
    assert 0 < spread.get_fdata().mean() < 900


def test_what_the_model_was_not_trained_for(trained, tmp_path, capfd):
    def refused(source: Path) -> str:
        assert predict(trained, source, tmp_path / "out") == 2
        error = capfd.readouterr().err.strip().splitlines()[-1]
        assert not (tmp_path / "out").exists()
        return error

    assert "is a T2w scan; this model was trained on T1w only" in refused(scan(tmp_path / "s_T2w.nii.gz"))
    assert "pixels of 4 mm; this model was trained on 8 mm" in refused(scan(tmp_path / "f.nii", spacing=(4, 4, 4)))
    assert "acquired as coronal slices; this model was trained on axial only" in refused(
        scan(tmp_path / "c.nii", spacing=(8, 30, 8))
    )
    large = nib.Nifti1Image(np.random.default_rng(0).random((48, 48, 8), dtype=np.float32), np.diag([8, 8, 8, 1.0]))
    nib.save(large, tmp_path / "large.nii")
    assert "slices of 48x48 pixels; this model was trained on 32x32" in refused(tmp_path / "large.nii")
    (tmp_path / "broken.nii.gz").write_bytes(b"no")
    assert "broken.nii.gz can't be read as NIfTI" in refused(tmp_path / "broken.nii.gz")
    assert "no such file or folder" in refused(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "neither NIfTI files (.nii, .nii.gz) nor DICOM series" in refused(tmp_path / "empty")


def test_one_bad_scan_of_a_folder_is_found_before_anything_is_written(trained, tmp_path):
    scan(tmp_path / "in" / "a.nii")
    (tmp_path / "in" / "b.nii").write_bytes(b"no")
    assert predict(trained, tmp_path / "in", tmp_path / "out") == 2
    assert not (tmp_path / "out").exists()


def test_the_modality_is_read_off_bids_names(tmp_path):
    for name in ("sub-1_ses-2_FLAIR.nii.gz", "sub-1_acq-x_T1w.nii", "head.nii"):
        (tmp_path / name).touch()
    assert [found.modality for found in find_scans(tmp_path)] == [None, "T1w", "FLAIR"]
