"""Autofocus: undo motion without a reference, by the poses that make an image sharpest (Atkinson et al. 1997).

From a magnitude image alone, as most archives hold them: its spectrum is cut into segments of lines, and each is taken
from the image in another pose, such that the entropy of the gradient becomes small. Where the phase was kept and the
segments are the true ones that undoes shifts exactly; without phase, and for rotations, only nearly.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lab.metrics.artifacts import gradient_entropy
from lab.mri.fourier import to_image, to_kspace
from lab.mri.rigid import move


def autofocus(
    image: Tensor, *, segments: int = 8, strides: Sequence[float] = (2.0, 1.0, 0.5), centre: float = 0.1
) -> tuple[Tensor, Tensor]:
    """Sharpened images (B, 1, H, W), and by how much the gradient entropy (B,) fell, at least 0.

    Both phase axes are tried; the better one is kept, or the image itself where neither helps.

    Args:
        image: (B, 1, H, W), at least 0.
        segments: of equal numbers of lines, besides the central one, which keeps its pose.
        strides: pixels and degrees by which segments are moved, either way, wherever that makes the entropy smaller:
            first all of them together, then halves, quarters, and each alone.
        centre: share of the lines in the middle that stay.
    """
    before = gradient_entropy(image)
    best, lowest = image, before
    for axis in (0, 1):
        found, entropy = _along(image, axis, segments, strides, centre)
        better = entropy < lowest
        best = torch.where(better.view(-1, 1, 1, 1), found, best)
        lowest = torch.where(better, entropy, lowest)
    return best, before - lowest


def _along(image: Tensor, axis: int, segments: int, strides: Sequence[float], centre: float) -> tuple[Tensor, Tensor]:
    """The sharpest image found with lines along one axis, and its gradient entropy."""
    lines = _segments(image.shape[2 + axis], segments, centre).to(image.device)
    lines = lines.view(-1, 1) if axis == 0 else lines.view(1, -1)
    kspace, lowest = to_kspace(image), gradient_entropy(image)
    poses = torch.zeros(len(image), segments, 3, device=image.device)
    for parts in (1, 2, 4, segments) if segments > 4 else range(1, segments + 1):
        for group in torch.arange(segments).tensor_split(parts):
            for stride in strides:
                for parameter in range(3):
                    for step in (-stride, stride):
                        pose, trial = poses.clone(), kspace
                        pose[:, group, parameter] += step
                        for segment in group.tolist():
                            moved = to_kspace(move(image, pose[:, segment, :1], pose[:, segment, 1:]))
                            trial = torch.where(lines == segment + 1, moved, trial)
                        entropy = gradient_entropy(to_image(trial).abs())
                        better = (entropy < lowest).view(-1, 1, 1, 1)
                        kspace, lowest = torch.where(better, trial, kspace), torch.minimum(lowest, entropy)
                        poses = torch.where(better[:, 0], pose, poses)
    return to_image(kspace).abs(), lowest


def _segments(size: int, segments: int, centre: float) -> Tensor:
    """Number int64 (size,) of the segment that each line belongs to; 0 is the centre."""
    central = max(1, round(centre * size))
    start = size // 2 - central // 2
    numbers = torch.zeros(size, dtype=torch.long)
    outside = torch.cat([torch.arange(start), torch.arange(start + central, size)])
    numbers[outside] = 1 + torch.arange(len(outside)) * segments // len(outside)
    return numbers
