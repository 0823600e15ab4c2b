"""The three further views that MoDAD shows of a flagged image. Pure torch, driven by given random numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

VIEW_UNIFORMS = 4
"""Random numbers in [0, 1) that a row needs: flip, first turn, second turn, contrast."""


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Each image (B, C, H, W) turned counter-clockwise by its angle (B,) about its centre, bilinear; zeros come in."""
    height, width = images.shape[-2:]
    angle = torch.deg2rad(degrees).to(images.dtype)
    cos, sin, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
    theta = torch.stack([cos, -sin * height / width, none, sin * width / height, cos, none], 1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def autocontrast(images: Tensor) -> Tensor:
    """Each channel of each image (B, C, H, W) stretched to [0, 1]; a constant one is only clamped to it."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    flat = high == low
    stretched = (images - torch.where(flat, 0.0, low)) / torch.where(flat, 1.0, high - low)
    return stretched.clamp(0, 1)


def zoom(images: Tensor) -> Tensor:
    """The middle half (in each direction) of each image (B, C, H, W), enlarged to the whole."""
    height, width = images.shape[-2:]
    rows, columns = max(1, height // 2), max(1, width // 2)
    top, left = (height - rows) // 2, (width - columns) // 2
    middle = images[..., top : top + rows, left : left + columns]
    return F.interpolate(middle, (height, width), mode="bilinear", align_corners=False)


def view(images: Tensor, uniforms: Tensor, kind: str, rotation: float) -> Tensor:
    """One view (B, C, H, W) of each image.

    Args:
        uniforms: (B, VIEW_UNIFORMS).
        kind: `flip_rotate`, upside down for half of the rows, then turned; `rotate_contrast`, turned, then
            `autocontrast` for half of the rows; `zoom`.
        rotation: largest turn in degrees.
    """

    def chosen(column: int, changed: Tensor, images: Tensor) -> Tensor:
        return torch.where((uniforms[:, column] < 0.5)[:, None, None, None], changed, images)

    if kind == "zoom":
        return zoom(images)
    if kind == "flip_rotate":
        return rotate(chosen(0, images.flip(-2), images), rotation * (2 * uniforms[:, 1] - 1))
    turned = rotate(images, rotation * (2 * uniforms[:, 2] - 1))
    return chosen(3, autocontrast(turned), turned)


def views(images: Tensor, uniforms: Tensor, kinds: Sequence[str], rotation: float) -> list[Tensor]:
    """A view of each kind; none of no images. See `view`."""
    if not len(images):
        return [images for _ in kinds]
    return [view(images, uniforms, kind, rotation) for kind in kinds]
