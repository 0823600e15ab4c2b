"""Small lesions drawn into a brain, to see whether a method that corrects images keeps them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

RADII = (3.0, 8.0)
"""mm (evaluation notes, section 3.5)."""
CONTRAST = (0.10, 0.30)
"""Share of the scale, brighter or darker (same place)."""
SOFT = 1.4
"""Times the radius, where nothing is left of the soft edge."""
LEAST_PIXELS = 1.5
"""Smallest radius in pixels: on coarse images a smaller one would be no more than noise."""


def draw_lesions(brain: Tensor, generators: Sequence[torch.Generator], spacing: Sequence[float] = (1.0, 1.0)) -> Tensor:
    """What to add to each image: an ellipse with a soft edge, float32 (B, 1, H, W), in a scale where white is 1.

    Its middle is a pixel of the brain that the whole ellipse fits around, as far as there is one. Rows with an empty
    brain are zero.

    Args:
        brain: bool (B, 1, H, W).
        generators: one a row; a row's lesion depends on its generator and brain alone.
        spacing: mm between rows and between columns.
    """
    height, width = brain.shape[-2:]
    y = torch.arange(height, device=brain.device).view(-1, 1)
    x = torch.arange(width, device=brain.device).view(1, -1)
    drawn = torch.zeros(brain.shape, device=brain.device)
    for row, generator in enumerate(generators):
        u = torch.rand(6, generator=generator, device=generator.device).tolist()
        inside = brain[row, 0]
        if not inside.any():
            continue
        radii = [max(RADII[0] + u[k] * (RADII[1] - RADII[0]), LEAST_PIXELS * max(spacing)) for k in (0, 1)]
        reach = math.ceil(SOFT * max(radii) / min(spacing))
        middle = _eroded(inside, reach).nonzero()
        middle = middle if len(middle) else inside.nonzero()
        centre = middle[min(int(u[2] * len(middle)), len(middle) - 1)].tolist()
        turn = math.pi * u[3]
        down, right = (y - centre[0]) * spacing[0], (x - centre[1]) * spacing[1]
        along = (math.cos(turn) * right + math.sin(turn) * down) / radii[0]
        across = (math.cos(turn) * down - math.sin(turn) * right) / radii[1]
        distance = (along.square() + across.square()).sqrt()
        contrast = (CONTRAST[0] + u[4] * (CONTRAST[1] - CONTRAST[0])) * (1 if u[5] < 0.5 else -1)
        drawn[row, 0] = contrast * torch.sigmoid((1 - distance) * 8)
    return drawn


def _eroded(mask: Tensor, reach: int) -> Tensor:
    """Pixels (H, W) whose square of side 2 reach + 1 lies in the mask."""
    outside = (~mask).float()[None, None]
    return torch.nn.functional.max_pool2d(outside, 2 * reach + 1, 1, reach)[0, 0] == 0
