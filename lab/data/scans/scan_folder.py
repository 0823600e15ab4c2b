"""One's own scans: a folder of NIfTI files or of DICOM series, read as clean scans."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.config.fields import option
from lab.data.base import Card
from lab.data.files import data_root
from lab.data.scans.dicom import find_series, read_series
from lab.data.scans.slices import SliceConfig, SlicedData
from lab.data.scans.volume import Volume
from lab.data.scans.volumes import Scan, SlicedVolumes, subject_of
from lab.errors import DataError

CARD = Card(
    name="scan_folder",
    title="a folder of scans",
    licence="your own",
    reference="none",
    layout=(
        "NIfTI files (.nii, .nii.gz) or DICOM series, in any folders; a subject is the sub- label of BIDS names, else "
        "the first folder, else the file. Files of one subject are never in two splits"
    ),
    sources=(),
    folder="scans",
)


@dataclass
class ScanFolderConfig(SliceConfig):
    """Where the scans are, besides the slices."""

    folder: str = option(CARD.folder, "folder below the root that holds them")
    pattern: str = option("*", "names of the files that are read, e.g. *_T1w.nii.gz")
    kind: str = option("T1w", "what the scanner was set to; a model trained on these refuses others")


class ScanFolder(SlicedVolumes):
    """All scans count as clean; motion is simulated where it is wanted."""

    card = CARD
    drawn_from = (*SlicedData.drawn_from, "folder")

    def __init__(self, config: ScanFolderConfig, cache: Path):
        self.modality = config.kind
        self._series: dict[str, list[Path]] = {}
        super().__init__(config, cache)

    @classmethod
    def locate(cls, config: ScanFolderConfig) -> Path:
        folder = data_root(config) / config.folder
        if not folder.is_dir():
            raise DataError(
                f"there is no folder {folder.absolute()}: name the one that holds it with data.root=, and its own name "
                "with data.folder=; to try the same experiment without, add data.stand_in=true"
            )
        return folder

    @classmethod
    def write_stand_in(cls, folder: Path, config: ScanFolderConfig, seed: int = 0) -> None:
        """Drawn heads, every other one stored with its voxels in another order."""
        from lab.data.scans.stand_ins import write_folder

        write_folder(folder / config.folder, config, seed)

    def find_scans(self) -> list[Scan]:
        files = sorted(str(path.relative_to(self.root)) for path in self.root.rglob(self.config.pattern))
        scans = [Scan(subject_of(file), file) for file in files if file.endswith((".nii", ".nii.gz"))]
        if scans:
            return scans
        for series in find_series(self.root).values():
            chosen = [path for path in series if path.match(self.config.pattern)]
            if chosen:
                first = str(chosen[0].relative_to(self.root))
                self._series[first] = chosen
                scans.append(Scan(subject_of(first), first))
        return scans

    def files(self) -> list[str]:
        slices = [str(path.relative_to(self.root)) for series in self._series.values() for path in series]
        return slices or super().files()

    def read(self, file: str) -> Volume:
        return read_series(self._series[file]) if file in self._series else super().read(file)
