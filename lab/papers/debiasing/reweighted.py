"""DDB's recipe II: the frozen bias amplifier's loss weights the target's, row by row."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from lab.data.batch import Batch
from lab.papers.debiasing import objectives
from lab.papers.debiasing.classifier import Classifier, frozen_loss, full_precision
from lab.papers.debiasing.config import ReweightedConfig


class Reweighted(Classifier):
    """Cross-entropy weighted by the amplifier's loss on the same row, read once from the role `signal`."""

    config: ReweightedConfig
    whole_batches: ClassVar[bool] = True
    training_state: ClassVar[tuple[str, ...]] = ("own",)
    own: objectives.LossEMA
    biased_loss: Tensor

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage != "fit":
            return
        config, facts = self.config, self.facts
        loss = frozen_loss(self.signal(), facts, config.class_normalise, "Reweighted")
        self.register_buffer("biased_loss", loss, persistent=False)
        self.own = objectives.LossEMA(facts.sizes["train"], facts.num_classes, config.ema)

    def sampling_weights(self, labels: Tensor, groups: Tensor) -> Tensor | None:
        self.signal().require_rows(labels, "Reweighted: signal table")
        return None

    def objective(self, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        config = self.config
        logits = full_precision(self.network(images))
        losses = F.cross_entropy(logits, batch.label, reduction="none")
        self.own.update(*self.all_rows(batch.index, batch.label, losses.detach()))
        weight = objectives.bounded_weights(
            self.biased_loss[batch.index],
            self.own.of(batch.index, batch.label, config.class_normalise),
            config.weight,
            config.w_min,
            config.w_max,
            config.normalise_batch_mean_to_1,
            self.total,
        )
        self.log("train/weight", weight.mean(), batch_size=len(weight), sync_dist=True)
        return (weight * losses).mean(), logits
