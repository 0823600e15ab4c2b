"""MoDAD's biased model: a classifier that also logs how far it has memorised the conflicting training rows."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lab.data.batch import Batch
from lab.metrics.identification import Identification
from lab.papers.debiasing.classifier import Classifier
from lab.papers.modad.config import BiasedConfig

UNSEEN = -2
UNKNOWN = -1


class Visits(nn.Module):
    """What a model said of each training row when it last saw it in training. No part of the weights.

    Args:
        size: training rows.
    """

    wrong: Tensor
    loss: Tensor
    conflicting: Tensor

    def __init__(self, size: int):
        super().__init__()
        self.register_buffer("wrong", torch.zeros(size, dtype=torch.bool), persistent=False)
        self.register_buffer("loss", torch.zeros(size), persistent=False)
        self.register_buffer("conflicting", torch.full((size,), UNSEEN), persistent=False)

    def update(self, index: Tensor, wrong: Tensor, loss: Tensor, conflicting: Tensor) -> None:
        """All (B,): rows, wrong answers, losses, and truly conflicting 1 or 0, or UNKNOWN; on every device all rows."""
        self.wrong[index] = wrong.bool()
        self.loss[index] = loss.to(self.loss.dtype)
        self.conflicting[index] = conflicting

    def identification(self) -> dict[str, Tensor]:
        """`Identification` of the rows seen whose truth is known, by errors and by loss; empty where there is none."""
        known = self.conflicting >= 0
        if not known.any():
            return {}
        metric = Identification(sync_on_compute=False).to(self.loss.device)
        metric.update(self.wrong[known], self.conflicting[known] == 1, self.loss[known])
        return metric.compute()


class Biased(Classifier):
    """At each validation logs `val/memorisation_recall`, the share of the conflicting training rows that the model got
    wrong when it last saw them, which falls as it memorises them, and `_precision` and `_auc` (of the loss) likewise.
    Nothing where the true bias isn't known. These numbers select and stop nothing.
    """

    config: BiasedConfig
    training_state: ClassVar[tuple[str, ...]] = ("visits",)
    visits: Visits
    aligned: Tensor

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit":
            self.visits = Visits(self.facts.sizes["train"])
            self.register_buffer("aligned", torch.as_tensor(self.facts.aligned).flatten(), persistent=False)

    def objective(self, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        loss, logits = super().objective(images, batch)
        said = logits.detach()
        losses = F.cross_entropy(said, batch.label, reduction="none")
        truth = torch.full_like(batch.group, UNKNOWN)
        if len(self.aligned):
            truth = torch.where(batch.group < 0, UNKNOWN, (~self.aligned[batch.group.clamp(min=0)]).long())
        self.visits.update(*self.all_rows(batch.index, said.argmax(1) != batch.label, losses, truth))
        return loss, logits

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        if self.trainer.state.fn == "fit":
            found = self.visits.identification()
            kept = {name: value for name, value in found.items() if name in ("recall", "precision", "auc")}
            self.log_found("val/memorisation_", kept)
