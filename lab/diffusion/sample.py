"""From noise to images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor, nn

from lab.diffusion.config import Prediction
from lab.diffusion.guidance import guided_noise
from lab.diffusion.schedules import Scheduler


@torch.no_grad()
def sample(
    model: nn.Module,
    labels: Tensor,
    *,
    scheduler: Scheduler,
    guidance_scale: float,
    shape: tuple[int, int, int],
    generators: Sequence[torch.Generator],
    clip: bool = True,
    prediction: Prediction = "epsilon",
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Images (B, *shape) in [-1, 1], one for each of `labels`.

    All noise of row i, the initial one and ancestral sampling's, comes from `generators[i]`: an image depends on its
    own generator and class, never on the batch or the rank it was made in. Under `torch.autocast` only the network runs
    in the lower precision.

    Args:
        model: network in eval mode, called as `model(x, t, class_labels=...).sample`.
        labels: classes int64 (B,), on the model's device.
        scheduler: of `build_sampler`, with the noise that the network was trained with.
        guidance_scale: as in `guided_noise`; 1 is none.
        shape: (C, H, W).
        generators: B of them.
        clip: keep the denoised image in [-1, 1] at every step; without, only what comes out (as DDB's code does).
        prediction: what the network was trained to predict. Guidance is linear, and so the same for both.
        progress: called with (steps done, steps).

    Raises:
        ValueError: for another number of generators than rows.
    """
    if len(generators) != len(labels):
        raise ValueError(f"{len(generators)} generators for {len(labels)} rows")
    plan = scheduler.timesteps.tolist()
    scheduler.set_timesteps(timesteps=plan)  # forgets what an earlier call left in it
    parameter = next(model.parameters())
    rows = list(generators)
    x: Tensor = randn_tensor((len(labels), *shape), generator=rows, device=parameter.device, dtype=parameter.dtype)
    for done, step in enumerate(plan, start=1):
        t = torch.full_like(labels, step)
        denoised = denoise(scheduler, x, step, guided_noise(model, x, t, labels, guidance_scale), prediction)
        if clip:
            denoised = denoised.clamp(-1, 1)
        x = scheduler.step(denoised, step, x, generator=rows, return_dict=False)[0]
        if progress is not None:
            progress(done, len(plan))
    return x.clamp(-1, 1)


def denoise(
    scheduler: Scheduler, x: Tensor, step: int, predicted: Tensor, prediction: Prediction = "epsilon"
) -> Tensor:
    """The image x_0 of the noisy `x` of time step `step`, given its noise or its velocity, in the type of `x`."""
    kept = float(scheduler.alphas_cumprod[step])
    predicted = predicted.to(x.dtype)
    if prediction == "v":
        return math.sqrt(kept) * x - math.sqrt(1 - kept) * predicted
    return (x - math.sqrt(1 - kept) * predicted) / math.sqrt(kept)


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8 in [0, 255]."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
