"""Shift, rotation and scaling of images and of places in them, together, driven by given random numbers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

UNIFORMS = 5
"""Random numbers in [0, 1) that a row needs: whether at all, shift in x and y, rotation, scale."""


def random_affine(
    uniforms: Tensor, side: int, *, shift: float, degrees: float, scale: float, probability: float
) -> Tensor:
    """Maps (B, 2, 3) from places (x, y, 1) in an image to where they are moved, in pixels whose centres are whole.

    With `probability` a row is turned by up to `degrees` and scaled by up to 1 ± `scale` about the image's middle, and
    shifted by up to `shift` of its side along each axis, all uniformly; other rows stay.

    Args:
        uniforms: (B, UNIFORMS), in [0, 1).
        side: of the square images.
    """
    acts = (uniforms[:, 0] < probability).to(uniforms.dtype)
    signed = (2 * uniforms[:, 1:] - 1) * acts[:, None]
    move = signed[:, :2] * shift * side
    angle = torch.deg2rad(signed[:, 2] * degrees)
    factor = 1 + signed[:, 3] * scale
    cos, sin = factor * torch.cos(angle), factor * torch.sin(angle)
    linear = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    middle = torch.full_like(move, (side - 1) / 2)
    offset = middle + move - (linear @ middle[..., None])[..., 0]
    return torch.cat([linear, offset[..., None]], -1)


def move_points(points: Tensor, maps: Tensor) -> Tensor:
    """Places (B, L, 2) after the maps (B, 2, 3); NaN stays NaN."""
    return points @ maps[:, :, :2].transpose(1, 2) + maps[:, None, :, 2]


def warp(images: Tensor, maps: Tensor) -> Tensor:
    """Images (B, C, side, side) after the maps (B, 2, 3): bilinear, what comes in from outside repeats the border."""
    side = images.shape[-1]
    inverse = torch.linalg.inv(maps[:, :, :2])
    back = -(inverse @ maps[:, :, 2:])
    # grid_sample's places go from -1 to 1 between the outer edges of the border pixels: u = (2 x + 1) / side - 1.
    middle = (side - 1) / 2
    offset = (back + middle * inverse.sum(-1, keepdim=True) - middle) * (2 / side)
    grid = F.affine_grid(torch.cat([inverse, offset], -1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
