"""Partial noising and denoising (SDEdit, Meng et al. 2022): images noised to a middle step, and denoised again.

How much of the image is drawn anew depends on the ratio of noise to signal at that step, sigma = sqrt((1 - abar) /
abar), and on whether denoising draws noise itself. At one sigma ancestral sampling keeps less of the image than a
deterministic sampler: of Gaussian data of variance s^2, exactly known, the deviation c from the mean comes back as
c s^2 / (s^2 + sigma^2) against c s / sqrt(s^2 + sigma^2), on average. So `ddpm` and `sde_dpmpp_2m` agree with each
other, `ddim` and `dpmpp_2m` with each other, and not the two with the two others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor, nn
from torchvision.transforms.v2.functional import gaussian_blur_image

from lab.diffusion.config import Prediction, SamplerName
from lab.diffusion.guidance import guided_noise
from lab.diffusion.sample import denoise
from lab.diffusion.schedules import Scheduler, build_sampler, spaced_timesteps


def noise_levels(variances: Sequence[float]) -> np.ndarray:
    """sigma_t = sqrt((1 - abar_t) / abar_t), float64 (T,), increasing: noise over signal after steps 1..T."""
    signal = np.cumprod(1 - np.asarray(variances, dtype=np.float64))
    return np.asarray(np.sqrt((1 - signal) / signal))


def nearest_step(variances: Sequence[float], sigma: float) -> int:
    """Time step, from 0, whose noise level is nearest to `sigma` on a logarithmic scale: equal noise in any schedule.

    Raises:
        ValueError: the schedule never has as little noise, or as much, by more than a factor of two.
    """
    levels = noise_levels(variances)
    if not levels[0] / 2 <= sigma <= levels[-1] * 2:
        raise ValueError(f"sigma {sigma:g} is outside of the schedule's {levels[0]:.3g} to {levels[-1]:.3g}")
    return int(np.argmin(np.abs(np.log(levels) - np.log(sigma))))


def build_partial_sampler(name: SamplerName, variances: list[float], start: int, steps: int | None) -> Scheduler:
    """A reverse process from time step `start` down to 0, in `steps` network calls (None, or more than there are: all).

    The steps are equally far apart in log signal-to-noise ratio, as those of `build_sampler`.
    """
    scheduler = build_sampler(name, variances)
    count = start + 1 if steps is None else min(steps, start + 1)
    scheduler.set_timesteps(timesteps=spaced_timesteps(variances[: start + 1], count))
    return scheduler


@torch.no_grad()
def renoise(
    model: nn.Module,
    images: Tensor,
    *,
    scheduler: Scheduler,
    generators: Sequence[torch.Generator],
    prediction: Prediction = "epsilon",
    guide: float | None = None,
) -> Tensor:
    """Images (B, C, H, W) in [-1, 1], noised to the scheduler's first time step and denoised from there.

    All noise of row i comes from `generators[i]`: the result depends on the image and its generator alone.

    Args:
        model: in eval mode, called as `model(x, t, class_labels=...).sample`; asked without a class.
        images: (B, C, H, W) in [-1, 1].
        scheduler: of `build_partial_sampler`.
        generators: B of them.
        prediction: what the network was trained to predict.
        guide: standard deviation in pixels of a Gaussian blur: at every step the denoised image gets the low
            frequencies of `images`, so that only what is finer is drawn anew (data consistency as of annealed score
            methods and PFAD). None: no guide.

    Raises:
        ValueError: for another number of generators than rows.
    """
    if len(generators) != len(images):
        raise ValueError(f"{len(generators)} generators for {len(images)} rows")
    plan = scheduler.timesteps.tolist()
    scheduler.set_timesteps(timesteps=plan)  # forgets what an earlier call left in it
    rows = list(generators)
    noise: Tensor = randn_tensor(images.shape, generator=rows, device=images.device, dtype=images.dtype)
    kept = float(scheduler.alphas_cumprod[plan[0]])
    x = kept**0.5 * images + (1 - kept) ** 0.5 * noise
    unknown = torch.full((len(images),), -1, device=images.device)
    for step in plan:
        t = torch.full_like(unknown, step)
        denoised = denoise(scheduler, x, step, guided_noise(model, x, t, unknown, 0), prediction)
        if guide is not None:
            denoised = denoised + low_pass(images - denoised, guide)
        x = scheduler.step(denoised.clamp(-1, 1), step, x, generator=rows, return_dict=False)[0]
    result: Tensor = x.clamp(-1, 1)
    return result


def low_pass(images: Tensor, blur: float) -> Tensor:
    """Images (B, C, H, W) after a Gaussian blur of standard deviation `blur` pixels, mirrored at the edges."""
    width = 2 * min(int(3 * blur + 0.5), min(images.shape[-2:]) - 1) + 1
    blurred: Tensor = gaussian_blur_image(images, kernel_size=[width, width], sigma=[blur, blur])
    return blurred
