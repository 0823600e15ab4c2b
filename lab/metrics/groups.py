"""Accuracies over groups of class and bias attribute: what debiasing is judged by."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric


class GroupAccuracy(Metric):
    """Accuracy overall, per group, per class, and on bias-aligned and bias-conflicting rows.

    A group is `label * biases + bias`. Rows of group -1 (bias not known) count in `accuracy` and `balanced_accuracy`
    only. Counts are summed over devices; each row counts once. An accuracy over no rows is absent from the result.

    `compute()` returns:
        accuracy: share of right rows.
        balanced_accuracy: mean over the classes of the share of right rows.
        worst_group_accuracy: lowest accuracy of a group that has rows.
        weighted_accuracy: mean of the group accuracies, weighted by the rows of the group in *training* (the adjusted
            average accuracy of Waterbirds; Sagawa et al. 2020). Groups without rows here are left out of both sums.
        aligned_accuracy, conflicting_accuracy: share of right rows where the bias goes with the class, or not.
        rows, aligned_rows, conflicting_rows: how many they are over.
        group/<label>_<bias>: accuracy of one group, with `per_group`.
        what `urbancars_gaps` gives, with two classes, bias factors (2, 2) and rows in all eight groups.

    Args:
        num_classes, num_biases: sizes of the label and of the bias attribute; no biases: none is annotated.
        aligned: bool (num_classes, num_biases), True where the attribute goes with the class.
        train_group_counts: (num_classes * num_biases,), rows of each group in training.
        per_group: whether each group's accuracy is among the results.
        bias_factors: sizes of the attributes that the bias attribute is made of.
        options: of `torchmetrics.Metric`; `sync_on_compute=False` for rows that one process has all of.
    """

    full_state_update = False

    class_right: Tensor
    class_rows: Tensor
    group_right: Tensor
    group_rows: Tensor
    aligned: Tensor
    train_counts: Tensor

    def __init__(
        self,
        num_classes: int,
        num_biases: int = 0,
        aligned: np.ndarray | Tensor | None = None,
        train_group_counts: np.ndarray | Tensor | None = None,
        per_group: bool = False,
        bias_factors: tuple[int, ...] = (),
        **options: Any,
    ):
        super().__init__(**options)
        self.num_classes, self.num_biases, self.per_group = num_classes, num_biases, per_group
        self.two_shortcuts = (num_classes, *bias_factors) == (2, 2, 2)
        groups = num_classes * num_biases
        self.register_buffer("aligned", _flat(aligned, torch.bool, groups, "aligned"), persistent=False)
        counts = _flat(train_group_counts, torch.float64, groups, "train_group_counts")
        self.register_buffer("train_counts", counts, persistent=False)
        for name, size in (("class", num_classes), ("group", groups)):
            for what in ("right", "rows"):
                self.add_state(f"{name}_{what}", torch.zeros(size, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, label: Tensor, group: Tensor) -> None:
        """prediction, label, group: int64 (B,)."""
        right = prediction == label
        known = group >= 0
        self.class_rows += torch.bincount(label, minlength=self.num_classes)
        self.class_right += torch.bincount(label[right], minlength=self.num_classes)
        if self.num_biases:
            groups = len(self.group_rows)
            self.group_rows += torch.bincount(group[known], minlength=groups)
            self.group_right += torch.bincount(group[right & known], minlength=groups)

    def compute(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {"rows": self.class_rows.sum()}
        if found["rows"] == 0:
            return found
        found["accuracy"] = self.class_right.sum() / found["rows"]
        present = self.class_rows > 0
        found["balanced_accuracy"] = (self.class_right[present] / self.class_rows[present]).mean()
        present = self.group_rows > 0
        if not present.any():
            return found
        accuracy = self.group_right[present].double() / self.group_rows[present]
        found["worst_group_accuracy"] = accuracy.min()
        weights = self.train_counts[present]
        if weights.sum() > 0:
            found["weighted_accuracy"] = (accuracy * weights).sum() / weights.sum()
        for kind, rows in (("aligned", self.aligned), ("conflicting", ~self.aligned)):
            found[f"{kind}_rows"] = self.group_rows[rows].sum()
            if found[f"{kind}_rows"] > 0:
                found[f"{kind}_accuracy"] = self.group_right[rows].sum() / found[f"{kind}_rows"]
        if self.two_shortcuts and present.all():
            found |= urbancars_gaps(accuracy.view(2, 2, 2))
        if self.per_group:
            for group, value in zip(present.nonzero().flatten().tolist(), accuracy, strict=True):
                found["group/{}_{}".format(*divmod(group, self.num_biases))] = value
        return found


def _flat(values: np.ndarray | Tensor | None, dtype: torch.dtype, size: int, name: str) -> Tensor:
    flat = torch.zeros(size, dtype=dtype) if values is None else torch.as_tensor(values, dtype=dtype).flatten()
    if len(flat) != size:
        raise ValueError(f"{name} has {len(flat)} entries, there are {size} groups")
    return flat


def urbancars_gaps(accuracy: Tensor, share: float = 0.95) -> dict[str, Tensor]:
    """In-distribution accuracy and gaps of UrbanCars (Li et al., A Whac-A-Mole Dilemma, 2023).

    With A(b, o) the mean over the classes of the accuracy where background and co-occurring object are common (1) or
    rare (0) for the class, and r the share of the common ones in training: `id_accuracy` is the sum of
    A(b, o) r^b (1-r)^(1-b) r^o (1-r)^(1-o); `bg_gap` is A(0, 1), `coobj_gap` A(1, 0) and `bg_coobj_gap` A(0, 0), less
    that. Gaps are at most about 0; nearer to 0 is better. A(0, 0) comes as `rare_accuracy`, as a low in-distribution
    accuracy makes gaps look good.

    Args:
        accuracy: (2, 2, 2), by label, background and object; value k of an attribute is common in class k.
        share: r.
    """
    if accuracy.shape != (2, 2, 2):
        raise ValueError(f"accuracy must be (2, 2, 2), is {tuple(accuracy.shape)}")

    def mean(background: int, object_: int) -> Tensor:
        cells = [accuracy[y, y if background else 1 - y, y if object_ else 1 - y] for y in (0, 1)]
        return (cells[0] + cells[1]) / 2

    within = sum(
        (mean(b, o) * share ** (b + o) * (1 - share) ** (2 - b - o) for b in (0, 1) for o in (0, 1)),
        start=torch.zeros((), dtype=accuracy.dtype),
    )
    return {
        "id_accuracy": within,
        "bg_gap": mean(0, 1) - within,
        "coobj_gap": mean(1, 0) - within,
        "bg_coobj_gap": mean(0, 0) - within,
        "rare_accuracy": mean(0, 0),
    }
