"""MoDAD's debiasing: flagged rows are drawn as often as the others, and each is seen in further views."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from lab.data.batch import Batch
from lab.data.signals import SignalTable
from lab.errors import UserError
from lab.papers.debiasing import objectives
from lab.papers.debiasing.classifier import Classifier, full_precision
from lab.papers.modad.config import DebiasedConfig
from lab.papers.modad.views import VIEW_UNIFORMS, views


class Debiased(Classifier):
    """Flagged are the rows that the role `signal` gets wrong: those of a modad/anomaly stage, or any biased model's.

    The loss of a flagged row, and of its views, is weighted with the share f of flagged rows in the batch, that of
    another row with 1 - f (authors' code; near one half both). Without a flagged row this is plain training.
    """

    config: DebiasedConfig
    whole_batches: ClassVar[bool] = True
    flagged: Tensor

    @cached_property
    def table(self) -> SignalTable:
        return self.signal()

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit":
            size = self.facts.sizes["train"]
            if len(self.table) != size:
                raise UserError(
                    f"modad/debiased: the signal has {len(self.table)} rows, the training split {size}; "
                    "predict on that split"
                )
            self.register_buffer("flagged", self.table.prediction != self.table.label, persistent=False)

    def sampling_weights(self, labels: Tensor, groups: Tensor) -> Tensor | None:
        self.table.require_rows(labels, "modad/debiased: signal table")
        flagged = self.table.prediction != self.table.label
        if not flagged.any():
            return None
        if self.config.balance == "global":
            return objectives.balanced_weights(flagged.long(), 2)
        classes = self.facts.num_classes
        return objectives.balanced_weights(objectives.alignment_groups(labels, flagged, classes), 2 * classes)

    def further_views(self, images: Tensor, flagged: Tensor) -> list[Tensor]:
        """Views of the flagged rows of a batch, each (F, C, H, W). images: (B, C, H, W); flagged: bool (B,)."""
        config, shared = self.config, self.config.published

        def draw(n: int, generator: torch.Generator) -> Tensor:
            rows = 1 if shared else n
            return torch.rand(rows, VIEW_UNIFORMS, generator=generator, device=generator.device).expand(n, -1)

        chosen, uniforms = images[flagged], self.draw("views", draw)[flagged]
        if not config.published:
            return views(chosen, uniforms, config.views, config.rotation)
        mean, std = self.network.mean, self.network.std
        made = views((chosen - mean) / std, uniforms, config.views, config.rotation)
        return [view * std + mean for view in made]

    def objective(self, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        flagged = self.flagged[batch.index]
        copies = 1 + len(self.config.views)
        if self.config.published:  # normalisation may make grey images coloured
            images = images.expand(-1, self.network.channels, -1, -1)
        seen = torch.cat([images, *self.further_views(images, flagged)])
        logits = full_precision(self.network(seen))
        label = torch.cat([batch.label, *[batch.label[flagged]] * (copies - 1)])
        weighted = torch.cat([flagged, *[flagged[flagged]] * (copies - 1)])
        rows = torch.stack([flagged.sum(), (~flagged).sum()]).to(logits.dtype)
        with_views, alone = self.total(rows)
        share = with_views / (with_views + alone)
        losses = torch.where(weighted, share, 1 - share) * F.cross_entropy(logits, label, reduction="none")
        self.log("train/flagged_share", share, batch_size=len(flagged))
        # Devices have different numbers of views: the mean of their parts is the mean over the whole batch.
        return self.trainer.world_size * losses.sum() / (copies * with_views + alone), logits[: len(batch.label)]
