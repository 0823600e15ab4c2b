"""Slices of scans: which subjects, which slices, with which twin; cached, and the same each time."""

from __future__ import annotations

import shutil

import nibabel
import numpy as np
import pytest

from lab.data.scans.mr_art import MrArt, MrArtConfig
from lab.data.scans.slice_set import BRAIN, LESION, STEPS, levels
from lab.data.scans.slices import SPLITS, divided
from lab.data.scans.volume import PLANES, intensity_range, normalised, on_canvas, read_volume, to_slices
from lab.data.scans.volumes import subject_of
from lab.errors import DataError


def subjects(data, split) -> set[str]:
    return set(data.split(split).subject_names)


def test_no_subject_is_in_two_splits(opened):
    data = opened()
    found = [subjects(data, split) for split in SPLITS]
    assert all(found) and len(set.union(*found)) == sum(map(len, found))
    other = opened(split_seed=1)
    assert [subjects(other, split) for split in SPLITS] != found


@pytest.mark.parametrize("motion", ["real", "simulated"])
def test_no_subject_is_in_both_the_clean_and_the_affected_set(opened, simulated, motion):
    """In any split: a subject of A in the validation set of C would leak as well."""
    options = {"motion": simulated} if motion == "simulated" else {}
    clean, affected = opened(select="clean", **options), opened(select="affected", **options)
    ours, theirs = ({s for split in SPLITS for s in subjects(data, split)} for data in (clean, affected))
    assert ours and theirs and not ours & theirs
    for split in SPLITS:
        assert len(clean.split(split)) and len(affected.split(split))
        assert set(clean.split(split).labels) == {0} and set(affected.split(split).labels) == {1}


def test_without_unpaired_all_training_subjects_give_clean_slices(opened):
    everyone = opened(unpaired=False)
    assert subjects(everyone, "train") > subjects(opened(), "train")
    affected = opened(unpaired=False, select="affected")
    assert subjects(affected, "train") & subjects(everyone, "train")


def test_who_has_scans_of_one_kind_only_gives_those(opened):
    data = opened(clean_scores=(1,))
    lacking = [s for s in data.subjects() if not data.has(s, False)]
    assert lacking  # the stand-in has a standard scan with score 2
    assert set(lacking) <= data.gives_affected


def test_slices_are_those_of_the_file(opened):
    data = opened(planes=("coronal",), unpaired=False)
    rows = data.split("train")
    row = len(rows) // 2
    file, plane, number = rows.names[row].split(" ")
    volume = read_volume(data.root / file)
    values = normalised(volume.values, *intensity_range(volume, (0.5, 99.5)))
    expected = on_canvas(to_slices(values, "coronal")[[int(number)]], 48)[0]
    assert plane == "coronal" and int(number) == rows.numbers[row]
    assert np.abs(rows.images[row] / STEPS - expected).max() <= 0.5 / STEPS + 1e-7
    assert rows.targets is rows.images
    assert rows.subject_names[rows.subjects[row]] == file.split("/")[0]
    assert rows.spacing[row] == pytest.approx([256 / 48] * 2)
    assert PLANES[rows.planes[row]] == "coronal"


def test_slices_have_enough_brain(opened):
    rows = opened(min_brain=0.2, unpaired=False).split("train")
    inside = rows.masks > 0
    assert inside[:, :, 6:42].mean(axis=(1, 2)).min() > 0.2  # of 36 columns; the canvas has 48
    fewer = opened(min_brain=0.2, unpaired=False, central=0.5, every=2).split("train")
    assert len(fewer) == pytest.approx(len(rows) / 4, rel=0.2)
    assert set(fewer.names) <= set(rows.names)
    with pytest.raises(DataError, match="no clean axial slices with more than 90% brain") as error:
        opened(min_brain=0.9).split("train")
    assert "\n" not in str(error.value)


def test_lesions_are_marked(opened):
    rows = opened(unpaired=False).split("train")
    assert set(np.unique(rows.masks)) <= {0, BRAIN, LESION}
    assert (rows.masks == LESION).any()


def test_real_pairs_are_registered_and_of_one_scale(opened, mr_art):
    data = opened(select="pairs", splits=("test",))
    rows = data.split("test")
    assert len(rows) and set(rows.labels) == {1} and len(data.split("train")) == 0
    assert {name.split("acq-")[1].split("_")[0] for name in rows.names} == {"headmotion1", "headmotion2"}
    inside = rows.masks > 0
    image, target = rows.images[inside] / STEPS, rows.targets[inside] / STEPS
    assert np.corrcoef(image, target)[0, 1] > 0.75
    assert abs(image.mean() - target.mean()) < 0.02
    file, _, number = rows.names[0].split(" ")
    raw = read_volume(data.root / file)
    unregistered = on_canvas(to_slices(normalised(raw.values, *intensity_range(raw, (0.5, 99.5))), "axial"), 48)
    target, mask = rows.targets[0] / STEPS, rows.masks[0] > 0
    ours = np.abs(rows.images[0] / STEPS - target)[mask].mean()
    assert ours < np.abs(unregistered[int(number)] - target)[mask].mean()
    assert data.remarks() == []


