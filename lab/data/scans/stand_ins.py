"""Drawn heads written as each data set of brain scans is published. NumPy, nibabel, h5py; motion through lab.mri."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from lab.data.scans.phantoms import FIELD, Head, draw_head
from lab.data.scans.volume import PLANES, nib, on_canvas, to_slices
from lab.errors import UserError
from lab.mri.config import MotionConfig

if TYPE_CHECKING:
    from lab.data.scans.slices import SliceConfig

Shape = tuple[int, int, int]
SCALE = 1000
"""Stored number of the brightest tissue."""
AWAY = (2.0, 2.0)
"""Degrees and mm by which a head lies elsewhere in the next scan, either way."""
ACQUISITIONS = {
    "standard": None,
    "headmotion1": MotionConfig("line_mixing", share=(0.10, 0.25), movements=(1, 3)),
    "headmotion2": MotionConfig("line_mixing", share=(0.30, 0.50), movements=(3, 5)),
}


def write_mr_art(root: Path, config: SliceConfig, seed: int) -> None:
    """Three scans of each head; a reader would give the still one a 2 in one of six, as he did with the real ones."""
    rng = np.random.default_rng([seed, 11])
    root.mkdir(parents=True)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "drawn heads", "BIDSVersion": "1.2.1"}))
    people = ["participant_id\tsex\tage"]
    for number in range(config.stand_in_subjects):
        subject = f"sub-{100000 + 37 * number:06d}"
        head = draw(config, [seed, number], lesions=int(number % 3 == 0))
        people.append(f"{subject}\t{'FM'[number % 2]}\t{rng.uniform(18, 75):.2f}")
        lines = ["filename\tscore"]
        for place, (acquisition, motion) in enumerate(ACQUISITIONS.items()):
            values, score = head.values, 1 + place
            if motion is None and number % 6 == 5:
                motion, score = MotionConfig("line_mixing", severity="minor", movements=(1, 2)), 2
            if motion is not None:
                values = _rescanned(values, motion, elsewhere=place > 0, seed=int(rng.integers(2**31)))
            file = f"anat/{subject}_acq-{acquisition}_T1w.nii.gz"
            save(root / subject / file, values * rng.uniform(0.9, 1.1), _spacing(head.values.shape))
            lines.append(f"{file}\t{score}")
        (root / subject / f"{subject}_scans.tsv").write_text("\n".join(lines) + "\n")
        if head.lesion.any():
            file = f"derivatives/lesions/{subject}/{subject}_mask.nii.gz"
            save(root / file, head.lesion / SCALE, _spacing(head.lesion.shape))
    (root / "participants.tsv").write_text("\n".join(people) + "\n")


def write_ixi(root: Path, config: SliceConfig, contrast: str, seed: int) -> None:
    """One still scan a head, from three sites; voxels go to the back, up and to the right, as there."""
    for number in range(config.stand_in_subjects):
        site = ("Guys", "HH", "IOP")[number % 3]
        values = draw(config, [seed, 1000 + number]).values
        if contrast == "T2":
            values = np.where(values > 0.05, 1.1 - values, values)
        name = f"IXI{2 + number:03d}-{site}-{700 + number:04d}-{contrast}.nii.gz"
        save(root / name, values, _spacing(values.shape), codes="PSR")


def write_folder(root: Path, config: SliceConfig, seed: int) -> None:
    """One still scan a head; the order of voxels changes from file to file."""
    for number in range(config.stand_in_subjects):
        head = draw(config, [seed, 2000 + number])
        path = root / f"sub-{number + 1:02d}" / "anat" / f"sub-{number + 1:02d}_T1w.nii.gz"
        save(path, head.values, _spacing(head.values.shape), codes=("RAS", "LPS", "PSR")[number % 3])


def write_fastmri(root: Path, config: SliceConfig, contrast: str, seed: int) -> None:
    """Slices 5 mm apart of each head, the k-space of four coils, and the image made of it."""
    try:
        import h5py
    except ImportError:
        raise UserError("fastMRI files need h5py: pip install 'lab[mri]'") from None
    root.mkdir(parents=True)
    size = config.stand_in_size
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size * 2 - 1
    corners = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    coils = np.stack([np.exp(-((y - a) ** 2 + (x - b) ** 2) / 4 + 0.5j * (a * x - b * y)) for a, b in corners])
    space = f"<x>{size}</x><y>{size}</y><z>1</z>", f"<x>{FIELD[1]}</x><y>{FIELD[1]}</y><z>5.0</z>"
    header = (
        "<ismrmrdHeader><encoding><reconSpace>"
        f"<matrixSize>{space[0]}</matrixSize><fieldOfView_mm>{space[1]}</fieldOfView_mm>"
        "</reconSpace></encoding></ismrmrdHeader>"
    )
    for number in range(config.stand_in_subjects):
        head = draw(config, [seed, 3000 + number])
        up = np.arange(0.5 * size, 0.85 * size, max(1, 5 * size / FIELD[2])).astype(int)
        slices = on_canvas(to_slices(head.values, "axial"), size)[up]
        images = slices[:, None] * coils
        kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(images, axes=(-2, -1)), norm="ortho"), axes=(-2, -1))
        with h5py.File(root / f"file_brain_{contrast}_{201 + number % 3}_{6002700 + number}.h5", "w") as file:
            file["kspace"] = kspace.astype(np.complex64)
            file["reconstruction_rss"] = np.sqrt((np.abs(images) ** 2).sum(axis=1)).astype(np.float32)
            file["ismrmrd_header"] = header
            file.attrs["acquisition"] = contrast


def write_slices(root: Path, config: SliceConfig, kinds: Sequence[str], seed: int) -> None:
    """Nine pictures of each head, three a plane; every fourth head, and one of each kind, is for testing."""
    for number in range(max(config.stand_in_subjects, 2 * len(kinds))):
        kind = kinds[number % len(kinds)]
        head = draw(config, [seed, 4000 + number], lesions=int(kind != "notumor"))
        part, mark = ("testing", "Te") if number // len(kinds) % 4 == 1 else ("training", "Tr")
        for place, plane in enumerate(PLANES):
            slices = on_canvas(to_slices(head.values, plane), config.stand_in_size)
            count = len(slices)
            lesion = to_slices(head.lesion, plane).any(axis=(1, 2))
            middle = int(np.flatnonzero(lesion).mean()) if lesion.any() else int(0.6 * count)
            for step in range(3):
                pixels = slices[min(middle + step - 1, count - 1)]
                path = root / part / kind / f"{mark}-{kind[:2]}_{10 * number + 3 * place + step:04d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.clip(pixels / 1.1 * 255, 0, 255).astype(np.uint8)).save(path)


def draw(config: SliceConfig, seed: list[int], lesions: int = 0) -> Head:
    return draw_head(seed, config.stand_in_shape, lesions=lesions, fine=config.stand_in_fine)


def _rescanned(values: np.ndarray, motion: MotionConfig, *, elsewhere: bool, seed: int) -> np.ndarray:
    """Another scan of a head: in another place, if asked for, and moving."""
    import torch

    from lab.mri.motion import simulate
    from lab.mri.rigid import move

    generator = torch.Generator().manual_seed(seed)
    volume = torch.from_numpy(np.ascontiguousarray(values))[None, None]
    spacing = _spacing(values.shape)
    if elsewhere:
        turn, shift = ((2 * torch.rand(1, 3, generator=generator) - 1) * most for most in AWAY)
        volume = move(volume, turn, shift, spacing).abs()
    return np.asarray(simulate(volume, [generator], motion, spacing)[0, 0].numpy())


def _spacing(shape: Sequence[int]) -> tuple[float, ...]:
    return tuple(field / n for field, n in zip(FIELD, shape, strict=True))


def save(path: Path, values: np.ndarray, spacing: Sequence[float], codes: str = "RAS") -> None:
    """Write a volume (right, front, up) as int16 NIfTI, its voxels in the order that `codes` says."""
    nibabel = nib()
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [-space * (n - 1) / 2 for space, n in zip(spacing, values.shape, strict=True)]
    numbers = np.clip(np.rint(values * SCALE), 0, 32767).astype(np.int16)
    wanted = nibabel.orientations.axcodes2ornt(codes)
    turn = nibabel.orientations.ornt_transform(nibabel.io_orientation(np.eye(4)), wanted)
    affine = affine @ nibabel.orientations.inv_ornt_aff(turn, values.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(nibabel.apply_orientation(numbers, turn), affine), path)
