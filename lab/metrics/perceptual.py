"""LPIPS, where the weights of its network are on this machine."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from lab.errors import UserError

WEIGHTS = "alexnet-owt-7be5be79.pth"
"""torchvision's file for AlexNet; the small linear layers on top come with torchmetrics."""


def lpips(prediction: Tensor, target: Tensor) -> Tensor:
    """Learned perceptual distance (B,), at least 0, 0 for equal images (Zhang et al. 2018; AlexNet).

    Args:
        prediction, target: (B, 1, H, W) in [0, 1], 32 pixels or more a side; grey becomes three equal channels. The
            network was trained on photographs.

    Raises:
        UserError: the weights of AlexNet are not on this machine; nothing is downloaded here.
    """
    from torchmetrics.functional.image.lpips import learned_perceptual_image_patch_similarity

    file = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS
    if not file.is_file():
        raise UserError(
            f"LPIPS needs AlexNet's weights: put https://download.pytorch.org/models/{WEIGHTS} into {file.parent}"
        )
    pairs = (image.clamp(0, 1).repeat(1, 3, 1, 1) for image in (prediction, target))
    rows = [
        learned_perceptual_image_patch_similarity(p[None], g[None], net_type="alex", normalize=True)
        for p, g in zip(*pairs, strict=True)
    ]
    return torch.stack(rows)
