"""Rigid motion of images and volumes that loses nothing: every step is a unitary map, so energy is kept.

A rotation is three shears (Unser, Thevenaz and Yaroslavsky 1995; Eddy et al. 1996), each a shift of every line by
band-limited interpolation. Bicubic or linear resampling would blur the moved copies, which a network could learn in
place of the motion. The price: the image is periodic, what leaves on one side comes back on the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lab.mri.fourier import linear_phase, to_image, to_kspace


def move(image: Tensor, degrees: Tensor, shift: Tensor, spacing: Sequence[float] = (1.0, 1.0)) -> Tensor:
    """Images after a rotation about the middle of the field of view, and a shift after it. Complex (B, C, *spatial).

    Args:
        image: real or complex (B, C, H, W), or volumes (B, C, X, Y, Z).
        degrees: (B, 1) of images, positive from the last axis towards the one before (as `torch.rot90`); of volumes
            (B, 3), about each axis: first about the last one, then the middle one, then the first.
        shift: (B, 2) or (B, 3) in mm along the spatial axes; positive is towards higher indices.
        spacing: mm between pixels along each spatial axis.
    """
    dims = image.ndim - 2
    if degrees.shape[1:] != (1 if dims == 2 else 3,) or shift.shape[1:] != (dims,) or len(spacing) != dims:
        raise ValueError(
            f"{dims} spatial axes need {1 if dims == 2 else 3} angles, {dims} shifts and {dims} spacings, not "
            f"{tuple(degrees.shape[1:])}, {tuple(shift.shape[1:])} and {len(spacing)}"
        )
    if dims == 2:
        image = rotate(image, degrees[:, 0], spacing=spacing)
    else:
        for about, axes in ((2, (-3, -2)), (1, (-3, -1)), (0, (-2, -1))):
            within = (spacing[axes[0]], spacing[axes[1]])
            image = rotate(image, degrees[:, about], axes=axes, spacing=within)
    return translate(image, shift / torch.tensor(spacing, device=shift.device))


def translate(image: Tensor, shift: Tensor) -> Tensor:
    """Images (B, C, *spatial) moved by `shift` (B, D) pixels: a linear phase in k-space. Complex."""
    dims = image.ndim - 2
    phase = linear_phase(tuple(image.shape[2:]), shift)
    return to_image(to_kspace(image, dims) * phase.unsqueeze(1), dims)


def rotate(
    image: Tensor, degrees: Tensor, *, axes: tuple[int, int] = (-2, -1), spacing: Sequence[float] = (1.0, 1.0)
) -> Tensor:
    """Images (B, C, *spatial) turned by `degrees` (B,) in the plane of two axes, about its middle. Complex.

    Positive angles turn from the second axis of `axes` towards the first, as `torch.rot90(image, 1, axes)` does, and
    90 degrees give exactly that. `spacing`: mm between pixels along the two axes.

    Raises:
        ValueError: beyond 45 degrees, for an image that isn't square.
    """
    first, second = axes
    quarters = torch.round(degrees / 90).long()
    if quarters.any():
        if image.shape[first] != image.shape[second] or spacing[0] != spacing[1]:
            raise ValueError("rotations beyond 45 degrees need as many pixels of the same spacing along both axes")
        turned = [torch.rot90(row, int(k) % 4, dims=axes) for row, k in zip(image, quarters, strict=True)]
        image = torch.stack(turned)
    angle = torch.deg2rad(degrees - 90 * quarters).to(torch.float64)
    ratio = spacing[0] / spacing[1]
    sideways, upwards = torch.tan(angle / 2) * ratio, -torch.sin(angle) / ratio
    image = shear(image, sideways, second, first)
    image = shear(image, upwards, first, second)
    return shear(image, sideways, second, first)


def shear(image: Tensor, slope: Tensor, axis: int, by: int) -> Tensor:
    """Images (B, C, *spatial) whose lines along `axis` are shifted by `slope` (B,) times their place along `by`.

    Pixels; the line in the middle, at (n - 1) / 2, stays. Complex.
    """
    frequency = torch.fft.fftfreq(image.shape[axis], device=image.device, dtype=torch.float64)
    size = image.shape[by]
    place = torch.arange(size, device=image.device, dtype=torch.float64) - (size - 1) / 2
    ones = [1] * (image.ndim - 1)
    frequency = frequency.view(*_along(axis, image.ndim))
    place = place.view(*_along(by, image.ndim))
    # In double precision: the phase of far lines is many turns, of which single precision keeps too little.
    phase = -2 * torch.pi * frequency * place * slope.view(-1, *ones)
    turned = torch.polar(torch.ones_like(phase), phase).to(torch.complex128 if _double(image) else torch.complex64)
    sheared: Tensor = torch.fft.ifft(torch.fft.fft(image, dim=axis) * turned, dim=axis)
    return sheared


def _along(axis: int, ndim: int) -> list[int]:
    return [-1 if place == axis % ndim else 1 for place in range(ndim)]


def _double(image: Tensor) -> bool:
    return image.dtype in (torch.float64, torch.complex128)
