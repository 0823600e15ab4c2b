"""A residual U-Net from image to image (Ronneberger et al. 2015; Zhang et al. 2017 for what it predicts)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d


class ResidualUNet(nn.Module):
    """What it adds to its input: images (B, channels, H, W) of any range to images of the same shape.

    Starts as the identity: its last layer is zero. Two 3 x 3 convolutions with group norm and SiLU at each level,
    maximum pooling down, nearest neighbour and a 1 x 1 convolution up, features concatenated across.

    Args:
        widths: channels per level, each level at half the size of the one before.

    Raises:
        ValueError: no level, or a width that isn't a multiple of 4.
    """

    def __init__(self, widths: tuple[int, ...], channels: int = 1):
        super().__init__()
        if not widths or any(width < 4 or width % 4 for width in widths):
            raise ValueError(f"widths need at least one level, each a multiple of 4, are {widths}")
        inputs = (channels, *widths[:-1])
        self.down = nn.ModuleList(_convolutions(i, o) for i, o in zip(inputs, widths, strict=True))
        pairs = list(zip(widths[1:], widths[:-1], strict=True))[::-1]
        self.shrink = nn.ModuleList(nn.Conv2d(wide, narrow, 1) for wide, narrow in pairs)
        self.up = nn.ModuleList(_convolutions(2 * narrow, narrow) for _, narrow in pairs)
        self.last = nn.Conv2d(widths[0], channels, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        """Raises ValueError for a size that can't be halved once per level after the first."""
        if any(side % 2 ** (len(self.down) - 1) for side in image.shape[-2:]):
            raise ValueError(
                f"images of {image.shape[-2]}x{image.shape[-1]} can't be halved {len(self.down) - 1} times; take a "
                f"multiple of {2 ** (len(self.down) - 1)}, or fewer widths"
            )
        features: list[Tensor] = []
        x = image
        for place, block in enumerate(self.down):
            x = block(max_pool2d(x, 2) if place else x)
            features.append(x)
        features.pop()
        for shrink, block in zip(self.shrink, self.up, strict=True):
            enlarged = interpolate(shrink(x), scale_factor=2.0, mode="nearest")
            x = block(torch.cat([enlarged, features.pop()], dim=1))
        added: Tensor = self.last(x)
        return image + added


def _convolutions(inputs: int, outputs: int) -> nn.Sequential:
    groups = max(1, min(32, outputs // 4))
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.GroupNorm(groups, outputs),
        nn.SiLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.GroupNorm(groups, outputs),
        nn.SiLU(),
    )
