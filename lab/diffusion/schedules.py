"""Noise schedules and samplers by name, made of diffusers' schedulers.

Every sampler is handed the *denoised image* (`prediction_type="sample"`): `lab.diffusion.sample` turns the predicted
noise into it once, in float32, and clips it there. Clipping then works alike for all; diffusers' DPM-Solver has none.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler

from lab.diffusion.config import Prediction, SamplerName, ScheduleName

Scheduler: TypeAlias = DDPMScheduler | DPMSolverMultistepScheduler

LEAST_LOG_SNR = -5.1
"""Half log signal-to-noise ratio at which few-step sampling starts (Lu et al. 2022): .6 % signal is as good as none."""


def noise_variances(
    timesteps: int, beta_start: float = 1e-4, beta_end: float = 0.02, schedule: ScheduleName = "linear"
) -> list[float]:
    """Variance beta_t of the noise that each of `timesteps` steps adds.

    `linear` goes from `beta_start` to `beta_end`, both meant for 1000 steps and multiplied by 1000 / timesteps, so that
    a short chain ends in (nearly) pure noise as well (Nichol and Dhariwal 2021, `get_named_beta_schedule`); 200 steps
    up to .02 would leave 13 % of the image's variance at the end, where sampling starts from none. `cosine` is Nichol
    and Dhariwal's eq. 17 and takes no ends.

    Raises:
        ValueError: when a variance would not be in (0, 1).
    """
    if schedule == "cosine":
        return [float(beta) for beta in DDPMScheduler(timesteps, beta_schedule="squaredcos_cap_v2").betas]
    scale = 1000 / timesteps
    if not 0 < beta_start * scale <= beta_end * scale < 1:
        raise ValueError(
            f"{timesteps} steps of linear noise from {beta_start:g} to {beta_end:g} (times {scale:g}) leave (0, 1); "
            "take more timesteps or a smaller beta_end"
        )
    return [float(beta) for beta in np.linspace(beta_start * scale, beta_end * scale, timesteps)]


def noise_scheduler(variances: list[float], prediction: Prediction = "epsilon") -> DDPMScheduler:
    """The forward process, for training: `scheduler.add_noise(x0, noise, t)`, and what the network predicts of it."""
    kind = {"epsilon": "epsilon", "v": "v_prediction"}[prediction]
    return DDPMScheduler(len(variances), trained_betas=variances, prediction_type=kind)


def build_sampler(name: SamplerName, variances: list[float], steps: int | None = None) -> Scheduler:
    """A reverse process of `steps` steps (None: all) for a network trained with the noise `variances`.

    - `ddpm`: ancestral sampling with the posterior variance (Ho et al. 2020); draws noise at each step;
    - `ddim`: deterministic DDIM (Song et al. 2021), which is DPM-Solver++ of order one (Lu et al. 2022);
    - `dpmpp_2m`: DPM-Solver++ of order two, multistep, deterministic;
    - `sde_dpmpp_2m`: its stochastic form, which draws noise at each step and so undoes errors of the network as
      ancestral sampling does, in as few steps as `dpmpp_2m`.

    The last step goes to zero noise. Which time steps are visited is said by `spaced_timesteps`.

    Raises:
        ValueError: for steps outside 1..T.
    """
    total = len(variances)
    scheduler: Scheduler
    if name == "ddpm":
        scheduler = DDPMScheduler(
            total, trained_betas=variances, variance_type="fixed_small", prediction_type="sample", clip_sample=False
        )
    else:
        scheduler = DPMSolverMultistepScheduler(
            total,
            trained_betas=variances,
            solver_order=1 if name == "ddim" else 2,
            prediction_type="sample",
            algorithm_type="sde-dpmsolver++" if name == "sde_dpmpp_2m" else "dpmsolver++",
            final_sigmas_type="zero",
        )
    scheduler.set_timesteps(timesteps=spaced_timesteps(variances, total if steps is None else steps))
    return scheduler


def spaced_timesteps(variances: list[float], steps: int) -> list[int]:
    """`steps` different time steps, from nearly pure noise down to 0, equally far apart in log signal-to-noise ratio.

    Spacing in time, the default of diffusers (leading, trailing and linspace alike), leaves the last step so much noise
    to remove at once that fine variation is lost. On a Gaussian of standard deviation .2 with the exact noise
    predictor, 20 steps of `dpmpp_2m` give .15 with trailing spacing and .204 with this one; `ddim` and few-step `ddpm`
    gain as well.

    Raises:
        ValueError: for steps outside 1..T.
    """
    total = len(variances)
    if not 1 <= steps <= total:
        raise ValueError(f"{steps} sampling steps for {total} timesteps; give a number in 1..{total}")
    signal = np.cumprod(1 - np.asarray(variances))
    noisiness = -0.5 * np.log(signal / (1 - signal))
    nodes = np.linspace(min(noisiness[-1], -LEAST_LOG_SNR), noisiness[0], steps)[::-1]
    nearest = np.interp(nodes, noisiness, np.arange(total)).round().astype(int)
    # Where nodes are closer than time steps, the next free ones are taken, upwards and then down from the last.
    place = np.arange(steps)
    different = np.minimum(np.maximum.accumulate(nearest - place), total - steps) + place
    return [int(t) for t in different[::-1]]
