"""TorchIO's RandomMotion (Shaw et al. 2019) as a second simulator, through the library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lab.errors import UserError
from lab.mri.config import MotionConfig


def torchio_motion(
    image: Tensor, generators: Sequence[torch.Generator], config: MotionConfig, spacing: Sequence[float] = (1.0, 1.0)
) -> Tensor:
    """Moved images (B, 1, *spatial) on the device of `image`; see `lab.mri.motion.simulate`.

    TorchIO draws the angles, shifts and times (`config.degrees`, `shift`, `movements`); segments run along the last
    axis, or `config.phase_axis`. Of images only the motion in their plane is used. Computed on the CPU, row by row.

    Raises:
        UserError: TorchIO is not installed.
    """
    rows = [
        _row(row[0].detach().cpu().float(), generator, config, tuple(spacing))
        for row, generator in zip(image, generators, strict=True)
    ]
    return torch.stack(rows).unsqueeze(1).to(image.device)


def _row(image: Tensor, generator: torch.Generator, config: MotionConfig, spacing: tuple[float, ...]) -> Tensor:
    tio = _torchio()
    seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device).item())
    drawn = torch.Generator().manual_seed(seed)
    movements = int(torch.randint(config.movements[0], config.movements[1] + 1, (1,), generator=drawn))
    axis = config.phase_axis
    if axis is None:
        axis = int(torch.randint(image.ndim, (1,), generator=drawn))
    # TorchIO draws from torch's global generator: it gets a seed of its own, and the state back afterwards.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random = tio.RandomMotion(degrees=config.degrees, translation=config.shift, num_transforms=movements)
        times, degrees, shift = random.get_params(
            random.degrees_range, random.translation_range, movements, is_2d=False
        )
        if image.ndim == 2:  # the plane is that of the last two of three axes
            degrees[:, 1:], shift[:, 0] = 0, 0
        return apply_torchio(image, degrees, shift, times, axis, spacing)


def apply_torchio(
    image: Tensor, degrees: np.ndarray, shift: np.ndarray, times: np.ndarray, axis: int, spacing: Sequence[float]
) -> Tensor:
    """TorchIO's `Motion` with given movements on one image (H, W) or volume (X, Y, Z).

    degrees, shift: (movements, 3), about and along three axes, of which an image has the last two; times: (movements,)
        in (0, 1), increasing. `axis`: spatial axis that the segments run along.
    """
    tio = _torchio()
    # TorchIO cuts k-space along the last of three axes; with a slice's one voxel there, nothing would be mixed.
    last = image.movedim(axis, -1)
    volume = last if image.ndim == 3 else last.unsqueeze(0)
    along = axis + 3 - image.ndim
    order = [*(place for place in range(3) if place != along), along]
    spaces = [[1.0, *spacing][-3:][place] for place in order]
    affine = np.diag([*spaces, 1.0])
    # It also turns about the origin of the world, whatever centre it computes: the origin has to be in the middle.
    affine[:3, 3] = [-space * (size - 1) / 2 for space, size in zip(spaces, volume.shape, strict=True)]
    scan = tio.ScalarImage(tensor=volume.unsqueeze(0).contiguous(), affine=affine)
    motion = tio.transforms.augmentation.intensity.random_motion.Motion(
        degrees=degrees[:, order], translation=shift[:, order], times=times, image_interpolation="linear"
    )
    moved = motion(tio.Subject(scan=scan))["scan"].data[0]
    return moved.reshape(last.shape).movedim(-1, axis)  # type: ignore[no-any-return]


def _torchio() -> Any:
    try:
        import torchio
    except ImportError:
        raise UserError("simulator torchio needs TorchIO: pip install 'lab[mri]', or take line_mixing") from None
    return torchio
