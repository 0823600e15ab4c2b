"""Detection class by class, against scikit-learn and the rules as the notes of the authors' code state them."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import OneClassSVM

from lab.errors import StageFailed, UnknownName, UserError
from lab.papers.modad import detection
from lab.papers.modad.config import AnomalyConfig
from lab.papers.modad.detection import detect, find_threshold, otsu, pseudo_probabilities

NAMES = ("a", "b")
CLASSES = len(NAMES)


def made(rows: int = 200, odd: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels, predictions and truth: in each class `odd` rows lie apart; two in three of them are errors."""
    draw = np.random.default_rng(0)
    label = np.arange(rows) % CLASSES
    truth = np.arange(rows) < CLASSES * odd
    features = draw.normal(size=(rows, 6)) * np.array([1, 2, 5, 1, 1, 0]) + 10 * label[:, None]
    features[truth] += 4
    wrong = truth & (np.arange(rows) % 3 > 0)
    return features.astype(np.float32), label, np.where(wrong, 1 - label, label), truth


def by_hand(published: bool) -> tuple[np.ndarray, np.ndarray]:
    """Normality and flags of the first class with scikit-learn alone."""
    features, label, prediction, _ = made()
    own, right = features[label == 0].astype(np.float64), prediction[label == 0] == 0
    scaler = MinMaxScaler().fit(own[right])
    machine = OneClassSVM(nu=0.5, gamma="scale").fit(own[right] if published else scaler.transform(own[right]))
    normality = machine.decision_function(scaler.transform(own))
    share = 100 * 0.5 * np.mean(~right)
    return normality, normality <= np.percentile(normality, share) + 1e-9


@pytest.mark.parametrize("published", [False, True])
def test_equals_scikit_learn(published: bool) -> None:
    features, label, prediction, _ = made()
    found = detect(features, label, prediction, NAMES, AnomalyConfig(published=published), seed=0)
    normality, flagged = by_hand(published)
    expected = -(normality - normality.mean()) / normality.std()
    assert np.allclose(found.score[label == 0], expected)
    assert np.array_equal(found.flagged[label == 0], flagged)


def test_the_corrected_detector_finds_what_the_mismatched_one_misses() -> None:
    features, label, prediction, truth = made()

    def found(published: bool) -> float:
        flagged = detect(features, label, prediction, NAMES, AnomalyConfig(published=published), 0).flagged
        return float(truth[flagged].mean())

    assert found(False) == 1
    assert found(True) < 0.9


@pytest.mark.parametrize("name", ["iforest", "knn", "ecod", "lof", "hbos", "pca"])
def test_detectors_of_pyod_by_name(name: str) -> None:
    features, label, prediction, truth = made()
    first, again = (detect(features, label, prediction, NAMES, AnomalyConfig(detector=name), 3) for _ in range(2))
    assert np.array_equal(first.score, again.score)
    assert first.score[truth].mean() > first.score[~truth].mean() + 0.5


def test_a_class_without_errors_flags_nothing_or_as_published_one_row() -> None:
    features, label, _, _ = made()
    assert not detect(features, label, label, NAMES, AnomalyConfig(), 0).flagged.any()
    published = detect(features, label, label, NAMES, AnomalyConfig(published=True), 0)
    assert [int(published.flagged[label == k].sum()) for k in range(CLASSES)] == [1, 1]


def test_rows_at_the_threshold_are_flagged_also_when_rounding_tells_them_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    class Saturated:
        def fit(self, X: np.ndarray) -> None: ...

        def decision_function(self, X: np.ndarray) -> np.ndarray:
            return np.array([0.0] * 96 + [7 + 1e-13, 7, 7 - 1e-13, 7])

    monkeypatch.setattr(detection, "detector_maker", lambda name, options: lambda seed: Saturated())
    label = np.zeros(100, dtype=int)
    prediction = label.copy()
    prediction[-4:] = 1  # two of four would be flagged
    assert detect(np.zeros((100, 2)), label, prediction, NAMES, AnomalyConfig(), 0).flagged.sum() == 4


