"""Plain training of a classifier, and what the debiasing modules share: views, metrics, and the signal table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanMetric

from lab.data.base import Facts
from lab.data.batch import Batch
from lab.data.signals import SignalTable
from lab.errors import UserError
from lab.metrics.groups import GroupAccuracy
from lab.metrics.identification import Identification
from lab.networks import backbones
from lab.networks.augment import UNIFORMS, augment
from lab.networks.optimizers import build_optimizer
from lab.papers.debiasing.config import ClassifierConfig
from lab.papers.debiasing.objectives import EPSILON, class_max, generalised_cross_entropy
from lab.stages.artefact import Artefact
from lab.stages.module import StageModule, Summary

MOST_GROUPS = 16
"""Data sets with more groups than this don't log the accuracy of each."""


class Evaluation(nn.Module):
    """Loss and accuracies of the rows of a split, each counted once on however many devices."""

    def __init__(self, facts: Facts):
        super().__init__()
        self.accuracy = group_accuracy(facts, per_group=facts.num_classes * facts.num_biases <= MOST_GROUPS)
        self.loss = MeanMetric()

    def update(self, logits: Tensor, batch: Batch) -> None:
        """logits: (B, C)."""
        self.accuracy.update(logits.argmax(1), batch.label, batch.group)
        self.loss.update(F.cross_entropy(logits, batch.label), len(batch.label))

    def result(self) -> dict[str, Tensor]:
        """`loss` and the metrics of `GroupAccuracy` since the last call."""
        found = {"loss": self.loss.compute(), **self.accuracy.compute()}
        self.loss.reset()
        self.accuracy.reset()
        return found


