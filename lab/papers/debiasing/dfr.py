"""Deep feature reweighting (Kirichenko et al., ICLR 2023): the last layer is fitted again, on balanced groups."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lab.data.batch import Batch
from lab.errors import DataError, UserError
from lab.papers.debiasing.classifier import Classifier, no_bias
from lab.papers.debiasing.config import DFRConfig
from lab.papers.debiasing.last_layer import Solution, retrain
from lab.stages.seeds import derive

log = logging.getLogger(__name__)


class DFR(Classifier):
    """The network of `weights`, its head replaced by an L1 logistic regression on its own validation features.

    Reads the features from the role `features`: predictions of the same weights on the validation split, with
    `features: true`. The rows of those whose true bias is known are used, so this method needs bias labels on the
    validation split. Closed-form: the fit looks at one batch, for the curves, and ends.

    Where the fit validates, it logs besides the metrics of the validation rows, which are the rows that it was fitted
    to: `val/dfr_c`, `val/dfr_rows_per_group`, and `val/dfr_held_out_worst_group_accuracy`, that of the chosen C on the
    half of the rows which was held out for the choice.
    """

    config: DFRConfig
    found: Solution | None = None

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage != "fit":
            return
        if "weights" not in self.inputs:
            raise UserError("DFR: needs `weights:`, the fit whose last layer is trained again")
        if not isinstance(self.network.head, nn.Linear):
            raise UserError(f"DFR: the last layer of {self.config.network.arch} is not linear; not supported")
        table = self.signal("features")
        made = self.inputs["features"].manifest["stage"]
        if made["split"] == "test":
            raise UserError("DFR: `needs: features` names predictions on the test split; predict on `val`")
        if made["inputs"].get("weights") != self.inputs["weights"].key:
            raise UserError("DFR: `needs: features` and `weights` are of two models; both have to name the same fit")
        if table.features is None or table.features.shape[1] != self.network.head.in_features:
            raise UserError("DFR: `needs: features` holds no features; give that stage `module: {features: true}`")
        if table.group is None or not (table.group >= 0).any():
            raise no_bias("DFR", "of validation rows")

    def on_train_start(self) -> None:
        solved = self.solve() if self.trainer.is_global_zero else None
        self.found = solved = self.trainer.strategy.broadcast(solved)
        assert solved is not None
        head = self.network.head
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(solved.weight))  # type: ignore[operator]
            head.bias.copy_(torch.from_numpy(solved.bias))  # type: ignore[operator]
        log.info("DFR: C %g, %d rows a group", solved.c, solved.rows_per_group)

    def solve(self) -> Solution:
        """The new head, from the rows of the table whose group is known."""
        table, config, facts = self.signal("features"), self.config, self.facts
        assert table.group is not None and table.features is not None
        group = table.group
        if config.groups == "alignment":
            conflicting = table.conflicting_true(torch.as_tensor(facts.aligned))
            group = torch.where(conflicting < 0, -1, 2 * table.label + conflicting)
        known = group >= 0
        absent = sorted(set(range(facts.num_classes)) - set(table.label[known].tolist()))
        if absent:
            names = ", ".join(facts.class_names[k] for k in absent)
            raise DataError(f"DFR: no validation row with a known bias in class {names}")
        columns = [column[known].numpy() for column in (table.features, table.label, group)]
        random = np.random.default_rng(derive(self.seed, "dfr"))
        return retrain(*columns, c=config.c, retrains=config.retrains, random=random)

    def configure_optimizers(self) -> Any:
        warnings.filterwarnings("ignore", message=".*this fit will run with no optimizer")
        return None

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.trainer.should_stop = True
        self.network.eval()  # the features were made in this mode, and have to stay what they are
        return super().training_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        if self.found is not None:
            found = {
                "c": self.found.c,
                "rows_per_group": float(self.found.rows_per_group),
                "held_out_worst_group_accuracy": self.found.held_out,
            }
            self.log_found("val/dfr_", {name: torch.tensor(value) for name, value in found.items()})
