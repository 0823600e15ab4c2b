"""What a perfect biased model would say: a signal that is read off the true bias labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lab.data.batch import Batch
from lab.papers.debiasing.classifier import no_bias, summary_of_signal
from lab.papers.debiasing.config import BiasOracleConfig
from lab.stages.module import StageModule, Summary


class BiasOracle(StageModule):
    """Predicts, for each row, the class that its true bias goes with, with one confidence for all rows.

    Takes the place of a bias amplifier under `needs: {signal: …}`: what a method would reach if its biased model were
    never wrong. A bias that goes with several classes counts for the row's own, else for the first of them; one that
    goes with none counts for the class after the row's own.
    """

    config: BiasOracleConfig

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        facts, label = self.facts, batch.label
        if not facts.aligned.size or (batch.group < 0).any():
            raise no_bias("bias_oracle", "of every row")
        bias = batch.group % facts.num_biases
        aligned = torch.as_tensor(facts.aligned, device=label.device)
        other = torch.where(aligned[:, bias].any(0), aligned[:, bias].int().argmax(0), (label + 1) % facts.num_classes)
        prediction = torch.where(aligned[label, bias], label, other)
        rest = (1 - self.config.confidence) / (facts.num_classes - 1)
        probabilities = torch.full((len(label), facts.num_classes), rest, device=label.device)
        probabilities.scatter_(1, prediction[:, None], self.config.confidence)
        return {
            "index": batch.index,
            "label": label,
            "prediction": prediction,
            "probabilities": probabilities,
            "loss": -probabilities.gather(1, label[:, None])[:, 0].log(),
            "group": batch.group,
            "bias": bias,
        }

    def summarise(self, table: Mapping[str, Tensor], names: Sequence[str]) -> Summary:
        """As a classifier's; the identification is perfect by construction."""
        return summary_of_signal(table, self.facts)
