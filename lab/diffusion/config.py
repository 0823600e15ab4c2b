"""Options of the conditional U-Net and of its noise. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lab.config.fields import option

SamplerName = Literal["ddpm", "ddim", "dpmpp_2m", "sde_dpmpp_2m"]
ScheduleName = Literal["linear", "cosine"]
Prediction = Literal["epsilon", "v"]


@dataclass
class UNetConfig:
    """Shape of the U-Net; what belongs to the data (channels, size, classes) comes from the data.

    The defaults make 1.1 M parameters at 3 channels, for small images. `PUBLISHED_UNET` is the paper's size.
    """

    widths: tuple[int, ...] = option((32, 64, 64), "channels per level, each level at half the size of the one before")
    layers_per_block: int = option(1, "residual blocks per level on the way down (one more on the way up)")
    attn_resolutions: tuple[int, ...] = option((16,), "heights of feature maps with self-attention; the middle has it")
    head_dim: int | None = option(32, "channels per attention head; null: a single head")
    dropout: float = option(0.0, "dropout probability in the residual blocks")

    def check(self) -> Iterator[tuple[str, str]]:
        if not self.widths or any(width < 4 or width % 4 for width in self.widths):
            yield "widths", f"needs at least one level, each a multiple of 4, is {tuple(self.widths)}"
        if self.layers_per_block < 1:
            yield "layers_per_block", f"must be at least 1, is {self.layers_per_block}"
        if self.head_dim is not None and (self.head_dim < 1 or any(width % self.head_dim for width in self.widths)):
            yield "head_dim", f"{self.head_dim} has to divide every one of widths, {tuple(self.widths)}"
        if not 0 <= self.dropout < 1:
            yield "dropout", f"must be in [0, 1), is {self.dropout}"


PUBLISHED_UNET = UNetConfig(widths=(128, 256, 256, 256), layers_per_block=2, head_dim=None, dropout=0.15)
"""DDB's size (base width 128, multipliers 1, 2, 2, 2; two residual blocks; dropout .15; a single attention head).

What differs from the authors' network: self-attention at 16 px (up and down) and in the middle, instead of after every
residual block on the way down, because at 64 px it has 4096 tokens and dominates memory and time. A fixed sinusoidal
time embedding instead of a trainable table; a 3x3 strided convolution down, and nearest neighbour with 3x3 up.
"""
