"""MoDAD's identification as a predict stage: from a biased model's features to rows taken for conflicting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lab.data.base import Facts
from lab.data.batch import Batch
from lab.data.signals import SignalTable
from lab.errors import DataError, UserError
from lab.metrics.identification import Identification
from lab.papers.modad.config import AnomalyConfig
from lab.papers.modad.detection import Detection, detect, pseudo_probabilities
from lab.papers.modad.pictures import contact_sheet, score_histograms
from lab.stages.artefact import Artefact
from lab.stages.module import StageModule, Summary


class Anomaly(StageModule):
    """Detectors, one a class, among the features in the role `signal`.

    Columns: those of `SignalTable`, as a biased model that gets just the flagged rows wrong would give them, so that
    what reads a biased model (`group_dro`, `jtt`, `reweighted`, `modad/debiased`) reads this stage; `score`, float32,
    higher for outliers, standardised within each class; `flagged`, int64, 1 or 0; `biased_loss`, of the biased model.

    Every process fits all detectors, which gives the same on each.

    Raises:
        UserError: no signal, or one without features; `oracle` on rows whose true bias isn't known.
    """

    config: AnomalyConfig

    def __init__(self, config: AnomalyConfig, facts: Facts, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, facts, inputs)
        if "signal" not in self.inputs:
            raise UserError("modad/anomaly: needs the features of a biased model; give `needs: {signal: …}`")
        self.rows: Any = None
        """The images, by row."""

    @cached_property
    def signal(self) -> SignalTable:
        return SignalTable.from_columns(self.inputs["signal"].table(), "signal table 'signal'")

    @cached_property
    def columns(self) -> dict[str, Tensor]:
        """Of all rows."""
        table = self.signal
        found = self.truth() if self.config.oracle else self.detected()
        label = table.label.numpy()
        probabilities = torch.from_numpy(pseudo_probabilities(found, label, table.probabilities.numpy()))
        flagged = torch.from_numpy(found.flagged)
        other = probabilities.scatter(1, table.label[:, None], -1.0).argmax(1)
        made = {
            "index": table.index,
            "label": table.label,
            "prediction": torch.where(flagged, other, table.label),
            "probabilities": probabilities.float(),
            "loss": F.nll_loss(probabilities.log(), table.label, reduction="none").float().clamp(min=0),
            "score": torch.from_numpy(found.score).float(),
            "flagged": flagged.long(),
            "biased_loss": table.loss,
        }
        return made | {k: v for k, v in (("bias", table.bias), ("group", table.group)) if v is not None}

    def detected(self) -> Detection:
        table = self.signal
        if table.features is None:
            raise UserError("modad/anomaly: its signal has no features; make it with the module modad/features")
        features, label, said = (column.numpy() for column in (table.features, table.label, table.prediction))
        return detect(features, label, said, self.facts.class_names, self.config, self.seed)

    def truth(self) -> Detection:
        """The true bias in place of what a detector says."""
        truth = self.signal.conflicting_true(torch.as_tensor(self.facts.aligned)).numpy()
        if (truth < 0).any():
            raise UserError(
                "modad/anomaly: oracle needs the true bias of every row, which the data set doesn't have; "
                "leave the stage out, or set oracle: false"
            )
        return Detection(truth.astype(np.float64), truth == 1, np.full(self.facts.num_classes, 0.5))

    def on_predict_start(self) -> None:
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        self.rows = data.rows(data.eval_split)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        index = batch.index.cpu()
        if index.max() >= len(self.signal) or (self.signal.label[index] != batch.label.cpu()).any():
            raise DataError("signal table 'signal': its rows are not those of this stage; it was made on other data")
        return {name: values[index] for name, values in self.columns.items()}

    def summarise(self, table: Mapping[str, Tensor], names: Sequence[str]) -> Summary:
        """How many rows are flagged and, where the true bias is known, how well that and the score find it.

        Metrics: `flagged_share`; `precision`, `recall`, `f1` of the flagged rows; `score_auc` and
        `score_average_precision` of the score, `biased_loss_auc` of the biased model's loss, for comparison. Pictures:
        `scores.png`, histograms for each class; `images.png`, the most normal and most anomalous images of each class.
        """
        signal = SignalTable.from_columns(table)
        flagged, score = table["flagged"] == 1, table["score"]
        truth = signal.conflicting_true(torch.as_tensor(self.facts.aligned))
        metrics = {"flagged_share": float(flagged.float().mean()), **self.quality(table, truth)}
        arrays = (signal.label.numpy(), score.numpy(), flagged.numpy(), truth.numpy())
        pictures = {"scores.png": score_histograms(*arrays, self.facts.class_names)}
        if self.config.sheet and self.rows is not None:

            def images(rows: list[int]) -> np.ndarray:
                return np.moveaxis(self.rows[rows].image.numpy(), 1, 3)

            pictures["images.png"] = contact_sheet(images, *arrays, self.facts.class_names, self.config.sheet)
        return Summary(metrics, pictures)

    def quality(self, table: Mapping[str, Tensor], truth: Tensor) -> dict[str, float]:
        known = truth >= 0
        if not known.any():
            return {}
        found = {}
        for name in ("biased_loss", "score"):
            metric = Identification(sync_on_compute=False)
            metric.update(table["flagged"][known], truth[known] == 1, table[name][known])
            computed = metric.compute()
            found[f"{name}_auc"] = computed.pop("auc", None)
            average = computed.pop("average_precision", None)
        found |= computed | {"score_average_precision": average}
        return {name: float(value) for name, value in found.items() if value is not None}
