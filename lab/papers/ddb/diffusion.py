"""Noise predictors as LightningModules: one without classes, and DDB's conditional diffusion model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import torch
from diffusers import UNet2DModel
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torchmetrics import MeanMetric

from lab.data.base import Facts
from lab.data.batch import Batch
from lab.diffusion.average import averaged
from lab.diffusion.loss import drop_mask, noise_loss
from lab.diffusion.schedules import noise_scheduler, noise_variances
from lab.diffusion.unet import build_unet
from lab.errors import UserError
from lab.papers.ddb.config import DiffusionConfig, NoiseModelConfig
from lab.stages.artefact import Artefact
from lab.stages.module import StageModule


class NoiseModel(StageModule):
    """Learns to predict the noise in images, without a class.

    Images of a batch are in [0, 1] and shifted to [-1, 1] here. Logs `train/loss` at each step and `val/loss`, the same
    error of the averaged weights, on noise and time steps that belong to the row.

    Raises:
        UserError: for an image size that the network can't halve often enough.
    """

    config: NoiseModelConfig

    def __init__(self, config: NoiseModelConfig, facts: Facts, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, facts, inputs)
        channels, *size = facts.image_shape
        try:
            self.variances = noise_variances(config.timesteps, config.beta_start, config.beta_end, config.schedule)
            self.unet = build_unet(config.unet, channels=channels, size=(size[0], size[1]), classes=self.num_classes)
        except ValueError as error:
            raise UserError(f"diffusion: {error}") from None
        self.ema: AveragedModel | None = None if config.ema is None else averaged(self.unet, config.ema)
        self.noising = noise_scheduler(self.variances, config.prediction)
        self.val_loss = MeanMetric()

    @property
    def num_classes(self) -> int:
        """Classes that the network can be told."""
        return 0

    def classes(self, batch: Any) -> Tensor:
        """What the network is told of each row, int64 (B,): -1, nothing."""
        return torch.full_like(batch.index, -1)

    def network(self, ema: bool = True) -> UNet2DModel:
        """The network, with averaged weights where there are some and `ema` asks for them."""
        return cast(UNet2DModel, self.ema.module) if ema and self.ema is not None else self.unet

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the network in place; Lightning calls this class's steps directly, never its `forward`."""
        self.unet.compile(*args, **kwargs)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        config, shape = self.config, batch.image.shape[1:]
        timestep = self.draw("timestep", lambda n, g: random_timesteps(config.timesteps, n, g))
        noise = self.draw("noise", lambda n, g: torch.randn(n, *shape, generator=g, device=g.device))
        loss = self.loss(to_signed(batch.image), timestep, noise, self.classes(batch))
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch.image))
        return loss

    def loss(self, images: Tensor, timestep: Tensor, noise: Tensor, classes: Tensor) -> Tensor:
        """The training loss, a scalar. images: (B, C, H, W) in [-1, 1]."""
        return noise_loss(self.unet, self.noising, images, timestep, noise, classes)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        generators = self.row_generators("validation", batch.index)
        timestep = torch.cat([random_timesteps(self.config.timesteps, 1, g) for g in generators])
        noise = torch.stack([torch.randn(batch.image.shape[1:], generator=g, device=g.device) for g in generators])
        images = to_signed(batch.image)
        loss = noise_loss(self.network(), self.noising, images, timestep, noise, self.classes(batch))
        self.val_loss.update(loss, weight=len(batch.image))

    def on_validation_epoch_end(self) -> None:
        # Not logged in the step: a device that has no validation batch would wait for ever for the others' sum.
        self.log("val/loss", self.val_loss)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        config = self.config
        optimizer = torch.optim.AdamW(self.unet.parameters(), lr=config.lr, weight_decay=config.weight_decay)
        total = int(self.trainer.estimated_stepping_batches)
        factor = partial(lr_factor, total=total, warmup=config.warmup, published=self.published)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": torch.optim.lr_scheduler.LambdaLR(optimizer, factor), "interval": "step"},
        }

    @property
    def published(self) -> bool:
        """Whether the learning rate moves as in code derived from DDB's."""
        return False

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if self.ema is not None:
            self.ema.update_parameters(self.unet)


class DiffusionModule(NoiseModel):
    """Learns to predict the noise in images of a class (Ciranni et al. 2025, stage A).

    The authors' ImageNet normalisation does not fit their sampler's clipping and is left out. `val/loss` is that of
    images with their class given.
    """

    config: DiffusionConfig

    @property
    def num_classes(self) -> int:
        return self.facts.num_classes

    @property
    def published(self) -> bool:
        return self.config.published

    def classes(self, batch: Batch) -> Tensor:
        return batch.label

    def loss(self, images: Tensor, timestep: Tensor, noise: Tensor, classes: Tensor) -> Tensor:
        config = self.config
        drop = self.draw("drop", lambda n, g: drop_mask(n, config.label_drop, g, whole_batch=config.published))
        rows = self.trainer.datamodule.global_rows if config.published else None  # type: ignore[attr-defined]
        return noise_loss(self.unet, self.noising, images, timestep, noise, classes, drop, published_batch=rows)


def to_signed(image: Tensor) -> Tensor:
    """[0, 1] to [-1, 1]."""
    return image * 2 - 1


def random_timesteps(total: int, rows: int, generator: torch.Generator) -> Tensor:
    """Time steps int64 (rows,), uniform in 0..total-1."""
    return torch.randint(total, (rows,), generator=generator, device=generator.device)


def lr_factor(step: int, *, total: int, warmup: float, published: bool = False) -> float:
    """Learning rate of optimiser step `step` (from 0) of `total`, relative to `lr`.

    Rises linearly during the first `warmup` share, then falls to 0 along half a cosine. Published: from 1 to 2.5 and
    down, as DDB's warm-up multiplies lr by 2.5; else from 0 to 1.
    """
    first, peak = (1.0, 2.5) if published else (0.0, 1.0)
    rising = max(round(warmup * total), 1)
    if step < rising:
        return first + (peak - first) * (step + 1) / rising
    return peak * 0.5 * (1 + math.cos(math.pi * min((step - rising) / max(total - rising, 1), 1.0)))
