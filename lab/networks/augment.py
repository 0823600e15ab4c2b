"""Augmentation of a batch where it lies, driven by given random numbers: a row's result depends on its own alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

UNIFORMS = 3
"""Random numbers in [0, 1) that a row needs: flip, vertical and horizontal position of the crop."""


def flip(images: Tensor, uniforms: Tensor) -> Tensor:
    """Mirror left to right the rows whose first number is below 0.5. images (B, C, H, W); uniforms (B, UNIFORMS)."""
    return torch.where((uniforms[:, 0] < 0.5)[:, None, None, None], images.flip(-1), images)


def crop(images: Tensor, uniforms: Tensor, padding: int) -> Tensor:
    """Shift each row by up to `padding` pixels each way, black coming in: a random crop of the padded image.

    images (B, C, H, W); uniforms (B, UNIFORMS), of which the second and third place the crop.
    """
    height, width = images.shape[-2:]
    top, left = (uniforms[:, 1:3] * (2 * padding + 1)).long().unbind(1)
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = left[:, None] + torch.arange(width, device=images.device)
    batch = torch.arange(len(images), device=images.device)
    padded = F.pad(images, [padding] * 4)
    cut = padded[batch[:, None, None], :, rows[:, :, None], columns[:, None, :]]  # (B, H, W, C)
    return cut.permute(0, 3, 1, 2).contiguous()


def augment(images: Tensor, uniforms: Tensor, kind: str, padding: int) -> Tensor:
    """`kind`: none, flip, crop, or crop_flip for both."""
    if "crop" in kind:
        images = crop(images, uniforms, padding)
    if "flip" in kind:
        images = flip(images, uniforms)
    return images
