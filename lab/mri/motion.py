"""Motion during the acquisition: lines of k-space that come from the head in different poses.

The spectrum of the moved image replaces the image's own on the lines acquired in that pose (line mixing; DIMA notes
section 3.4, evaluation notes section 3.3; both papers' own simulators are unread). The centre of k-space always comes
from the reference pose: the image keeps its projection along the lines, and is not shifted as a whole, which PSNR and
SSIM would punish, and no reader. Of heavily moved images some are all the same, where most of what lies beside the
centre comes from one other pose: by the peak of the cross-correlation, a quarter of 256-pixel heads with 3-7 % central
lines, 5 % with 10-14 %. `MotionConfig.centre` says how wide it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lab.mri.config import MotionConfig
from lab.mri.fourier import to_image, to_kspace
from lab.mri.rigid import move


class Schedule(NamedTuple):
    """Which pose each line of k-space was acquired in, for B images or volumes of D spatial axes.

    lines: int64 (B, N), 0 for the reference pose, k for the k-th other one; N is the largest spatial size, a row of
        the table is filled as far as its phase axis is long.
    axis: int64 (B,), spatial axis that the lines follow each other along.
    degrees: (B, K, 1) of images, (B, K, 3) of volumes; pose k is entry k - 1. See `lab.mri.rigid.move`.
    shift: (B, K, D) in mm.
    """

    lines: Tensor
    axis: Tensor
    degrees: Tensor
    shift: Tensor

    def share(self, shape: Sequence[int]) -> Tensor:
        """Share (B,) of lines that aren't in the reference pose; `shape` is the spatial one."""
        sizes = torch.tensor(list(shape), device=self.axis.device)[self.axis]
        return (self.lines > 0).sum(1) / sizes


def simulate(
    image: Tensor, generators: Sequence[torch.Generator], config: MotionConfig, spacing: Sequence[float] = (1.0, 1.0)
) -> Tensor:
    """What a scanner would have shown, had the head moved: (B, 1, *spatial), in the units of `image`.

    Args:
        image: motion-free (B, 1, H, W), or volumes (B, 1, X, Y, Z); real.
        generators: one a row; a row's motion depends on its generator alone.
        spacing: mm between pixels along each spatial axis.

    Returns:
        Magnitudes for `line_mixing`; TorchIO's real part, which may be a little below 0, for `torchio`. May exceed the
        largest value of `image`. `none` gives the image itself.
    """
    if config.simulator == "none":
        return image
    if config.simulator == "torchio":
        from lab.mri.with_torchio import torchio_motion

        return torchio_motion(image, generators, config, spacing)
    schedule = draw_schedule(generators, tuple(image.shape[2:]), config, image.device)
    return mix_lines(image, schedule, spacing).abs()


def mix_lines(image: Tensor, schedule: Schedule, spacing: Sequence[float] = (1.0, 1.0)) -> Tensor:
    """Complex images (B, 1, *spatial) of an acquisition during which the head moved as `schedule` says."""
    dims, shape = image.ndim - 2, image.shape[2:]
    mixed = to_kspace(image, dims)
    poses = _pose_of_each_sample(schedule, tuple(shape)).unsqueeze(1)
    for pose in range(1, schedule.degrees.shape[1] + 1):
        rows = (schedule.lines == pose).any(1).nonzero().flatten()
        if len(rows):
            moved = move(image[rows], schedule.degrees[rows, pose - 1], schedule.shift[rows, pose - 1], spacing)
            mixed[rows] = torch.where(poses[rows] == pose, to_kspace(moved, dims), mixed[rows])
    return to_image(mixed, dims)


def _pose_of_each_sample(schedule: Schedule, shape: tuple[int, ...]) -> Tensor:
    """int64 (B, *shape), or with sizes of 1 where all samples agree."""
    poses = torch.zeros((len(schedule.axis), *[1] * len(shape)), dtype=torch.long, device=schedule.lines.device)
    for axis, size in enumerate(shape):
        along = [-1 if other == axis else 1 for other in range(len(shape))]
        rows = (schedule.axis == axis).long().view(-1, *[1] * len(shape))
        poses = poses + rows * schedule.lines[:, :size].reshape(len(schedule.axis), *along)
    return poses


