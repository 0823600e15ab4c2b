"""Where the head is in a slice."""

from __future__ import annotations

from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur_image


def head_mask(image: Tensor, threshold: float = 0.1) -> Tensor:
    """The head, bool (B, 1, H, W): what is bright, and what lies between bright pixels left and right of it.

    Bright is more than `threshold` times the image's 99th percentile, after a little smoothing against noise and thin
    ghosts. An image without anything bright has an empty mask.

    image: (B, 1, H, W), at least 0.
    """
    smooth = gaussian_blur_image(image, kernel_size=[5, 5], sigma=[1.0, 1.0])
    pixels = smooth.flatten(1)
    level = pixels.kthvalue(max(1, int(0.99 * pixels.shape[1])), dim=1).values.view(-1, 1, 1, 1)
    bright = (smooth > threshold * level) & (level > 0)
    return _between(bright, -1)


def _between(mask: Tensor, axis: int) -> Tensor:
    """Pixels with a set one before and one behind them along an axis, or set themselves."""
    counts = mask.int()
    before = counts.cumsum(axis)
    behind = before[..., -1:] if axis == -1 else before[..., -1:, :]
    return (before > 0) & (behind - before + counts > 0)


def bounding_box(mask: Tensor) -> Tensor:
    """The smallest upright rectangle around each mask: bool, shape of `mask` (B, 1, H, W)."""
    rows, columns = mask.any(-1, keepdim=True), mask.any(-2, keepdim=True)
    return _between(rows, -2) & _between(columns, -1)
