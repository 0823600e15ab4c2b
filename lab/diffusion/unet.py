"""A class-conditional `UNet2DModel` that predicts the noise.

Embedding 0 is the null class (no condition); class k of the data is embedding k + 1, as in DDB's code.
"""

from __future__ import annotations

from math import gcd

import torch
from diffusers import UNet2DModel
from torch import Tensor

from lab.diffusion.config import UNetConfig

NULL_CLASS = 0


def build_unet(config: UNetConfig, *, channels: int, size: tuple[int, int], classes: int) -> UNet2DModel:
    """A U-Net for images (B, channels, *size) and `classes` classes, with random weights.

    Called as `model(x, t, class_labels=class_embedding(labels)).sample`; input and output (B, channels, *size).

    Raises:
        ValueError: when the image can't be halved once per level after the first.
    """
    height, width = size
    levels = len(config.widths)
    if height % 2 ** (levels - 1) or width % 2 ** (levels - 1):
        raise ValueError(
            f"images of {height}x{width} can't be halved {levels - 1} times (unet.widths has {levels} levels); "
            f"use a size that is a multiple of {2 ** (levels - 1)}, or fewer levels"
        )
    attends = [height >> level in config.attn_resolutions for level in range(levels)]
    return UNet2DModel(
        sample_size=(height, width),
        in_channels=channels,
        out_channels=channels,
        block_out_channels=tuple(config.widths),
        layers_per_block=config.layers_per_block,
        down_block_types=tuple("AttnDownBlock2D" if attend else "DownBlock2D" for attend in attends),
        up_block_types=tuple("AttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)),
        attention_head_dim=config.head_dim,
        norm_num_groups=norm_groups(config.widths),
        dropout=config.dropout,
        num_class_embeds=classes + 1,
    )


def norm_groups(widths: tuple[int, ...]) -> int:
    """Groups of the GroupNorms: 32 as usual, fewer in narrow networks, so that a group has at least 4 channels.

    A group of one channel would be instance norm, which removes the mean of every channel and with it an image's hue.
    """
    return min(32, gcd(*widths) // 4)


def class_embedding(labels: Tensor, drop: Tensor | None = None) -> Tensor:
    """Index (B,) into the class embedding: `labels + 1`, and `NULL_CLASS` where `drop` (bool (B,)) is set."""
    index = labels + 1
    return index if drop is None else torch.where(drop, NULL_CLASS, index)
