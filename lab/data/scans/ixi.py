"""IXI: about 580 healthy heads from three London hospitals. Clean scans only: motion has to be simulated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lab.config.fields import option
from lab.data.base import Card, Source
from lab.data.files import absent, data_root
from lab.data.scans.slices import SliceConfig, SlicedData
from lab.data.scans.volumes import Scan, SlicedVolumes

SITES = ("Guys", "HH", "IOP")
NAME = re.compile(r"(IXI\d{3})-(Guys|HH|IOP)-\d{4}-(T1|T2|PD)\.nii(\.gz)?")

CARD = Card(
    name="ixi",
    title="IXI",
    licence="CC BY-SA 3.0",
    reference="brain-development.org/ixi-dataset",
    layout="T1/IXI002-Guys-0828-T1.nii.gz and so on, about 581 volumes; T2 likewise",
    sources=tuple(
        Source(
            "http://biomedic.doc.ic.ac.uk/brain-development/downloads/IXI/",
            {f"IXI-{contrast}.tar": None},
            part=contrast,
            unpack=True,
            note="4 GB; no published hash",
        )
        for contrast in ("T1", "T2")
    ),
    folder="ixi",
)


@dataclass
class IxiConfig(SliceConfig):
    """Which scans are read, besides the slices."""

    contrast: Literal["T1", "T2"] = option("T1", "T1 or T2")
    sites: tuple[str, ...] = option(SITES, "Guys (1.5 T), HH (3 T), IOP (1.5 T); their scanners differ")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if not set(self.sites) <= set(SITES) or not self.sites:
            yield "sites", f"has to be of {', '.join(SITES)}, is {list(self.sites)}"


class Ixi(SlicedVolumes):
    """One scan a subject."""

    card = CARD
    drawn_from = (*SlicedData.drawn_from, "contrast")

    def __init__(self, config: IxiConfig, cache: Path):
        self.modality = f"{config.contrast}w"
        super().__init__(config, cache)

    @classmethod
    def locate(cls, config: IxiConfig) -> Path:
        root, contrast = data_root(config), config.contrast
        folders = (root / CARD.folder / contrast, root / CARD.folder, root / f"IXI-{contrast}", root)
        for folder in folders:
            if next(folder.glob(f"IXI*-{contrast}.nii*"), None) is not None:
                return folder
        raise absent(CARD, f"IXI*-{contrast}.nii.gz", folders, part=contrast)

    @classmethod
    def write_stand_in(cls, folder: Path, config: IxiConfig, seed: int = 0) -> None:
        """Drawn heads whose voxels lie in another order, at other distances, than MR-ART's."""
        from lab.data.scans.stand_ins import write_ixi

        write_ixi(folder / CARD.folder / config.contrast, config, config.contrast, seed)

    def find_scans(self) -> list[Scan]:
        found = []
        for path in sorted(self.root.glob(f"IXI*-{self.config.contrast}.nii*")):
            match = NAME.fullmatch(path.name)
            if match and match.group(2) in self.config.sites:
                found.append(Scan(match.group(1), path.name))
        return found
