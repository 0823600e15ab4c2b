"""Identification of conflicting rows, against scikit-learn."""

from __future__ import annotations

import pytest
import torch
from sklearn import metrics as sklearn

from lab.metrics.identification import Identification


def made(rows: int = 400) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    truth = torch.rand(rows, generator=generator) < 0.1
    # losses as they come: large, and with ties
    score = (torch.rand(rows, generator=generator) * 40 + 15 * truth).round(decimals=0)
    return score > 30, truth, score


def test_equals_scikit_learn_also_for_large_losses_and_ties() -> None:
    flagged, truth, score = made()
    metric = Identification()
    metric.update(flagged, truth, score)
    found = {name: float(value) for name, value in metric.compute().items()}
    assert found == pytest.approx(
        {
            "flagged": int(flagged.sum()),
            "conflicting": int(truth.sum()),
            "precision": sklearn.precision_score(truth, flagged),
            "recall": sklearn.recall_score(truth, flagged),
            "f1": sklearn.f1_score(truth, flagged),
            "auc": sklearn.roc_auc_score(truth, score),
            "average_precision": sklearn.average_precision_score(truth, score),
        },
        abs=1e-6,
    )


def test_any_division_of_the_rows_gives_the_same() -> None:
    flagged, truth, score = made()
    whole, first, second = Identification(), Identification(), Identification()
    whole.update(flagged, truth, score)
    first.update(flagged[:90], truth[:90], score[:90])
    second.update(flagged[90:], truth[90:], score[90:])
    first.merge_state(second)
    assert first.compute() == whole.compute()


def test_what_is_not_defined_is_absent() -> None:
    flagged, score = torch.tensor([True, False]), torch.tensor([2.0, 1.0])
    metric = Identification()
    assert set(metric.compute()) == {"flagged", "conflicting"}
    metric.update(flagged, torch.tensor([False, False]), score)
    assert set(metric.compute()) == {"flagged", "conflicting"}
    metric.reset()
    metric.update(flagged, torch.tensor([True, True]), score)
    assert "auc" not in metric.compute()
    assert metric.compute()["recall"] == 0.5


def test_precision_is_zero_when_nothing_is_flagged() -> None:
    metric = Identification()
    metric.update(torch.zeros(4), torch.tensor([1, 0, 0, 0]), torch.arange(4.0))
    found = metric.compute()
    assert (found["precision"], found["recall"], found["f1"]) == (0, 0, 0)
