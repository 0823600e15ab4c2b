"""Group accuracies: golden values, rows without a group, empty groups, division over devices, and UrbanCars' gaps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lab.metrics.groups import GroupAccuracy, urbancars_gaps

ALIGNED = np.eye(2, dtype=bool)
WATERBIRDS_TRAIN = np.array([3498, 184, 56, 1057])


def waterbirds(**options: bool) -> GroupAccuracy:
    return GroupAccuracy(2, 2, ALIGNED, WATERBIRDS_TRAIN, **options)


def rows(right: dict[int, tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Prediction, label and group of `group -> (right rows, rows)`."""
    group = torch.cat([torch.full((total,), g) for g, (_, total) in right.items()])
    hit = torch.cat([torch.arange(total) < good for good, total in right.values()])
    label = group // 2
    return torch.where(hit, label, 1 - label), label, group


def test_golden_values_of_waterbirds() -> None:
    metric = waterbirds(per_group=True)
    metric.update(*rows({0: (9, 10), 1: (6, 10), 2: (2, 5), 3: (4, 5)}))
    found = {name: float(value) for name, value in metric.compute().items()}
    assert found == pytest.approx(
        {
            "rows": 30,
            "accuracy": 21 / 30,
            "balanced_accuracy": (15 / 20 + 6 / 10) / 2,
            "worst_group_accuracy": 0.4,
            "weighted_accuracy": (3498 * 0.9 + 184 * 0.6 + 56 * 0.4 + 1057 * 0.8) / 4795,
            "aligned_rows": 15,
            "aligned_accuracy": 13 / 15,
            "conflicting_rows": 15,
            "conflicting_accuracy": 8 / 15,
            "group/0_0": 0.9,
            "group/0_1": 0.6,
            "group/1_0": 0.4,
            "group/1_1": 0.8,
        }
    )


def test_rows_without_a_group_count_in_the_plain_accuracies_alone() -> None:
    metric = waterbirds()
    metric.update(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), torch.tensor([0, -1, -1]))
    found = metric.compute()
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["rows"] == 3
    assert found["aligned_rows"] == 1
    assert found["worst_group_accuracy"] == 1


def test_what_has_no_rows_is_absent_and_groups_without_rows_are_not_the_worst() -> None:
    metric = waterbirds(per_group=True)
    assert {name: float(value) for name, value in metric.compute().items()} == {"rows": 0}
    metric.update(*rows({0: (3, 4), 3: (1, 1)}))
    found = metric.compute()
    assert found["worst_group_accuracy"] == 0.75
    assert found["weighted_accuracy"] == pytest.approx((3498 * 0.75 + 1057) / (3498 + 1057))
    assert "conflicting_accuracy" not in found
    assert "group/0_1" not in found
    assert not any(value.isnan() for value in found.values())


def test_without_annotated_bias_only_plain_accuracies_remain() -> None:
    metric = GroupAccuracy(3)
    metric.update(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 1, 2]), torch.full((4,), -1))
    assert set(metric.compute()) == {"rows", "accuracy", "balanced_accuracy"}


def test_any_division_of_the_rows_gives_the_same() -> None:
    generator = torch.Generator().manual_seed(0)
    label, bias, prediction = torch.randint(2, (3, 101), generator=generator)
    whole, first, second = waterbirds(), waterbirds(), waterbirds()
    whole.update(prediction, label, 2 * label + bias)
    for part, metric in ((slice(0, 37), first), (slice(37, None), second)):
        metric.update(prediction[part], label[part], (2 * label + bias)[part])
    first.merge_state(second)
    assert first.compute() == whole.compute()


def test_counts_of_another_data_set_are_refused() -> None:
    with pytest.raises(ValueError, match="train_group_counts has 3 entries, there are 4 groups"):
        GroupAccuracy(2, 2, ALIGNED, np.ones(3))


def test_urbancars_gaps_are_those_of_the_formula() -> None:
    # by label, background, object; attribute k is common in class k
    accuracy = torch.tensor([[[0.99, 0.90], [0.80, 0.30]], [[0.40, 0.84], [0.92, 0.97]]], dtype=torch.float64)
    found = {name: float(value) for name, value in urbancars_gaps(accuracy).items()}
    both, bg_rare, object_rare, neither = 0.98, 0.82, 0.91, 0.35
    within = both * 0.95**2 + (bg_rare + object_rare) * 0.95 * 0.05 + neither * 0.05**2
    assert found == pytest.approx(
        {
            "id_accuracy": within,
            "bg_gap": bg_rare - within,
            "coobj_gap": object_rare - within,
            "bg_coobj_gap": neither - within,
            "rare_accuracy": neither,
        }
    )


def test_urbancars_needs_all_eight_groups() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2, 2\)"):
        urbancars_gaps(torch.zeros(2, 2))


def test_two_shortcuts_add_the_gaps_of_urbancars() -> None:
    aligned = np.array([[True, False, False, False], [False, False, False, True]])
    metric = GroupAccuracy(2, 4, aligned, bias_factors=(2, 2))
    right = torch.tensor([9, 8, 7, 2, 3, 6, 8, 10])
    for group, count in enumerate(right.tolist()):
        label = torch.full((10,), group // 4)
        prediction = torch.where(torch.arange(10) < count, label, 1 - label)
        if group == 7:
            assert "bg_gap" not in metric.compute()  # not before all eight groups have rows
        metric.update(prediction, label, torch.full((10,), group))
    found = metric.compute()
    expected = urbancars_gaps((right / 10).double().view(2, 2, 2))
    assert {name: float(found[name]) for name in expected} == pytest.approx({k: float(v) for k, v in expected.items()})
    plain = GroupAccuracy(2, 4, aligned)
    plain.update(torch.zeros(8, dtype=torch.long), torch.arange(8) // 4, torch.arange(8))
    assert "bg_gap" not in plain.compute()
