"""CycleGAN between affected and clean slices, the usual way to learn without pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import l1_loss

from lab.data.base import Facts
from lab.data.scans.module import SliceBatch
from lab.errors import UserError
from lab.networks.cyclegan import PatchDiscriminator, ResidualGenerator, least_squares
from lab.papers.ddb.diffusion import to_signed
from lab.papers.mri.config import UnpairedConfig
from lab.papers.mri.correction import Corrected, Correction
from lab.stages.artefact import Artefact


class Unpaired(Correction):
    """CycleGAN (Zhu et al. 2017): least squares, cycle and identity losses, a pool of earlier generated images.

    Reads data with `select: both`. Generators and discriminators are trained in one step of one Adam: the generators'
    losses see the discriminators as constants, the discriminators' the generated images. Both gradients are then those
    of the usual two optimisers, whose steps also start from the same weights, and Adam treats each weight by itself.

    Logs `train/loss`, and of it `train/generator` and `train/discriminator`. No validation: its losses don't tell which
    weights correct best, and pairs may not choose.
    """

    config: UnpairedConfig

    def __init__(self, config: UnpairedConfig, facts: Facts, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, facts, inputs)
        channels, height, width = facts.image_shape
        if height % 4 or width % 4 or min(height, width) < 2 ** (len(config.critic) + 1):
            raise UserError(
                f"mri/unpaired: slices of {height}x{width} don't fit; a multiple of 4, and for {len(config.critic)} "
                f"layers of `critic` at least {2 ** (len(config.critic) + 1)} pixels"
            )
        self.clean = ResidualGenerator(config.width, config.blocks, channels)
        self.affected = ResidualGenerator(config.width, config.blocks, channels)
        self.critics = nn.ModuleDict(
            {kind: PatchDiscriminator(tuple(config.critic), channels) for kind in ("clean", "affected")}
        )
        pool = torch.zeros(2, config.pool, *facts.image_shape)
        self.register_buffer("pool", pool, persistent=False)
        self.register_buffer("pooled", torch.zeros((), dtype=torch.long), persistent=False)
        self.pool: Tensor
        self.pooled: Tensor
        """How many images each half of the pool has been shown."""

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the networks in place."""
        for network in (self.clean, self.affected, *self.critics.values()):
            network.compile(*args, **kwargs)

    def correct(self, image: Tensor, generators: Sequence[torch.Generator]) -> Corrected:
        return Corrected((self.clean(to_signed(image)).float() + 1) / 2)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), self.config.lr, betas=(0.5, 0.999))
        total = int(self.trainer.estimated_stepping_batches)
        falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, 2 * (1 - step / max(1, total))))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": falling, "interval": "step"}}

    def training_step(self, batch: SliceBatch, batch_idx: int) -> Tensor:
        affected, clean = to_signed(batch.image), to_signed(batch.target)
        made_clean, made_affected = self.clean(affected), self.affected(clean)
        config = self.config
        fooled = least_squares(self._fixed("clean", made_clean), True)
        fooled = fooled + least_squares(self._fixed("affected", made_affected), True)
        cycle = l1_loss(self.affected(made_clean), affected) + l1_loss(self.clean(made_affected), clean)
        same = l1_loss(self.clean(clean), clean) + l1_loss(self.affected(affected), affected)
        generator = fooled + config.cycle * (cycle + config.identity * same)

        earlier = self._from_pool(torch.stack([made_clean, made_affected], dim=1).detach().float())
        judged = torch.zeros((), device=self.device)
        for place, (kind, real) in enumerate((("clean", clean), ("affected", affected))):
            critic = self.critics[kind]
            judged = judged + 0.5 * least_squares(critic(real), True)
            judged = judged + 0.5 * least_squares(critic(earlier[:, place]), False)
        loss = generator + judged
        scalars = {"train/loss": loss, "train/generator": generator, "train/discriminator": judged}
        self.log_dict({name: value.detach() for name, value in scalars.items()}, batch_size=len(clean), sync_dist=True)
        return loss

    def validation_step(self, batch: SliceBatch, batch_idx: int) -> None:
        raise UserError("mri/unpaired: can't be validated without pairs; set trainer.validate_every=0")

    def _fixed(self, kind: str, images: Tensor) -> Tensor:
        """What a discriminator says, its weights being constants."""
        critic = self.critics[kind]
        weights = {name: value.detach() for name, value in critic.named_parameters()}
        judged: Tensor = functional_call(critic, weights, (images,))
        return judged

    def _from_pool(self, made: Tensor) -> Tensor:
        """Generated images (B, 2, c, h, w), or in half of the cases earlier ones in whose place they are kept.

        Images of all devices go through one pool, in the order of the global batch: any number of devices gives the
        same.
        """
        uniforms = self.draw("pool", lambda n, g: torch.rand(n, 2, 2, generator=g, device=g.device))
        everyone = self.all_gather((made, uniforms))
        images: Tensor
        draws: Tensor
        images, draws = (part.flatten(0, part.dim() - each) for part, each in zip(everyone, (5, 3), strict=True))
        size, given = len(self.pool[0]), images.clone()
        for row in range(len(images)):
            for half in (0, 1):
                if self.pooled < size:
                    self.pool[half, self.pooled] = images[row, half]
                elif draws[row, half, 0] < 0.5:
                    slot = int(draws[row, half, 1] * size)
                    given[row, half] = self.pool[half, slot]
                    self.pool[half, slot] = images[row, half]
            self.pooled += 1
        first = self.global_rank * len(made) if self.trainer.world_size > 1 else 0
        return given[first : first + len(made)]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["pool"] = {"pool": self.pool.cpu().clone(), "pooled": self.pooled.cpu().clone()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        for name, value in checkpoint.get("pool", {}).items():
            getattr(self, name).copy_(value)
