"""MR-ART: the layout, the rule for clean and affected, and its tables, also the real ones where they are."""

from __future__ import annotations

import shutil
from collections import Counter

import nibabel
import numpy as np
import pytest

from lab import env
from lab.data.scans.mr_art import CARD, MrArt, MrArtConfig, read_quality, read_scores
from lab.errors import DataError


@pytest.fixture
def copy(mr_art, tmp_path):
    return shutil.copytree(mr_art / CARD.folder, tmp_path / "data" / CARD.folder)


def scans(folder, **options) -> list[tuple[str, bool]]:
    data = MrArt(MrArtConfig(root=str(folder.parent), **options), folder.parent / "cache")
    return [(scan.file.split("acq-")[1].split("_")[0], scan.affected) for scan in data.scans]


def test_the_stand_in_is_bids(mr_art):
    root = mr_art / CARD.folder
    subjects = sorted(path.name for path in root.glob("sub-*"))
    assert len(subjects) == 8 and all(len(name) == len("sub-000103") for name in subjects)
    image = nibabel.load(root / subjects[0] / "anat" / f"{subjects[0]}_acq-headmotion1_T1w.nii.gz")
    assert image.shape == (36, 48, 48) and image.get_data_dtype() == np.int16
    assert (root / "participants.tsv").read_text().startswith("participant_id\tsex\tage\n")
    assert Counter(read_scores(root).values()) == {1: 7, 2: 9, 3: 8}


def test_what_counts_as_clean_and_as_affected(copy):
    assert Counter(scans(copy)) == {("standard", False): 7, ("headmotion1", True): 8, ("headmotion2", True): 8}
    assert Counter(scans(copy, clean_scores=(1, 2)))["standard", False] == 8
    assert Counter(scans(copy, affected_scores=(3,)))["headmotion1", True] == 0
    assert Counter(scans(copy, levels=("headmotion1",)))["headmotion2", True] == 0


def test_one_table_for_all_does_as_well(copy):
    scores = read_scores(copy)
    lines = ["bids_name\tscore", *(f"{name}\t{score}" for name, score in scores.items())]
    for table in copy.glob("sub-*/*_scans.tsv"):
        table.unlink()
    with pytest.raises(DataError, match=r"has no scores: looked for scores\.tsv"):
        read_scores(copy)
    (copy / "derivatives" / "scores.tsv").write_text("\n".join(lines))
    assert read_scores(copy) == scores


def test_a_score_that_is_missing_or_wrong(copy):
    table = sorted(copy.glob("sub-*/*_scans.tsv"))[0]
    text = table.read_text()
    table.write_text(text.replace("\t3", "\t7"))
    with pytest.raises(DataError, match="line 4: score is '7'; it has to be 1, 2 or 3"):
        scans(copy)
    table.write_text("\n".join(text.splitlines()[:-1]))
    with pytest.raises(DataError, match="headmotion2_T1w has no score"):
        scans(copy)
    table.write_text(text.replace("filename", "file"))
    with pytest.raises(DataError, match="has no column filename; it has: file, score"):
        scans(copy)


def test_a_damaged_scan_is_one_line(copy):
    path = sorted(copy.glob("sub-*/anat/*standard*"))[0]
    path.write_bytes(path.read_bytes()[:2000])
    data = MrArt(MrArtConfig(root=str(copy.parent), image_size=48, unpaired=False), copy.parent / "cache")
    with pytest.raises(DataError, match="cut short") as error:
        for split in ("train", "val", "test"):
            data.split(split)
    assert path.name in str(error.value) and "\n" not in str(error.value)


def test_nothing_found_says_where_and_how(tmp_path):
    with pytest.raises(DataError) as error:
        MrArt.locate(MrArtConfig(root=str(tmp_path)))
    for part in ("lab data get mr_art", "CC0", "--profile smoke", str(tmp_path / "mr_art"), "ds004173"):
        assert part in str(error.value)


def test_the_real_tables():
    folder = env.DATA.path() / "brain" / "mr_art_tables"
    if not folder.is_dir():
        pytest.skip("MR-ART's tables are not here (LAB_DATA/brain/mr_art_tables)")
    scores = read_scores(folder)
    found = Counter((name.split("acq-")[1].split("_")[0], score) for name, score in scores.items())
    assert [[found[a, s] for s in (1, 2, 3)] for a in ("standard", "headmotion1", "headmotion2")] == [
        [119, 28, 1],
        [7, 59, 75],
        [3, 22, 122],
    ]
    quality = read_quality(folder / "group_T1w.tsv")
    assert quality.keys() == scores.keys()
    focus = [np.mean([row["efc"] for name, row in quality.items() if scores[name] == s]) for s in (1, 2, 3)]
    assert focus == sorted(focus)
