"""MR-ART (Narai et al. 2022): 148 heads, each scanned still, with slight and with strong motion; scored by readers."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lab.config.fields import option
from lab.data.base import Card, Source
from lab.data.files import absent, data_root
from lab.data.scans.slices import SliceConfig
from lab.data.scans.volumes import Scan, SlicedVolumes
from lab.errors import DataError

STILL, MOVED = "standard", ("headmotion1", "headmotion2")
SCORE_TABLES = ("scores.tsv", "derivatives/scores.tsv")
SUFFIX = "_T1w"

CARD = Card(
    name="mr_art",
    title="MR-ART",
    licence="CC0",
    reference="Narai et al., Movement-related artefacts (MR-ART) dataset, Scientific Data 2022; OpenNeuro ds004173",
    layout=(
        "BIDS: sub-NNNNNN/anat/sub-NNNNNN_acq-{standard,headmotion1,headmotion2}_T1w.nii.gz, and the readers' scores "
        "(1 good, 2 medium, 3 bad) as sub-NNNNNN/sub-NNNNNN_scans.tsv (filename, score) or [derivatives/]scores.tsv "
        "(bids_name, score); 148 + 141 + 147 volumes of 192 x 256 x 256 mm"
    ),
    sources=(
        Source(
            "https://openneuro.org/datasets/ds004173",
            {},
            manual=True,
            note="aws s3 sync --no-sign-request s3://openneuro.org/ds004173 mr_art, or its Download page; 7 GB",
        ),
    ),
    folder="mr_art",
)


@dataclass
class MrArtConfig(SliceConfig):
    """Which scans count as clean and as affected, besides the slices."""

    clean_scores: tuple[int, ...] = option((1,), "scores of a `standard` scan that counts as clean (ours)")
    affected_scores: tuple[int, ...] = option((2, 3), "scores of a `headmotion` scan that counts as affected (ours)")
    levels: tuple[str, ...] = option(MOVED, "acquisitions that affected scans are taken from")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        for name in ("clean_scores", "affected_scores"):
            if not set(getattr(self, name)) <= {1, 2, 3} or not getattr(self, name):
                yield name, f"has to be of 1, 2, 3, is {list(getattr(self, name))}"
        if not set(self.levels) <= set(MOVED) or not self.levels:
            yield "levels", f"has to be of {', '.join(MOVED)}, is {list(self.levels)}"


class MrArt(SlicedVolumes):
    """Clean: `standard` scans with a score in `clean_scores`. Affected: those of `levels` with one of the others.

    By acquisition alone, 29 scans that a reader found fault with would be clean, and 10 that are good affected. Scans
    that are neither are left aside.

    Raises:
        DataError: the folder is absent, a table is damaged, or a scan has no score.
    """

    card = CARD

    @classmethod
    def locate(cls, config: MrArtConfig) -> Path:
        folders = (*CARD.looked_in(data_root(config)), data_root(config) / "ds004173")
        for folder in folders:
            if next(folder.glob("sub-*/anat/*_acq-*_T1w.nii*"), None) is not None:
                return folder
        raise absent(CARD, f"sub-*/anat/*_acq-{STILL}_T1w.nii.gz", folders)

    @classmethod
    def write_stand_in(cls, folder: Path, config: MrArtConfig, seed: int = 0) -> None:
        """Drawn heads, each still and with two strengths of motion of the whole volume, in another place each time."""
        from lab.data.scans.stand_ins import write_mr_art

        write_mr_art(folder / CARD.folder, config, seed)

    def find_scans(self) -> list[Scan]:
        config, scores = self.config, read_scores(self.root)
        scans = []
        for path in sorted(self.root.glob("sub-*/anat/*_acq-*_T1w.nii*")):
            name = path.name.partition(".")[0]
            subject, acquisition = name.partition("_")[0], name.partition("_acq-")[2].removesuffix(SUFFIX)
            if acquisition not in (STILL, *MOVED):
                continue
            if name not in scores:
                raise DataError(f"{self.root}: scan {name} has no score; get the tables of the data set again")
            clean = acquisition == STILL and scores[name] in config.clean_scores
            if clean or (acquisition in config.levels and scores[name] in config.affected_scores):
                lesion = self.root / "derivatives" / "lesions" / subject / f"{subject}_mask.nii.gz"
                marked = str(lesion.relative_to(self.root)) if clean and lesion.is_file() else None
                scans.append(Scan(subject, str(path.relative_to(self.root)), not clean, marked))
        return scans


def read_scores(root: Path) -> dict[str, int]:
    """Score of each scan by its BIDS name (`sub-000103_acq-standard_T1w`), from whichever tables are there.

    Raises:
        DataError: there is none, or a value is none of 1, 2, 3; with file and line.
    """
    tables = [root / name for name in SCORE_TABLES if (root / name).is_file()]
    tables = tables[:1] or sorted(root.glob("sub-*/sub-*_scans.tsv"))
    if not tables:
        raise DataError(f"{root} has no scores: looked for {', '.join(SCORE_TABLES)} and sub-*/sub-*_scans.tsv")
    scores: dict[str, int] = {}
    for path in tables:
        key = "filename" if path.name.endswith("_scans.tsv") else "bids_name"
        for line, row in enumerate(read_table(path, (key, "score")), start=2):
            if row["score"] not in ("1", "2", "3"):
                raise DataError(f"{path} line {line}: score is '{row['score']}'; it has to be 1, 2 or 3")
            scores[PurePosixPath(row[key]).name.partition(".")[0]] = int(row["score"])
    return scores


def read_quality(path: Path) -> dict[str, dict[str, float]]:
    """MRIQC's table (`derivatives/mriqc-*/group_T1w.tsv`): BIDS name -> measure -> value, such as `efc` and `cjv`.

    Raises:
        DataError: it can't be read, or a value is no number.
    """
    found = {}
    for line, row in enumerate(read_table(path, ("bids_name", "efc", "cjv")), start=2):
        try:
            found[row["bids_name"]] = {name: float(value) for name, value in row.items() if name != "bids_name"}
        except ValueError as error:
            raise DataError(f"{path} line {line}: {error}") from error
    return found


def read_table(path: Path, columns: tuple[str, ...]) -> list[Mapping[str, str]]:
    """Rows of a table separated by tabs. Raises DataError when it can't be read or lacks one of `columns`."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, delimiter="\t", restval="")
            present = reader.fieldnames or []
            missing = [name for name in columns if name not in present]
            if missing:
                raise DataError(f"{path} has no column {', '.join(missing)}; it has: {', '.join(present) or 'nothing'}")
            return [{name: value for name, value in row.items() if name is not None} for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a table in UTF-8 ({error})") from error
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}") from error