class Classifier(StageModule):
    """Empirical risk minimisation. Subclasses override `objective`.

    Logs `train/loss` and `train/accuracy`; `val/<metric>` and `test/<metric>` for `loss` and the metrics of
    `GroupAccuracy`; with the role `val_signal` (a biased model's predictions on the validation rows) also
    `val/pseudo_worst_group_accuracy`, over class x error of that model: a selection rule that needs no bias labels.

    `predict_step` returns the columns of `SignalTable`; the loss is cross-entropy, on the image as it is, and 0 where
    the label isn't known (-1).
    """

    config: ClassifierConfig
    whole_batches: ClassVar[bool] = False
    """Whether `objective` relates the rows of a batch, so that accumulation over parts would change the training."""
    training_state: ClassVar[tuple[str, ...]] = ()
    """Submodules whose buffers a recovery checkpoint keeps; they are no part of the weights."""

    def __init__(self, config: ClassifierConfig, facts: Facts, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, facts, inputs)
        self.network = self.build_network()
        self.val, self.test = Evaluation(facts), Evaluation(facts)
        self.pseudo_val: GroupAccuracy | None = None
        self.val_group: Tensor | None = None
        """Pseudo-group of each validation row."""

    def build_network(self) -> backbones.Classifier:
        """A new network; pretrained weights are read only where no stage's weights are about to replace them."""
        pretrained = "weights" not in self.inputs
        channels = self.facts.image_shape[0]
        return backbones.build_classifier(self.config.network, self.facts.num_classes, channels, pretrained=pretrained)

    def signal(self, role: str = "signal") -> SignalTable:
        """The signal table of a role.

        Raises:
            UserError: the stage has none.
        """
        if role not in self.inputs:
            name = type(self).__name__
            raise UserError(f"{name}: needs the predictions of a biased model; give the stage `needs: {{{role}: …}}`")
        return SignalTable.from_columns(self.inputs[role].table(), f"signal table '{role}'")

    def setup(self, stage: str) -> None:
        if stage == "fit" and self.whole_batches and self.trainer.accumulate_grad_batches > 1:
            raise UserError(f"{type(self).__name__}: its loss relates the rows of a batch; set trainer.accumulate=1")
        if stage in ("fit", "validate") and "val_signal" in self.inputs:
            table = self.signal("val_signal")
            if len(table) != self.facts.sizes["val"]:
                size = self.facts.sizes["val"]
                raise UserError(f"signal table 'val_signal': holds {len(table)} rows, the validation split {size}")
            self.val_group = 2 * table.label + (table.prediction != table.label).long()
            aligned = torch.tensor([[True, False]] * self.facts.num_classes)
            self.pseudo_val = GroupAccuracy(self.facts.num_classes, 2, aligned).to(self.device)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the networks, not the steps around them."""
        for network in self.children():
            if isinstance(network, backbones.Classifier):
                network.compile(*args, **kwargs)

    def configure_optimizers(self) -> Any:
        return build_optimizer(self.parameters(), self.config, int(self.trainer.estimated_stepping_batches))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        kept = [(k, v) for k, v in self.named_buffers() if k.partition(".")[0] in self.training_state]
        checkpoint["training_state"] = {name: value.cpu() for name, value in kept}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        for name, value in checkpoint.get("training_state", {}).items():
            self.get_buffer(name).copy_(value)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, C) of images (B, c, h, w) in [0, 1]."""
        return full_precision(self.network(self.views(images)))

    def views(self, images: Tensor) -> Tensor:
        """Images as the network sees them: a random view each in training."""
        side = self.config.resize_down
        if side is not None and side < min(images.shape[-2:]):
            images = backbones.resize(images, side)
        if self.training and self.config.augment != "none":
            uniforms = self.draw("augment", lambda n, g: torch.rand(n, UNIFORMS, generator=g, device=g.device))
            images = augment(images, uniforms, self.config.augment, self.config.crop_padding)
        return images

    def objective(self, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss (scalar) and logits (B, C) of a training batch. images: its views."""
        logits = full_precision(self.network(images))
        if self.config.loss == "gce":
            return generalised_cross_entropy(logits, batch.label, self.config.gce_q).mean(), logits
        return F.cross_entropy(logits, batch.label), logits

    def total(self, local: Tensor) -> Tensor:
        """Sum of a tensor without gradient over the devices."""
        gathered = cast(Tensor, self.all_gather(local))
        return gathered.view(self.trainer.world_size, *local.shape).sum(0)

    def all_rows(self, *columns: Tensor) -> list[Tensor]:
        """Columns (B,) without gradient, joined over the devices."""
        return [cast(Tensor, self.all_gather(column)).flatten() for column in columns]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss, logits = self.objective(self.views(batch.image), batch)
        right = (logits.detach().argmax(1) == batch.label).float().mean()
        scalars = {"train/loss": loss.detach(), "train/accuracy": right}
        self.log_dict(scalars, batch_size=len(batch.label), sync_dist=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        logits = self(batch.image)
        self.val.update(logits, batch)
        if self.pseudo_val is not None and self.val_group is not None:
            group = self.val_group[batch.index.cpu()].to(batch.label)
            self.pseudo_val.update(logits.argmax(1), batch.label, group)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.test.update(self(batch.image), batch)

    def on_validation_epoch_end(self) -> None:
        self.log_found("val/", self.val.result())
        if self.pseudo_val is not None:
            worst = self.pseudo_val.compute()["worst_group_accuracy"]
            self.log_found("val/pseudo_", {"worst_group_accuracy": worst})
            self.pseudo_val.reset()

    def on_test_epoch_end(self) -> None:
        self.log_found("test/", self.test.result())

    def log_found(self, prefix: str, found: Mapping[str, Tensor]) -> None:
        """Log what was computed over all devices."""
        scalars = {f"{prefix}{name}": value.to(self.device, torch.float32) for name, value in found.items()}
        self.log_dict(scalars, sync_dist=True)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        encoded = self.network.encode(self.views(batch.image))
        logits = full_precision(self.network.head(encoded))
        columns = {
            "index": batch.index,
            "label": batch.label,
            "prediction": logits.argmax(1),
            "probabilities": logits.softmax(1),
            "loss": F.cross_entropy(logits, batch.label, reduction="none", ignore_index=-1),
        }
        if self.config.features:
            columns["features"] = self.network.pool(encoded).float()
        if self.facts.num_biases:
            columns["group"] = batch.group
            columns["bias"] = torch.where(batch.group < 0, -1, batch.group % self.facts.num_biases)
        return columns

    def summarise(self, table: Mapping[str, Tensor], names: Sequence[str]) -> Summary:
        """Accuracies of the predictions and, where the true bias is known, how well they tell conflicting rows.

        `precision`, `recall` and `f1` take the errors for conflicting; `loss_auc` and `loss_average_precision` order
        rows by their loss. Nothing where the rows have no labels.
        """
        return summary_of_signal(table, self.facts)


def full_precision(logits: Tensor) -> Tensor:
    """Logits in at least float32, for the loss, where autocast made them shorter."""
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits


def group_accuracy(facts: Facts, **options: Any) -> GroupAccuracy:
    """The metric for a data set; without its group part where no bias is annotated."""
    if not facts.aligned.size:
        return GroupAccuracy(facts.num_classes, **options)
    return GroupAccuracy(
        facts.num_classes,
        facts.num_biases,
        facts.aligned,
        facts.group_counts,
        bias_factors=facts.bias_factors,
        **options,
    )


def summary_of_signal(table: Mapping[str, Tensor], facts: Facts) -> Summary:
    """See `Classifier.summarise`."""
    if "label" not in table or (table["label"] < 0).any():
        return Summary()
    signal = SignalTable.from_columns(table)
    accuracy = group_accuracy(facts, sync_on_compute=False)
    unknown = torch.full_like(signal.label, -1)
    accuracy.update(signal.prediction, signal.label, unknown if signal.group is None else signal.group)
    found = accuracy.compute()
    found |= identification(signal, signal.prediction != signal.label, facts)
    return Summary({name: float(value) for name, value in found.items()})


def no_bias(method: str, rows: str) -> UserError:
    """The error of a method that knows the true bias, on data where that isn't annotated."""
    return UserError(
        f"{method}: needs the true bias {rows}, which the data set doesn't have; give it bias labels, or leave the "
        "stage out (`enabled: false`)"
    )


def frozen_loss(table: SignalTable, facts: Facts, class_normalise: bool, method: str) -> Tensor:
    """Loss (n,) of a frozen biased model on the training rows, divided by the largest of its class on request.

    Raises:
        UserError: the table is of other rows or classes.
    """
    classes, size = facts.num_classes, facts.sizes["train"]
    if len(table) != size or table.num_classes != classes:
        raise UserError(
            f"{method}: the signal has {len(table)} rows and {table.num_classes} classes, the training split "
            f"{size} and {classes}; predict on that split"
        )
    if not class_normalise:
        return table.loss
    highest = class_max(table.loss, table.label, classes)[table.label]
    return table.loss / highest.clamp(min=EPSILON)


def identification(signal: SignalTable, flagged: Tensor, facts: Facts) -> dict[str, Tensor]:
    """`Identification` of the rows whose true bias is known, the loss being the score; empty where none is.

    signal, flagged: all rows, in each process that calls this.
    """
    truth = signal.conflicting_true(torch.as_tensor(facts.aligned))
    known = truth >= 0
    if not known.any():
        return {}
    metric = Identification(sync_on_compute=False)
    metric.update(flagged[known], truth[known] == 1, signal.loss[known])
    found = metric.compute()
    scores = {"auc": "loss_auc", "average_precision": "loss_average_precision"}
    return {scores.get(name, name): value for name, value in found.items()}
