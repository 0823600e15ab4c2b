"""GroupDRO: with true groups it is the oracle, with those of a bias amplifier it is DDB's recipe I."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from lab.data.batch import Batch
from lab.data.signals import SignalTable
from lab.errors import UserError
from lab.papers.debiasing import objectives
from lab.papers.debiasing.classifier import Classifier, full_precision, identification, no_bias
from lab.papers.debiasing.config import GroupDROConfig

log = logging.getLogger(__name__)


class GroupDRO(Classifier):
    """`groups: attribute` and `alignment` read the true bias of each row, `signal` reads the role `signal` alone.

    With a signal, also logs how good the pseudo-groups of the training rows are: `val/pseudo_<metric>` of
    `Identification` where the true bias is known, and the rows of the smallest group as `val/pseudo_smallest_group`.
    """

    config: GroupDROConfig
    whole_batches: ClassVar[bool] = True
    training_state: ClassVar[tuple[str, ...]] = ("dro",)
    dro: objectives.GroupDRO
    lookup: Tensor

    @cached_property
    def table(self) -> SignalTable:
        table = self.signal()
        if table.num_classes != self.facts.num_classes:
            raise UserError(f"GroupDRO: the signal has {table.num_classes} classes, the data {self.facts.num_classes}")
        return table

    @cached_property
    def flagged(self) -> Tensor:
        """Rows (n,) taken for conflicting."""
        config, table = self.config, self.table
        return objectives.pseudo_conflicting(
            table.label, table.prediction, table.loss, config.filter, config.filter_gamma, config.filter_k
        )

    @cached_property
    def group_of(self) -> Tensor:
        """Group (n,) by training row with a signal, else by `Batch.group` (classes * biases,)."""
        facts = self.facts
        if self.config.groups == "signal":
            return objectives.alignment_groups(self.table.label, self.flagged, facts.num_classes)
        if int(facts.group_counts.sum()) < facts.sizes["train"] or not facts.aligned.size:
            raise no_bias(f"GroupDRO with groups: {self.config.groups}", "of every training row")
        cells = torch.arange(facts.num_classes * facts.num_biases)
        if self.config.groups == "attribute":
            return cells
        label, conflicting = cells // facts.num_biases, ~torch.as_tensor(facts.aligned).flatten()
        present = torch.as_tensor(facts.group_counts) > 0
        group = 2 * label
        group[present] = objectives.alignment_groups(label[present], conflicting[present], facts.num_classes)
        return group

    @property
    def counts(self) -> Tensor:
        """Training rows of each group (G,)."""
        attribute = self.config.groups == "attribute"
        size = self.facts.num_classes * (self.facts.num_biases if attribute else 2)
        if self.config.groups == "signal":
            return torch.bincount(self.group_of, minlength=size)
        rows = torch.as_tensor(self.facts.group_counts)
        return torch.zeros(size, dtype=rows.dtype).index_add(0, self.group_of, rows)

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit":
            self.dro = objectives.GroupDRO(self.counts, self.config.eta, self.config.adjustment)
            self.register_buffer("lookup", self.group_of, persistent=False)

    def sampling_weights(self, labels: Tensor, groups: Tensor) -> Tensor | None:
        if self.config.groups == "signal":
            self.table.require_rows(labels, "GroupDRO: signal table")
        if not self.config.balanced:
            return None
        own = self.group_of if self.config.groups == "signal" else self.group_of[groups.cpu()]
        return objectives.balanced_weights(own, len(self.counts))

    def pseudo_groups(self) -> dict[str, Tensor]:
        """How good the pseudo-groups of the training rows are; never changes while training."""
        found = identification(self.table, self.flagged, self.facts) or {"flagged": self.flagged.sum()}
        return {**found, "smallest_group": self.counts[self.counts > 0].min()}

    def on_train_start(self) -> None:
        if self.config.groups == "signal":
            for name, rows in zip(self.facts.class_names, self.counts.view(-1, 2).tolist(), strict=True):
                log.info("pseudo-groups of %s: %d aligned, %d conflicting", name, *rows)

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        if self.config.groups == "signal" and "signal" in self.inputs:
            self.log_found("val/pseudo_", self.pseudo_groups())

    def objective(self, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = full_precision(self.network(images))
        losses = F.cross_entropy(logits, batch.label, reduction="none")
        group = self.lookup[batch.index if self.config.groups == "signal" else batch.group]
        return self.dro(losses, group, self.total, self.trainer.world_size), logits
