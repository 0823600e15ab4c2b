"""Heads: classifiers on the features of a frozen backbone, and how the closed-form ones are fitted, chosen and kept."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lab.data.base import Facts
from lab.data.batch import Batch
from lab.errors import DataError, UserError
from lab.papers.debiasing.classifier import Evaluation, summary_of_signal
from lab.papers.features.data import FeatureBatch, FeatureData, FeatureRows
from lab.papers.features.stage import Features, encoder_of
from lab.papers.top_tuning.config import HeadConfig, SelectedConfig
from lab.papers.top_tuning.scores import accuracies, scaled, statistics, temperature
from lab.stages.artefact import Artefact
from lab.stages.load import siblings
from lab.stages.module import StageModule, Summary

log = logging.getLogger(__name__)

Settings = dict[str, float]
"""What was chosen: names and numbers."""


class Head(StageModule):
    """A classifier of features (B, d), or of images, of which it then makes the features first.

    Everything it knows is in its state dict: the scaling of features (`centre`, `scale`), the `temperature` of its
    probabilities, and what a subclass keeps. Logs `test/<metric>` for `loss` and the metrics of `GroupAccuracy`;
    `predict_step` returns the columns of `SignalTable`.
    """

    config: HeadConfig
    centre: Tensor
    scale: Tensor

    def __init__(self, config: HeadConfig, facts: Facts, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, facts, inputs)
        self.evaluation = Evaluation(facts)
        # A parameter, as a fit under DDP needs one; no optimiser ever sees it.
        self.temperature = nn.Parameter(torch.ones(()))
        if "weights" in self.inputs:
            self.make_room(self.inputs["weights"].weights())

    def make_room(self, state: Mapping[str, Tensor]) -> None:
        """Have a buffer for each entry of a state dict, whose shapes follow from what was fitted."""
        own = self.state_dict()
        for name, value in state.items():
            if name not in own:
                self.register_buffer(name, torch.empty_like(value))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.make_room(checkpoint["state_dict"])

    def scores(self, features: Tensor) -> Tensor:
        """(B, C) of features (B, d) as the backbone makes them; the highest is the class."""
        raise NotImplementedError

    def prepared(self, features: Tensor) -> Tensor:
        """Features (B, d) at the scale of the training rows."""
        return scaled(features, self.centre, self.scale, self.config.scaling)

    @cached_property  # kept beside the submodules: the backbone is no part of the weights
    def encoder(self) -> Features:
        """The stage that made the features of this head."""
        known = {**self.inputs, **(siblings(self.inputs["weights"]) if "weights" in self.inputs else {})}
        source = next((known[role] for role in ("train", "val", "test") if role in known), None)
        if source is None:
            raise UserError(f"{self.title}: can't tell which backbone made its features; name them under `needs`")
        return encoder_of(source).to(self.device)

    @property
    def title(self) -> str:
        return f"top_tuning, {type(self).__name__}"

    def logits(self, batch: Batch | FeatureBatch) -> Tensor:
        """(B, C) whose softmax is calibrated."""
        features = self.encoder(batch.image) if isinstance(batch, Batch) else batch.features
        return (self.scores(features) / self.temperature).float()

    def configure_optimizers(self) -> Any:
        warnings.filterwarnings("ignore", message=".*this fit will run with no optimizer")
        return None

    def test_step(self, batch: Batch | FeatureBatch, batch_idx: int) -> None:
        self.evaluation.update(self.logits(batch), batch)  # type: ignore[arg-type]  # label and group are all it reads

    def on_test_epoch_end(self) -> None:
        self.log_found("test/", self.evaluation.result())

    def log_found(self, prefix: str, found: Mapping[str, Tensor | float]) -> None:
        """Log what every device knows."""
        numbers = {name: torch.as_tensor(value, dtype=torch.float32) for name, value in found.items()}
        self.log_dict({f"{prefix}{name}": value.to(self.device) for name, value in numbers.items()}, sync_dist=True)

    def predict_step(self, batch: Batch | FeatureBatch, batch_idx: int) -> dict[str, Tensor]:
        logits = self.logits(batch)
        return {
            "index": batch.index,
            "label": batch.label,
            "prediction": logits.argmax(1),
            "probabilities": logits.softmax(1),
            "loss": F.cross_entropy(logits, batch.label, reduction="none", ignore_index=-1),
        }

    def summarise(self, table: Mapping[str, Tensor], names: Any) -> Summary:
        """Accuracies, where the rows have labels."""
        return summary_of_signal(table, self.facts)


@dataclass(frozen=True)
class Labelled:
    """Rows as they are stored, a memory map: features (n, d), and label int64 (n,)."""

    features: Tensor
    label: Tensor

    @classmethod
    def of(cls, rows: FeatureRows) -> Labelled:
        return cls(rows.features, rows.label)

    def __add__(self, other: Labelled) -> Labelled:
        """Both, in memory."""
        return Labelled(torch.cat([self.features, other.features]), torch.cat([self.label, other.label]))

    def __len__(self) -> int:
        return len(self.label)


class ClosedForm(Head):
    """A head that is solved, not trained by steps: before the first batch, from the rows of the feature stages.

    Each candidate is fitted to the training rows; the one with the best accuracy on the validation rows is kept, the
    first of several equally good ones; its scores there set the temperature. With `refit` it is fitted again to both.
    Test rows are never seen.

    Logs `val/accuracy`, `val/balanced_accuracy`, `val/loss` (calibrated) and `val/temperature` of the candidate that
    was chosen, before it saw the validation rows, and `val/<setting>` for each setting that was.
    """

    config: SelectedConfig
    divided = False
    """Whether all processes solve together; else the first one does, and tells the others."""

    def candidates(self, train: Labelled, val: Labelled) -> Iterator[tuple[Settings, Tensor]]:
        """Settings, and the scores (n, C) that a fit to `train` with them gives to the rows of `val`."""
        raise NotImplementedError

    def solve(self, rows: Labelled, settings: Settings) -> dict[str, Tensor]:
        """What `scores` needs, by the names of buffers, fitted to the rows with these settings."""
        raise NotImplementedError

    def setup(self, stage: str) -> None:
        if stage != "fit":
            return
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, FeatureData):
            raise UserError(f"{self.title}: fits to features; give the stage `data: {{name: features}}` and `needs`")
        for split in ("train", "val"):
            if not data.has_split(split):
                raise UserError(f"{self.title}: needs features of the {split} split; give `needs: {{{split}: …}}`")
        data.in_one_step = True

    def on_train_start(self) -> None:
        data: FeatureData = self.trainer.datamodule  # type: ignore[attr-defined]
        solved = None
        if self.divided or self.trainer.is_global_zero:
            solved = self.choose(Labelled.of(data.rows("train")), Labelled.of(data.rows("val")))
        if not self.divided:
            solved = self.trainer.strategy.broadcast(solved)
        assert solved is not None
        state, self.found = solved
        self.make_room(state)
        with torch.no_grad():
            for name, value in self.state_dict().items():
                if name in state:
                    value.copy_(state[name])
        self.to(self.device)

    def choose(self, train: Labelled, val: Labelled) -> tuple[dict[str, Tensor], dict[str, float]]:
        """The state of the best candidate, and what there is to log of it."""
        self.check(train, val)
        centre, scale = statistics(train.features, self.config.scaling)
        self.register_buffer("centre", centre)
        self.register_buffer("scale", scale)
        best: tuple[float, Settings, dict[str, float], float] | None = None
        for settings, scores in self.candidates(train, val):
            found = accuracies(scores.argmax(1), val.label)
            value = found[self.config.select]
            if best is None or value > best[0]:
                heat = temperature(scores, val.label)
                found["loss"] = float(F.cross_entropy(scores.double() / heat, val.label))
                best = (value, settings, found, heat)
        assert best is not None
        _, settings, found, heat = best
        state = self.solve(train + val if self.config.refit else train, settings)
        state |= {"centre": centre, "scale": scale, "temperature": torch.tensor(heat)}
        log.info("%s: chose %s", self.title, ", ".join(f"{k} {v:g}" for k, v in settings.items()))
        return {k: v.cpu() for k, v in state.items()}, {**found, "temperature": heat, **settings}

    def check(self, train: Labelled, val: Labelled) -> None:
        """Refuse rows that nothing can be fitted to or chosen by.

        Raises:
            DataError: labels are unknown, a class has no training row, or there is only one class.
        """
        names = self.facts.class_names
        for what, rows in (("training", train), ("validation", val)):
            if (rows.label < 0).any():
                raise DataError(f"{self.title}: {int((rows.label < 0).sum())} {what} rows have no label")
            absent = [name for k, name in enumerate(names) if not (rows.label == k).any()]
            said = ", ".join(absent[:5]) + (", …" if len(absent) > 5 else "")
            if absent and what == "training":
                raise DataError(f"{self.title}: no training row of class {said}")
            if absent:
                log.warning("%s: no validation row of class %s; they don't count in what is chosen", self.title, said)
        if len(names) < 2:
            raise DataError(f"{self.title}: all rows are of one class, '{names[0]}'; nothing to tell apart")

    def one_hot(self, label: Tensor) -> Tensor:
        """float32 (n, C)."""
        return F.one_hot(label, self.facts.num_classes).float()

    def training_step(self, batch: FeatureBatch, batch_idx: int) -> Tensor:
        self.trainer.should_stop = True
        return 0.0 * self.temperature

    def validation_step(self, batch: FeatureBatch, batch_idx: int) -> None:
        """Nothing: the validation rows were looked at when the choice was made, and may be fitted to by now."""

    def on_validation_epoch_end(self) -> None:
        self.log_found("val/", self.found)
