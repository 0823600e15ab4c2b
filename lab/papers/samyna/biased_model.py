"""Which instant of a training is the most biased one (step A of SaMyNa), and models that were trained elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from lab.data.batch import Batch
from lab.errors import UserError
from lab.metrics.groups import GroupAccuracy
from lab.networks import backbones
from lab.networks.weights import is_file_name, read_state
from lab.papers.debiasing.classifier import Classifier, group_accuracy
from lab.papers.samyna.config import BiasedModelConfig, PretrainedConfig


class BiasedModel(Classifier):
    """Plain training. After each validation, all training images are scored as they are, and it logs

    `val/confidence_gap`: D(t), the mean over the errors of p(predicted class) - p(true class); 0 without errors.
    `val/guarded_confidence_gap`: the same, but 0 with fewer than max(errors_per_class * C, error_share * n) errors.
        One confidently wrong image would win otherwise, late in training. This is what t* is chosen by:
        `trainer: {select: best, monitor: val/guarded_confidence_gap}`.
    `val/train_errors`, and `val/train_<metric>` of `GroupAccuracy`: how much of the bias is memorised so far.
    """

    config: BiasedModelConfig
    train_rows: GroupAccuracy | None = None

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        if self.trainer.state.fn != "fit":
            return
        accuracy = group_accuracy(self.facts).to(self.device)
        sums = torch.zeros(2, device=self.device, dtype=torch.float64)
        plugin = self.trainer.precision_plugin
        with plugin.val_step_context():
            for batch in self.trainer.datamodule.eval_loader("train"):  # type: ignore[attr-defined]
                moved = cast(Batch, plugin.convert_input(self.trainer.strategy.batch_to_device(batch)))
                logits = self(moved.image)
                sums += torch.stack(confidence_gaps(logits, moved.label))
                accuracy.update(logits.argmax(1), moved.label, moved.group)
        gap, errors = self.total(sums).tolist()
        mean = gap / max(errors, 1)
        least = max(
            self.config.errors_per_class * self.facts.num_classes, self.config.error_share * self.facts.sizes["train"]
        )
        found = {
            "confidence_gap": mean,
            "guarded_confidence_gap": mean if errors >= least else 0.0,
            "train_errors": errors,
        }
        self.log_found("val/", {name: torch.tensor(value) for name, value in found.items()})
        self.log_found("val/train_", accuracy.compute())


def confidence_gaps(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Sum over the errors of p(predicted class) - p(true class), and the number of errors; float64 scalars.

    logits: (B, C); labels: int64 (B,).
    """
    probabilities = logits.double().softmax(1)
    best, predicted = probabilities.max(1)
    wrong = predicted != labels
    gap = best - probabilities.gather(1, labels[:, None])[:, 0]
    return (gap * wrong).sum(), wrong.sum().double()


class Pretrained(Classifier):
    """A classifier that somebody else trained: `network: {arch: resnet50, weights: FILE}`, in a fit of no steps
    (`trainer: {max_steps: 0}`), so that everything that reads a trained model reads this one.

    Raises:
        UserError: the file holds no head for the classes of the data.
    """

    config: PretrainedConfig

    def build_network(self) -> backbones.Classifier:
        network = super().build_network()
        weights = self.config.network.weights
        if "weights" not in self.inputs and is_file_name(weights):
            # A head of another shape is left out by the loader, which is right for fine-tuning and wrong here.
            state = read_state(Path(weights).expanduser())
            head = [value for value in network.head.state_dict().values() if value.ndim > 1]
            if not all(any(v.shape == own.shape and torch.equal(v, own) for v in state.values()) for own in head):
                raise UserError(
                    f"pretrained: {weights} has no head for the {self.facts.num_classes} classes of the data; "
                    "it was trained on others, or without a head"
                )
        return network

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit" and self.trainer.max_steps != 0:
            raise UserError("pretrained: the network is taken as it is; give the stage `trainer: {max_steps: 0}`")
