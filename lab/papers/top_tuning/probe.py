"""The linear probe: a linear layer on frozen features, trained by gradient steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lab.data.base import Facts
from lab.errors import UserError
from lab.networks.optimizers import build_optimizer
from lab.papers.debiasing.classifier import Evaluation
from lab.papers.features.data import FeatureBatch, FeatureData
from lab.papers.top_tuning.config import ProbeConfig
from lab.papers.top_tuning.head import Head
from lab.papers.top_tuning.scores import statistics
from lab.stages.artefact import Artefact


class Probe(Head):
    """Cross-entropy, any optimiser, as many epochs as the trainer says. Logs `train/loss`, `train/accuracy`, and
    `val/<metric>` as `test/<metric>`. Its probabilities are those it was trained for, at temperature 1.
    """

    config: ProbeConfig

    def __init__(self, config: ProbeConfig, facts: Facts, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, facts, inputs)
        self.temperature.requires_grad_(False)
        self.validation = Evaluation(facts)
        if "weights" in self.inputs:
            d = len(self.inputs["weights"].weights()["centre"])
        else:
            role = next((role for role in ("train", "val", "test") if role in self.inputs), None)
            if role is None:
                raise UserError(
                    f"{self.title}: needs features; give `needs: {{train: …, val: …}}`, stages of 'features'"
                )
            d = self.inputs[role].table()["features"].shape[1]
            self.register_buffer("centre", torch.zeros(d))
            self.register_buffer("scale", torch.ones(d))
        self.layer = nn.Linear(d, facts.num_classes)

    def make_room(self, state: Mapping[str, Tensor]) -> None:
        super().make_room({name: value for name, value in state.items() if not name.startswith("layer.")})

    def setup(self, stage: str) -> None:
        if stage != "fit":
            return
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, FeatureData):
            raise UserError(f"{self.title}: fits to features; give the stage `data: {{name: features}}` and `needs`")
        centre, scale = statistics(data.rows("train").features, self.config.scaling)
        self.centre.copy_(centre)
        self.scale.copy_(scale)

    def scores(self, features: Tensor) -> Tensor:
        scored: Tensor = self.layer(self.prepared(features))
        return scored

    def configure_optimizers(self) -> Any:
        return build_optimizer(self.layer.parameters(), self.config, int(self.trainer.estimated_stepping_batches))

    def training_step(self, batch: FeatureBatch, batch_idx: int) -> Tensor:
        scores = self.scores(batch.features).float()
        loss = F.cross_entropy(scores, batch.label)
        right = (scores.detach().argmax(1) == batch.label).float().mean()
        found = {"train/loss": loss.detach(), "train/accuracy": right}
        self.log_dict(found, batch_size=len(batch.label), sync_dist=True)
        return loss

    def validation_step(self, batch: FeatureBatch, batch_idx: int) -> None:
        self.validation.update(self.logits(batch), batch)  # type: ignore[arg-type]  # label and group are all it reads

    def on_validation_epoch_end(self) -> None:
        self.log_found("val/", self.validation.result())
