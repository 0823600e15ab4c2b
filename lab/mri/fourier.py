"""The centred Fourier transform between images and k-space."""

from __future__ import annotations

import torch
from torch import Tensor


def to_kspace(image: Tensor, dims: int = 2) -> Tensor:
    """k-space, complex (..., *spatial), of images over their last `dims` axes; the lowest frequency is at n // 2.

    Unitary: the sum of squared magnitudes is that of the image (Parseval).
    """
    axes = tuple(range(-dims, 0))
    moved = torch.fft.ifftshift(image, dim=axes)
    kspace: Tensor = torch.fft.fftshift(torch.fft.fftn(moved, dim=axes, norm="ortho"), dim=axes)
    return kspace


def to_image(kspace: Tensor, dims: int = 2) -> Tensor:
    """Complex images (..., *spatial): the inverse of `to_kspace`."""
    axes = tuple(range(-dims, 0))
    moved = torch.fft.ifftshift(kspace, dim=axes)
    image: Tensor = torch.fft.fftshift(torch.fft.ifftn(moved, dim=axes, norm="ortho"), dim=axes)
    return image


def linear_phase(shape: tuple[int, ...], shift: Tensor) -> Tensor:
    """What k-space is multiplied with when the image moves: exp(-2 pi i sum_d f_d s_d), complex64 (B, *shape).

    Args:
        shift: (B, D) in pixels, along each of the D axes of `shape`; positive is towards higher indices.
    """
    angle = torch.zeros((), device=shift.device)
    for axis, size in enumerate(shape):
        frequency = torch.fft.fftshift(torch.fft.fftfreq(size, device=shift.device))
        along = [-1 if other == axis else 1 for other in range(len(shape))]
        angle = angle + (shift[:, axis, None] * frequency).view(len(shift), *along)
    return torch.polar(torch.ones_like(angle), -2 * torch.pi * angle)
