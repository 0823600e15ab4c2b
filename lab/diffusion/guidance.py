"""Classifier-free guidance (Ho and Salimans 2022) in one forward pass."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from lab.diffusion.unet import NULL_CLASS, class_embedding


def guided_noise(model: nn.Module, x: Tensor, t: Tensor, labels: Tensor, guidance_scale: float) -> Tensor:
    """Predicted noise (B, C, H, W): `eps_null + s (eps_cond - eps_null)` with s = `guidance_scale`.

    s = 1 is no guidance (the conditional prediction), s = 0 ignores the classes; both compute that half alone, all else
    runs as one batch of 2 B. DDB writes `(1 + w) eps_cond - w eps_null`: **s = 1 + w**, its w = 1 is s = 2 here.

    Args:
        model: called as `model(x, t, class_labels=...).sample`.
        x: noisy images (B, C, H, W).
        t: time steps int64 (B,).
        labels: classes of the data int64 (B,), in 0..classes-1.
    """
    conditional, null = class_embedding(labels), torch.full_like(labels, NULL_CLASS)
    if guidance_scale in (0, 1):
        return cast(Tensor, model(x, t, class_labels=conditional if guidance_scale == 1 else null).sample)
    both = model(torch.cat([x, x]), torch.cat([t, t]), class_labels=torch.cat([null, conditional])).sample
    eps_null, eps_conditional = both.chunk(2)
    return torch.lerp(eps_null, eps_conditional, guidance_scale)
