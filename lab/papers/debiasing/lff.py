"""Learning from Failure (Nam et al., NeurIPS 2020), after the official code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from lab.data.base import Facts
from lab.data.batch import Batch
from lab.papers.debiasing import objectives
from lab.papers.debiasing.classifier import Classifier, full_precision
from lab.papers.debiasing.config import LfFConfig
from lab.stages.artefact import Artefact


class LfF(Classifier):
    """Two networks of one kind, trained together; the debiased one (`network`) answers.

    The biased one has generalised cross-entropy. The debiased one has cross-entropy, weighted by how much harder the
    biased one finds a row, in moving averages that are divided by the largest of the class.
    """

    config: LfFConfig
    whole_batches: ClassVar[bool] = True
    training_state: ClassVar[tuple[str, ...]] = ("biased_ema", "own_ema")
    biased_ema: objectives.LossEMA
    own_ema: objectives.LossEMA

    def __init__(self, config: LfFConfig, facts: Facts, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, facts, inputs)
        self.biased = self.build_network()

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit":
            size, classes = self.facts.sizes["train"], self.facts.num_classes
            self.biased_ema = objectives.LossEMA(size, classes, self.config.ema)
            self.own_ema = objectives.LossEMA(size, classes, self.config.ema)

    def objective(self, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        logits, biased = full_precision(self.network(images)), full_precision(self.biased(images))
        losses = F.cross_entropy(logits, batch.label, reduction="none")
        biased_losses = F.cross_entropy(biased.detach(), batch.label, reduction="none")
        index, label, own, other = self.all_rows(batch.index, batch.label, losses.detach(), biased_losses)
        self.own_ema.update(index, label, own)
        self.biased_ema.update(index, label, other)
        weight = objectives.relative_difficulty(
            self.biased_ema.of(batch.index, batch.label), self.own_ema.of(batch.index, batch.label)
        )
        amplified = objectives.generalised_cross_entropy(biased, batch.label, self.config.gce_q)
        return (weight * losses).mean() + amplified.mean(), logits
