"""Learning from Failure (Nam et al., NeurIPS 2020), after the official code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor
from torch.nn import functional as F

from lab.data.base import Facts
from lab.data.batch import Batch
from lab.networks import backbones
from lab.papers.debiasing import objectives
from lab.papers.debiasing.classifier import Classifier, frozen_loss, full_precision
from lab.papers.debiasing.config import LfFConfig
from lab.stages.artefact import Artefact


class LfF(Classifier):
    """Two networks of one kind, trained together; the debiased one (`network`) answers.

    The biased one has generalised cross-entropy. The debiased one has cross-entropy, weighted by how much harder the
    biased one finds a row, in moving averages that are divided by the largest of the class.

    With the role `signal`, a frozen biased model (DDB's amplifier, say) stands in for the biased network: its loss on
    each training row is read once, and no second network is trained.
    """

    config: LfFConfig
    whole_batches: ClassVar[bool] = True
    training_state: ClassVar[tuple[str, ...]] = ("biased_ema", "own_ema")
    biased: backbones.Classifier | None
    biased_ema: objectives.LossEMA
    own_ema: objectives.LossEMA
    biased_loss: Tensor

    def __init__(self, config: LfFConfig, facts: Facts, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, facts, inputs)
        self.biased = None if "signal" in self.inputs else self.build_network()

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Weights that were trained with a given signal hold no biased network."""
        if not any(name.startswith("biased.") for name in state_dict):
            self.biased = None
        return super().load_state_dict(state_dict, strict, assign)

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage != "fit":
            return
        size, classes = self.facts.sizes["train"], self.facts.num_classes
        self.own_ema = objectives.LossEMA(size, classes, self.config.ema)
        if self.biased is not None:
            self.biased_ema = objectives.LossEMA(size, classes, self.config.ema)
        else:
            loss = frozen_loss(self.signal(), self.facts, class_normalise=True, method="LfF")
            self.register_buffer("biased_loss", loss, persistent=False)

    def sampling_weights(self, labels: Tensor, groups: Tensor) -> Tensor | None:
        if self.biased is None:
            self.signal().require_rows(labels, "LfF: signal table")
        return None

    def objective(self, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = full_precision(self.network(images))
        losses = F.cross_entropy(logits, batch.label, reduction="none")
        if self.biased is None:
            self.own_ema.update(*self.all_rows(batch.index, batch.label, losses.detach()))
            own = self.own_ema.of(batch.index, batch.label)
            weight = objectives.relative_difficulty(self.biased_loss[batch.index], own)
            return (weight * losses).mean(), logits
        biased = full_precision(self.biased(images))
        biased_losses = F.cross_entropy(biased.detach(), batch.label, reduction="none")
        index, label, own, other = self.all_rows(batch.index, batch.label, losses.detach(), biased_losses)
        self.own_ema.update(index, label, own)
        self.biased_ema.update(index, label, other)
        weight = objectives.relative_difficulty(
            self.biased_ema.of(batch.index, batch.label), self.own_ema.of(batch.index, batch.label)
        )
        amplified = objectives.generalised_cross_entropy(biased, batch.label, self.config.gce_q)
        return (weight * losses).mean() + amplified.mean(), logits