def test_a_detector_sees_the_rows_that_the_model_gets_right_and_no_more_than_it_may(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[np.ndarray] = []

    class Spy:
        def fit(self, X: np.ndarray) -> None:
            seen.append(X)

        def decision_function(self, X: np.ndarray) -> np.ndarray:
            return X[:, 0]

    monkeypatch.setattr(detection, "detector_maker", lambda name, options: lambda seed: Spy())
    features, label, prediction, _ = made()
    right = [(label == k) & (prediction == k) for k in range(CLASSES)]
    detect(features, label, prediction, NAMES, AnomalyConfig(scale="none"), 0)
    assert all(np.array_equal(a, features[r]) for a, r in zip(seen, right, strict=True))
    seen.clear()
    detect(features, label, prediction, NAMES, AnomalyConfig(scale="none", fit_rows=30), 0)
    for a, r in zip(seen, right, strict=True):
        assert len(a) == 30 and {tuple(row) for row in a} <= {tuple(row) for row in features[r]}
    seen.clear()
    detect(features, label, 1 - label, NAMES, AnomalyConfig(scale="none"), 0)  # nothing right: all rows
    assert [len(a) for a in seen] == [100, 100]


def test_classes_without_rows_or_with_one_are_no_error() -> None:
    label = np.array([0, 2, 2, 2, 2])
    found = detect(np.arange(10.0).reshape(5, 2), label, label, "abcd", AnomalyConfig(), 0)
    assert np.isfinite(found.score).all() and not found.flagged.any()


def test_thresholds() -> None:
    score = np.random.default_rng(1).normal(size=101)
    flagged = {
        name: int((score >= find_threshold(score, 0.2, AnomalyConfig(threshold=name, fraction=0.05))).sum())  # type: ignore[arg-type]
        for name in ("half_error", "fraction")
    }
    assert flagged == {"half_error": 11, "fraction": 6}  # percentiles of 101 values: 10 and 5 steps below the highest


def test_otsu_is_the_best_of_all_cuts() -> None:
    score = np.concatenate([np.random.default_rng(2).normal(size=50), np.random.default_rng(3).normal(6, 1, size=9)])
    ordered = np.sort(score)

    def within(cut: float) -> float:
        parts = (ordered[ordered < cut], ordered[ordered >= cut])
        return sum(len(part) * part.var() for part in parts)

    assert otsu(score) == min(ordered[1:], key=within)
    assert otsu(np.ones(5)) == np.inf


def test_pseudo_probabilities_are_those_of_a_model_that_errs_on_flagged_rows() -> None:
    features, label, prediction, _ = made()
    found = detect(features, label, prediction, NAMES, AnomalyConfig(), 0)
    biased = np.full((len(label), 3), 0.1)
    biased[:, 2] = 0.8
    table = pseudo_probabilities(found, label, biased)
    own = table[np.arange(len(label)), label]
    assert np.allclose(table.sum(1), 1)
    assert np.array_equal(own <= 0.5 + 1e-8, found.flagged)
    assert np.allclose(table[:, 2], 1 - own)  # the rest goes to the class that is most probable besides
    order = np.argsort(found.score[label == 1])
    assert (np.diff(own[label == 1][order]) <= 0).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"detector": "iforrest"}, UnknownName, "did you mean 'iforest'"),
        ({"detector": "base"}, UserError, "holds no detector"),
        ({"detector_options": {"mu": 1}}, UserError, "ocsvm: can't be built with"),
        (
            {"detector": "knn", "detector_options": {"n_neighbors": 500}},
            StageFailed,
            "can't be fitted on 92 rows of class 'a'",
        ),
    ],
)
def test_what_is_wrong_is_one_clear_line(options: dict[str, Any], error: type[Exception], message: str) -> None:
    features, label, prediction, _ = made()
    with pytest.raises(error, match=message) as caught:
        detect(features, label, prediction, NAMES, AnomalyConfig(**options), 0)
    assert "\n" not in str(caught.value)


def test_without_pyod_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyod.models", None)
    with pytest.raises(UserError, match=r"lab\[ood\]"):
        detection.detector_maker("ocsvm", {})
