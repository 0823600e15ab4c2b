"""How well bias-conflicting rows are found."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import binary_auroc, binary_average_precision


class Identification(Metric):
    """Rows said to be bias-conflicting against rows that are, and how a score orders the two kinds.

    `compute()` returns, each in [0, 1] and absent where it isn't defined:
        precision: TP / (TP + FP), the share of the rows said to be conflicting that are. 0 when none is said to be.
        recall: TP / (TP + FN), the share of the conflicting rows that are said to be.
        f1: 2 TP / (2 TP + FP + FN).
        auc: area under the ROC curve of the score: the chance that a conflicting row has a higher score than an
            aligned one, ties counting half.
        average_precision: sum over the thresholds of (recall gained) x precision, without interpolation.
        flagged, conflicting: how many rows are said to be conflicting, and are.

    Without a conflicting row nothing but the counts is defined, without an aligned one no `auc`.

    Args:
        options: of `torchmetrics.Metric`; `sync_on_compute=False` for rows that one process has all of.
    """

    full_state_update = False

    flagged: list[Tensor]
    truth: list[Tensor]
    score: list[Tensor]

    def __init__(self, **options: Any):
        super().__init__(**options)
        for name in ("flagged", "truth", "score"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, flagged: Tensor, truth: Tensor, score: Tensor) -> None:
        """flagged, truth: bool (B,), said to be and truly conflicting; score: (B,), higher for conflicting."""
        self.flagged.append(flagged.bool())
        self.truth.append(truth.bool())
        self.score.append(score.double())

    def compute(self) -> dict[str, Tensor]:
        flagged, truth, score = (_joined(getattr(self, name)) for name in ("flagged", "truth", "score"))
        found = {"flagged": flagged.sum(), "conflicting": truth.sum()}
        if not truth.any():
            return found
        hit = (flagged.bool() & truth.bool()).sum()
        found["precision"] = hit / found["flagged"].clamp(min=1)
        found["recall"] = hit / found["conflicting"]
        found["f1"] = 2 * hit / (found["flagged"] + found["conflicting"])
        # torchmetrics squashes scores outside [0, 1] with a sigmoid, which makes high losses equal: give it ranks
        values, rank = torch.unique(score, return_inverse=True)
        rank = rank.double() / len(values)
        found["average_precision"] = binary_average_precision(rank, truth.long())
        if not truth.all():
            found["auc"] = binary_auroc(rank, truth.long())
        return found


def _joined(state: list[Tensor] | Tensor) -> Tensor:
    """A list state, which is one tensor once it has been synchronised."""
    if isinstance(state, Tensor):
        return state
    return torch.cat(state) if state else torch.zeros(0)
