"""The training objective: predict the noise or the velocity, sometimes without being told the class."""

from __future__ import annotations

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn

from lab.diffusion.unet import class_embedding


def noise_loss(
    model: nn.Module,
    scheduler: DDPMScheduler,
    x0: Tensor,
    t: Tensor,
    noise: Tensor,
    labels: Tensor,
    drop: Tensor | None = None,
    *,
    published_batch: int | None = None,
) -> Tensor:
    """Squared error of what the network predicts, a scalar: the noise (Ho et al. 2020, eq. 14), or with a scheduler for
    `v` the velocity sqrt(abar) noise - sqrt(1 - abar) x0 (Salimans and Ho 2022).

    Args:
        model: called as `model(x_t, t, class_labels=...).sample`.
        scheduler: of `noise_scheduler`.
        x0: images (B, C, H, W) in [-1, 1].
        t: time steps int64 (B,), in 0..T-1.
        noise: standard normal (B, C, H, W).
        labels: classes int64 (B,).
        drop: bool (B,), rows that are trained without their class.
        published_batch: rows of the global batch, for the loss of DDB's code: the sum over all elements divided by
            batch^2 in place of their mean. The mean over devices of what each returns is the loss of the global batch.
    """
    predicted: Tensor = model(scheduler.add_noise(x0, noise, t), t, class_labels=class_embedding(labels, drop)).sample
    velocity = scheduler.config["prediction_type"] == "v_prediction"
    target: Tensor = scheduler.get_velocity(x0, noise, t) if velocity else noise
    squared = (predicted - target).square()
    if published_batch is None:
        return squared.mean()
    return squared.sum() / (len(x0) * published_batch)


def drop_mask(rows: int, probability: float, generator: torch.Generator, *, whole_batch: bool = False) -> Tensor:
    """Which of `rows` rows lose their class: bool (rows,), each with `probability`; with `whole_batch` all or none."""
    draws = torch.rand(1 if whole_batch else rows, generator=generator, device=generator.device)
    return (draws < probability).expand(rows)
