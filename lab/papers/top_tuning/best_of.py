"""The best of several fits of a classifier, by what they reached on the validation rows."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lab.config.build import build_options
from lab.data.base import Facts
from lab.data.batch import Batch
from lab.errors import UserError
from lab.papers.debiasing.classifier import Classifier
from lab.papers.top_tuning.config import BestOfConfig
from lab.stages.artefact import Artefact
from lab.stages.load import siblings

NAMES = ("classifier", "top_tuning/fine_tune")
"""The components that candidates may be of: plain training of all layers."""


class BestOf(Classifier):
    """The classifier among those under `needs`, in any roles, whose `monitor` is best; the first of equally good ones.

    It has the winner's options and weights; nothing is trained. Logs what the winner logged for the validation rows,
    which the choice is by; its learning rate as `val/lr`; and the time of the fits, as they took it, in seconds:
    `val/all_seconds` of all candidates, `val/one_seconds` of the winner with all the epochs it ran, and
    `val/best_epoch_seconds` of the winner up to the weights that it kept.

    Raises:
        UserError: no candidates, one that is no plain classifier, or one without the metric.
    """

    def __init__(self, config: BestOfConfig, facts: Facts, inputs: Mapping[str, Artefact] | None = None):
        given = dict(inputs or {})
        # A stage that evaluates knows the fitted choice alone, which was given the candidates.
        known = siblings(given["weights"]) if "weights" in given else given
        candidates = {role: artefact for role, artefact in known.items() if role != "weights"}
        if not candidates:
            raise UserError("top_tuning/best_of: nothing to choose from; give `needs: {a: STAGE, b: STAGE}`, fits")
        self.winner = best(candidates, config)
        chosen = self.winner.manifest["stage"]["module"]
        # The pretrained weights are replaced by the winner's, as those of a stage under `weights` would be.
        super().__init__(
            build_options("module", chosen["name"], chosen["options"]), facts, {**given, "weights": self.winner}
        )
        self.candidates = candidates

    def on_train_start(self) -> None:
        self.load_state_dict(self.winner.weights(), strict=True)

    def configure_optimizers(self) -> Any:
        warnings.filterwarnings("ignore", message=".*this fit will run with no optimizer")
        return None

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.trainer.should_stop = True
        return 0.0 * torch.stack([p.sum() for p in self.parameters()]).sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Nothing: the winner was validated when it was fitted."""

    def on_validation_epoch_end(self) -> None:
        known = self.winner.metrics
        found = {name.removeprefix("val/"): value for name, value in known.items() if name.startswith("val/")}
        own = float(self.winner.manifest["made"]["seconds"])
        found["lr"] = float(self.config.lr)
        found["all_seconds"] = sum(float(a.manifest["made"]["seconds"]) for a in self.candidates.values())
        found["one_seconds"] = own
        found["best_epoch_seconds"] = own * known["kept_step"] / max(known["steps"], 1)
        self.log_found("val/", {name: torch.tensor(value) for name, value in found.items()})


def best(candidates: Mapping[str, Artefact], config: BestOfConfig) -> Artefact:
    """The candidate with the best metric."""
    found = {}
    for role, artefact in candidates.items():
        name = artefact.manifest["stage"]["module"]["name"]
        if name not in NAMES:
            known = " and ".join(f"'{n}'" for n in NAMES)
            raise UserError(f"top_tuning/best_of: `needs: {role}` is a '{name}'; it chooses among fits of {known}")
        value = artefact.metrics.get(config.monitor, math.nan)
        if math.isnan(value):
            known = ", ".join(n for n in artefact.metrics if n.startswith("val/")) or "none"
            raise UserError(f"top_tuning/best_of: `needs: {role}` has no {config.monitor}; its metrics: {known}")
        found[role] = value if config.mode == "max" else -value
    return candidates[max(found, key=found.__getitem__)]
