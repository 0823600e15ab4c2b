"""The last layer of deep feature reweighting: what it fits, on which rows, and that balance is what helps."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from lab.errors import DataError
from lab.papers.debiasing.last_layer import Solution, balanced, halves, retrain


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def shortcut(classes: int, rows: int, share: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features that show the class faintly and the bias loudly; group is 2 * class + conflicting."""
    random = rng()
    label = np.arange(rows) % classes
    conflicting = random.random(rows) > share
    bias = np.where(conflicting, (label + 1) % classes, label)
    strong, weak = np.eye(classes)[bias] * 4, np.eye(classes)[label] * 2
    features = np.concatenate([strong, weak, np.ones((rows, 1))], 1) + random.normal(size=(rows, 2 * classes + 1)) * 0.5
    features[:, -1] = 3  # a feature without variance
    return features, label, 2 * label + conflicting


def answers(found: Solution, features: np.ndarray) -> np.ndarray:
    return (features @ found.weight.T + found.bias).argmax(1)


def worst(right: np.ndarray, group: np.ndarray) -> float:
    return min(right[group == g].mean() for g in np.unique(group))


@pytest.mark.parametrize("classes", [2, 4])
def test_balance_mends_what_plain_regression_gets_wrong(classes: int) -> None:
    features, label, group = shortcut(classes, 1200)
    fresh, fresh_label, fresh_group = (column[600:] for column in (features, label, group))
    plain = LogisticRegression(C=0.03, solver="saga", l1_ratio=1, max_iter=1000).fit(features[:600], label[:600])
    found = retrain(features[:600], label[:600], group[:600], c=[0.3, 0.1], retrains=5, random=rng())
    own = worst(answers(found, fresh) == fresh_label, fresh_group)
    assert own > worst(plain.predict(fresh) == fresh_label, fresh_group) + 0.2
    assert own > 0.7
    assert found.rows_per_group == np.bincount(group[:600]).min()
    assert 0.5 < found.held_out <= 1


def test_on_balanced_rows_it_is_scikit_learns_pipeline() -> None:
    features, label, group = shortcut(2, 400)
    rows = balanced(group, rng())
    features, label, group = features[rows], label[rows], group[rows]
    found = retrain(features, label, group, c=[0.3], retrains=1, random=rng())
    scaled = StandardScaler().fit_transform(features)
    model = LogisticRegression(C=0.3, solver="liblinear", l1_ratio=1, tol=1e-6).fit(scaled, label)
    logits = features @ found.weight.T + found.bias
    assert np.allclose(logits[:, 1] - logits[:, 0], model.decision_function(scaled), atol=0.02)
    assert found.weight.dtype == found.bias.dtype == np.float32


def test_several_subsets_are_averaged() -> None:
    features, label, group = shortcut(2, 300)
    mean = retrain(features, label, group, c=[0.3], retrains=3, random=rng())
    random, scaler = rng(), StandardScaler().fit(features)
    fit, _ = halves(group, random)
    balanced(group[fit], random)  # the rows that C was chosen on
    parts = []
    for _ in range(3):
        rows = balanced(group, random)
        model = LogisticRegression(C=0.3, solver="liblinear", l1_ratio=1, tol=1e-6)
        parts.append(model.fit(scaler.transform(features[rows]), label[rows]).coef_[0] / scaler.scale_)
    assert np.std(parts, axis=0).max() > 0.1
    assert np.allclose(mean.weight[1] - mean.weight[0], np.mean(parts, axis=0), atol=0.02)


def test_c_is_the_one_that_serves_the_worst_group() -> None:
    features, label, group = shortcut(2, 400)
    assert retrain(features, label, group, c=[1e-6, 0.5], retrains=1, random=rng()).c == 0.5  # 1e-6: all weights 0


def test_rows_of_halves_and_of_balanced_subsets() -> None:
    group = np.repeat([0, 3, 7], [5, 2, 1])
    first, rest = halves(group, rng())
    assert sorted([*first, *rest]) == list(range(8))
    assert np.bincount(group[first], minlength=8)[[0, 3, 7]].tolist() == [3, 1, 1]
    assert group[balanced(group, rng())].tolist() == [0, 3, 7]
    assert len(set(balanced(group[:7], rng()))) == 4


def test_single_rows_leave_nothing_to_choose_c_with() -> None:
    with pytest.raises(DataError, match="two or more validation rows"):
        retrain(np.eye(2), np.array([0, 1]), np.array([0, 1]), c=[1.0], retrains=1, random=rng())
