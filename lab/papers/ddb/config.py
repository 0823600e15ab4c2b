"""Options of DDB's conditional diffusion model and of sampling from it. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lab.config.fields import option
from lab.diffusion.config import Prediction, SamplerName, ScheduleName, UNetConfig


@dataclass
class NoiseModelConfig:
    """A network that predicts the noise in images, and its training."""

    unet: UNetConfig = option(help="the network; DDB's: lab.diffusion.config.PUBLISHED_UNET", factory=UNetConfig)
    timesteps: int = option(1000, "T; DDB: 1000 (authors' code); 200-400 do for small images (ours)")
    schedule: ScheduleName = option("linear", "linear (DDB) or cosine (ours)")
    beta_start: float = option(1e-4, "first noise variance of the linear schedule at T = 1000 (authors' code)")
    beta_end: float = option(0.02, "last one, at T = 1000; DDB: .028 (derived code) or .02 (unverified)")
    prediction: Prediction = option(
        "epsilon", "epsilon (DDB), or v (ours), which gets the colours of small, short-trained models right"
    )
    lr: float = option(1e-4, "AdamW's learning rate after warm-up (derived code: 1e-4, see `published`)")
    weight_decay: float = option(1e-4, "AdamW's weight decay (derived code)")
    warmup: float = option(0.1, "share of steps with rising lr, then cosine to 0 (derived code, there by epoch)")
    ema: float | None = option(0.999, "decay of the averaged weights that sampling uses (ours); null: none, as in DDB")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.timesteps < 2:
            yield "timesteps", f"must be at least 2, is {self.timesteps}"
        elif self.schedule == "linear" and not 0 < self.beta_start <= self.beta_end < self.timesteps / 1000:
            ends = f"{self.beta_start:g}, {self.beta_end:g} with {self.timesteps} timesteps"
            yield "beta_end", f"needs 0 < beta_start <= beta_end < timesteps / 1000, is {ends}"
        if self.lr <= 0:
            yield "lr", f"must be positive, is {self.lr:g}"
        if self.weight_decay < 0:
            yield "weight_decay", f"must not be negative, is {self.weight_decay:g}"
        if not 0 <= self.warmup < 1:
            yield "warmup", f"must be in [0, 1), is {self.warmup:g}"
        if self.ema is not None and not 0 <= self.ema < 1:
            yield "ema", f"must be in [0, 1) or null, is {self.ema:g}"


@dataclass
class DiffusionConfig(NoiseModelConfig):
    """DDB's stage A: a class-conditional diffusion model of the biased training images."""

    label_drop: float = option(0.1, "probability of training without the class (derived code)")
    published: bool = option(
        False,
        "as derived code does: label dropped for whole batches, loss summed / batch^2 (a gradient clip of 1 is then "
        "always active), warm-up from lr to 2.5 lr; default (ours): per row, mean, from 0 to lr",
    )

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if not 0 <= self.label_drop <= 1:
            yield "label_drop", f"must be in [0, 1], is {self.label_drop:g}"


@dataclass
class SamplerConfig:
    """Synthetic images of a diffusion model that was fitted before (`weights`), one for each row of the data."""

    sampler: SamplerName = option("dpmpp_2m", "ddpm (DDB, all steps); ours, few steps: ddim, dpmpp_2m, sde_dpmpp_2m")
    steps: int | None = option(25, "sampling steps; null: all timesteps (DDB with ddpm)")
    guidance_scale: float = option(2.0, "classifier-free guidance s = 1 + w; DDB: w = 1, so 2 (authors' code); 1: none")
    clip: bool = option(True, "keep the denoised image in [-1, 1] at every step (ours); DDB: only the result")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.steps is not None and self.steps < 1:
            yield "steps", f"must be at least 1 or null, is {self.steps}"
        if self.guidance_scale < 0:
            yield "guidance_scale", f"must not be negative, is {self.guidance_scale:g}"
