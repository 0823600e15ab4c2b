"""Just Train Twice (Liu et al., ICML 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from lab.papers.debiasing.classifier import Classifier
from lab.papers.debiasing.config import JTTConfig


class JTT(Classifier):
    """Plain training that draws `upweight` times as often the rows that the model in the role `signal` gets wrong.

    The paper puts `upweight` copies of them into the training set; here an epoch keeps the number of rows and has, on
    average, the same composition.
    """

    config: JTTConfig

    def sampling_weights(self, labels: Tensor, groups: Tensor) -> Tensor | None:
        table = self.signal()
        table.require_rows(labels, "JTT: signal table")
        return torch.where(table.prediction != table.label, self.config.upweight, 1.0).double()