def test_the_scale_of_an_affected_scan_does_not_matter(opened, mr_art, tmp_path):
    copy = shutil.copytree(mr_art, tmp_path / "copy")
    for path in copy.rglob("*headmotion*_T1w.nii.gz"):
        scan = nibabel.load(path)
        nibabel.save(nibabel.Nifti1Image(3 * np.asarray(scan.dataobj), scan.affine), path)
    options = {"select": "pairs", "splits": ("val",)}
    ours, theirs = opened(**options).split("val"), opened(root=str(copy), **options).split("val")
    assert np.abs(ours.images / STEPS - theirs.images / STEPS).max() < 0.01


def test_bad_pairs_are_left_out_and_named(opened, cache, monkeypatch, tmp_path):
    monkeypatch.setattr(MrArt, "least_similarity", 0.9999)
    data = opened(select="pairs", splits=("val",))
    data.cache = tmp_path
    with pytest.raises(DataError, match="no pairs axial slices"):
        data.split("val")
    found = data.slices_of(data.members("val")[0])
    assert not found.blocks and "was left out: not well aligned" in found.remarks[0]


def test_simulated_pairs_have_the_clean_slice_as_target(opened, simulated):
    pairs = opened(select="pairs", motion=simulated).split("test")
    clean = opened(unpaired=False).split("test")
    assert pairs.names == clean.names
    assert (pairs.targets == clean.images).all()
    error = np.abs(pairs.images / STEPS - pairs.targets / STEPS).mean(axis=(1, 2))
    assert error.min() > 1e-3
    affected = opened(select="affected", unpaired=False, motion=simulated).split("test")
    assert (affected.images == pairs.images).all()  # a slice keeps the motion it was given
    assert affected.targets is affected.images  # and its twin is not at hand
    other = opened(select="pairs", motion=simulated, motion_seed=1).split("test")
    assert (other.images != pairs.images).any()


def test_motion_of_the_whole_volume(opened, simulated):
    flat = opened(select="pairs", motion=simulated, splits=("val",)).split("val")
    deep = opened(select="pairs", motion=simulated, through_plane=True, splits=("val",)).split("val")
    assert (deep.targets == flat.targets).all() and (deep.images != flat.images).any()


def test_slices_are_cut_once(opened, monkeypatch):
    first = opened(planes=("sagittal", "axial"), splits=("val",)).split("val")
    monkeypatch.setattr("lab.data.scans.volumes.read_volume", lambda *_: pytest.fail("read again"))
    again = opened(planes=("sagittal", "axial"), splits=("val",)).split("val")
    assert (again.images == first.images).all() and again.names == first.names
    assert isinstance(again.images, np.memmap) and not again.images.flags.writeable
    assert set(again.planes) == {0, 2}


def test_options_and_files_are_in_the_fingerprint(opened):
    prints = [opened(**o).fingerprint() for o in ({}, {}, {"every": 2}, {"select": "affected"}, {"motion_seed": 3})]
    assert prints[0] == prints[1] and len(set(prints)) == 4


def test_a_full_disk_leaves_nothing(opened, tmp_path, monkeypatch):
    data = opened(splits=("val",))
    data.cache = tmp_path

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lab.data.scans.slice_set.os.fsync", full)
    monkeypatch.setattr(type(data), "fingerprint", lambda self: "x")
    with pytest.raises(DataError, match="No space left on device; nothing was kept"):
        data.split("val")
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def test_shares_of_the_subjects():
    names = [f"{number:03d}" for number in range(148)]
    splits = divided(names, 0.08, 0.24, 0)
    counts = {split: list(splits.values()).count(split) for split in SPLITS}
    assert counts == {"train": 100, "val": 12, "test": 36}
    assert divided(names, 0.08, 0.24, 0) == splits != divided(names, 0.08, 0.24, 1)
    assert list(divided(names[:8], 0.01, 0, 0).values()).count("val") == 2


def test_too_few_subjects(opened):
    data = opened(val_fraction=0.5, test_fraction=0.49)
    with pytest.raises(DataError, match="has 8 subjects, too few for the splits"):
        data.split("train")


def test_grey_levels():
    assert levels(np.array([-0.2, 0.0, 0.5, 1.0, 1.7])).tolist() == [0, 0, 32768, 65535, 65535]


@pytest.mark.parametrize(
    ("file", "subject"),
    [
        ("sub-01/anat/sub-01_T1w.nii.gz", "sub-01"),
        ("scans/sub-07_ses-1_T1w.nii", "sub-07"),
        ("sub-3.nii.gz", "sub-3"),
        ("patient 4/series/0001.dcm", "patient 4"),
        ("alone.nii.gz", "alone"),
    ],
)
def test_the_subject_of_a_file(file, subject):
    assert subject_of(file) == subject


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"planes": ()}, "planes"),
        ({"planes": ("axial", "axial")}, "planes"),
        ({"image_size": 60}, "image_size"),
        ({"percentiles": (99.0, 1.0)}, "percentiles"),
        ({"val_fraction": 0.6, "test_fraction": 0.5}, "test_fraction"),
        ({"through_plane": True}, "through_plane"),
        ({"affected_share": 1.0}, "affected_share"),
        ({"select": "both", "unpaired": False}, "unpaired"),
        ({"splits": ()}, "splits"),
        ({"clean_scores": (4,)}, "clean_scores"),
        ({"levels": ("standard",)}, "levels"),
    ],
)
def test_options_that_make_no_sense(options, field):
    assert [name for name, _ in MrArtConfig(**options).check()] == [field]
