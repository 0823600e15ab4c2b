"""Slices of volumes: what MR-ART, IXI, fastMRI and folders of scans have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lab.data.files import digest
from lab.data.scans.registration import kept_alignment, resample
from lab.data.scans.simulated import moved
from lab.data.scans.slice_set import BRAIN, LESION, Block, Found, levels
from lab.data.scans.slices import SlicedData
from lab.data.scans.volume import (
    PLANES,
    Plane,
    Volume,
    check_plane,
    intensity_range,
    normalised,
    on_canvas,
    pixel_spacing,
    read_volume,
    to_slices,
)
from lab.errors import DataError
from lab.stages.seeds import derive


@dataclass(frozen=True)
class Scan:
    """One volume of a data set.

    file: relative to the root. lesion: mask of marked lesions, relative to the root, or None.
    """

    subject: str
    file: str
    affected: bool = False
    lesion: str | None = None


class SlicedVolumes(SlicedData):
    """Base of the data sets of volumes. See `SlicedData`.

    Raises:
        DataError: there is no scan that the options let through.
    """

    least_similarity = 0.6
    """Correlation within the head below which two scans of a subject are taken to be badly aligned."""

    def __init__(self, config: Any, cache: Path):
        super().__init__(config, cache)
        self.scans = self.find_scans()
        if not self.scans:
            raise DataError(f"{self.card.title} in {self.root} has no scan that fits; looked for {self.card.layout}")

    def find_scans(self) -> list[Scan]:
        """The scans that may be used, in an order that never changes."""
        raise NotImplementedError

    def read(self, file: str) -> Volume:
        """A volume by its name relative to the root."""
        return read_volume(self.root / file)

    def files(self) -> list[str]:
        return [*(scan.file for scan in self.scans), *(scan.lesion for scan in self.scans if scan.lesion)]

    @cached_property
    def _of(self) -> Mapping[str, list[Scan]]:
        found: dict[str, list[Scan]] = {}
        for scan in self.scans:
            found.setdefault(scan.subject, []).append(scan)
        return found

    def subjects(self) -> list[str]:
        return sorted(self._of)

    @property
    def simulates(self) -> bool:
        return bool(self.config.motion.simulator != "none")

    def has(self, subject: str, affected: bool) -> bool:
        return any(scan.affected == (affected and not self.simulates) for scan in self._of[subject])

    def slices_of(self, subject: str) -> Found:
        scans = self._of[subject]
        clean = [scan for scan in scans if not scan.affected]
        found = Found()
        if self.config.select == "clean" or self.simulates:
            for scan in clean:
                found.blocks += self._one(scan)
        elif self.config.select == "affected":
            for scan in scans:
                if scan.affected:
                    found.blocks += self._one(scan)
        elif clean:
            for scan in scans:
                if scan.affected:
                    self._pair(clean[0], scan, found)
        return found

    def _one(self, scan: Scan) -> Iterator[Block]:
        """Slices of one scan, with simulated motion where that is asked for."""
        volume = self.read(scan.file)
        values = normalised(volume.values, *intensity_range(volume, self.config.percentiles))
        masks = self._masks(scan, values, volume)
        if self.config.select == "clean" or not self.simulates:
            yield from self._cut(scan, volume, values, None, masks, scan.affected)
            return
        image: np.ndarray | None = None
        if self.config.through_plane:
            seed = derive(self.config.motion_seed, scan.file)
            image = moved(values[None], [seed], self.config.motion, volume.spacing)[0]
        yield from self._cut(scan, volume, values, image, masks, True)

    def _pair(self, clean: Scan, affected: Scan, found: Found) -> None:
        """Slices of an affected scan that was laid on the clean one, whose percentiles and brain hold for both."""
        still, other = self.read(clean.file), self.read(affected.file)
        path = self.cache / "registrations" / f"{digest([self._content, clean.file, affected.file])}.json"
        alignment = kept_alignment(path, still, other)
        doubt = alignment.doubt(self.least_similarity)
        if doubt:
            found.remarks.append(f"{affected.file} was left out: not well aligned with {clean.file} ({doubt})")
            return
        values = resample(other, still, alignment)
        masks = self._masks(clean, still.values, still)
        inside = masks > 0
        if inside.any():
            # No two scans have one scale. A fitted line would also take contrast away, the more the more they differ.
            values *= still.values[inside].mean() / values[inside].mean()
        low, high = intensity_range(still, self.config.percentiles)
        target, image = normalised(still.values, low, high), normalised(values, low, high)
        found.blocks += self._cut(affected, still, target, image, masks, True)

    def _masks(self, scan: Scan, values: np.ndarray, volume: Volume) -> np.ndarray:
        """uint8 (X, Y, Z): brain, and lesions where there is a file of them."""
        from lab.data.scans.brain import brain_mask  # SciPy, which listing data sets should not wait for

        masks = np.where(brain_mask(values, volume.spacing), np.uint8(BRAIN), np.uint8(0))
        if scan.lesion is not None:
            lesion = self.read(scan.lesion)
            if lesion.values.shape != values.shape:
                raise DataError(f"{lesion.name} has another shape than {volume.name}, whose lesions it marks")
            masks[lesion.values > 0] = LESION
        return masks

    def _cut(
        self,
        scan: Scan,
        volume: Volume,
        target: np.ndarray,
        image: np.ndarray | None,
        masks: np.ndarray,
        affected: bool,
    ) -> Iterator[Block]:
        """The chosen slices of all planes. `image` is the affected volume; None: it is `target`, or simulated of it."""
        config = self.config
        for plane in config.planes:
            check_plane(volume, plane)
            numbers = self._chosen(masks, plane)
            spacing = pixel_spacing(volume.spacing, plane)
            targets = on_canvas(to_slices(target, plane)[numbers], config.image_size)
            if image is not None:
                images = on_canvas(to_slices(image, plane)[numbers], config.image_size)
            elif affected and self.simulates and len(numbers):
                seeds = [derive(config.motion_seed, scan.file, plane, number) for number in numbers.tolist()]
                images = moved(targets, seeds, config.motion, spacing)
            else:
                images = targets
            yield Block(
                images=levels(images),
                targets=levels(targets),
                masks=on_canvas(to_slices(masks, plane)[numbers], config.image_size),
                numbers=numbers,
                plane=PLANES.index(plane),
                spacing=spacing,
                subject=scan.subject,
                affected=affected,
                name=scan.file,
            )

    def _chosen(self, masks: np.ndarray, plane: Plane) -> np.ndarray:
        """Numbers of the slices with enough brain, the central ones of them, every so many."""
        config = self.config
        share = (to_slices(masks, plane) > 0).mean(axis=(1, 2))
        numbers = np.flatnonzero(share > config.min_brain)
        left_out = round(len(numbers) * (1 - config.central) / 2)
        return numbers[left_out : len(numbers) - left_out : config.every]


def subject_of(name: str) -> str:
    """The subject a file belongs to: the `sub-` label of BIDS, else its folder, else its name without ending."""
    path = Path(name)
    for part in path.parts:
        if part.startswith("sub-"):
            return part.partition("_")[0].removesuffix(".gz").removesuffix(".nii")
    return path.parts[0] if len(path.parts) > 1 else path.name.partition(".")[0]