def draw_schedule(
    generators: Sequence[torch.Generator],
    shape: tuple[int, ...],
    config: MotionConfig,
    device: torch.device | str = "cpu",
) -> Schedule:
    """A schedule for each generator, on `device`; `shape` is the spatial shape of the images.

    The share of moved lines is uniform over the counts of lines that `config.shares` allows, and is exact.

    Raises:
        ValueError: `config.phase_axis` isn't an axis of the image.
    """
    dims, most = len(shape), config.movements[1]
    if config.phase_axis is not None and config.phase_axis >= dims:
        raise ValueError(f"phase_axis {config.phase_axis}: the image has {dims} axes")
    lines = torch.zeros((len(generators), max(shape)), dtype=torch.long)
    axes = torch.zeros(len(generators), dtype=torch.long)
    degrees = torch.zeros((len(generators), most, 1 if dims == 2 else 3))
    shift = torch.zeros((len(generators), most, dims))
    for row, source in enumerate(generators):
        # One number leaves the device; the many small draws are made here.
        seed = torch.randint(2**62, (1,), generator=source, device=source.device).item()
        generator = torch.Generator().manual_seed(int(seed))
        axes[row] = _integer(0, dims - 1, generator) if config.phase_axis is None else config.phase_axis
        drawn = draw_lines(shape[int(axes[row])], config, generator)
        lines[row, : len(drawn)] = drawn
        degrees[row] = config.degrees * (2 * torch.rand(degrees.shape[1:], generator=generator) - 1)
        shift[row] = config.shift * (2 * torch.rand(shift.shape[1:], generator=generator) - 1)
    return Schedule(lines.to(device), axes.to(device), degrees.to(device), shift.to(device))


def draw_lines(size: int, config: MotionConfig, generator: torch.Generator) -> Tensor:
    """Pose int64 (size,) of each line: 0 is the reference, which the middle of k-space has."""
    low, high = config.shares
    central = max(1, _integer(round(config.centre[0] * size), round(config.centre[1] * size), generator))
    fewest, most = -int(-low * size // 1), int(high * size)
    count = min(_integer(min(fewest, most), most, generator), size - central)
    start = size // 2 - central // 2
    outside = torch.cat([torch.arange(start), torch.arange(start + central, size)])
    poses = torch.zeros(size, dtype=torch.long)
    if count == 0:
        return poses
    movements = min(_integer(*config.movements, generator), count)
    if config.schedule == "random":
        chosen = outside[torch.randperm(len(outside), generator=generator)[:count]]
        poses[chosen] = torch.randint(1, movements + 1, (count,), generator=generator)
        return poses
    parts = _parts(count, movements, generator)
    if config.schedule == "steps":
        before = _integer(max(0, count - (len(outside) - start)), min(count, start), generator)
        chosen = torch.cat([outside[:before], outside[len(outside) - (count - before) :]])
    else:
        still = len(outside) - count
        gaps = torch.randint(still + 1, (movements,), generator=generator).sort().values
        chosen = outside[torch.arange(count) + gaps.repeat_interleave(parts)]
    poses[chosen] = torch.arange(1, movements + 1).repeat_interleave(parts)
    return poses


def _parts(total: int, parts: int, generator: torch.Generator) -> Tensor:
    """Sizes (parts,), each at least 1, that sum to `total`; all divisions are equally likely."""
    cuts = torch.randperm(total - 1, generator=generator)[: parts - 1].sort().values + 1
    ends = torch.cat([torch.tensor([0]), cuts, torch.tensor([total])])
    return ends.diff()


def _integer(low: int, high: int, generator: torch.Generator) -> int:
    return int(torch.randint(low, high + 1, (1,), generator=generator))
