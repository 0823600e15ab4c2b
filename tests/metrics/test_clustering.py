"""Measures of clusters on hand-made tables, against scikit-learn."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from sklearn import metrics
from sklearn.neighbors import KNeighborsClassifier

from lab.metrics.clustering import (
    agreement,
    contingency,
    knn_accuracy,
    matched,
    partition_coefficient,
    partition_entropy,
    purity,
    silhouette,
)

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
CLUSTERS = np.array([1, 1, 1, 0, 0, 0, 2, 2, 2, 1])


def test_a_table_done_by_hand() -> None:
    assert contingency(LABELS, CLUSTERS).tolist() == [[1, 3, 0], [2, 0, 1], [0, 1, 2]]
    assert purity(LABELS, CLUSTERS) == 0.7
    best = matched(LABELS, CLUSTERS)
    assert best.to_class == {1: 0, 0: 1, 2: 2}
    assert best.accuracy == 0.7
    assert best.recall.tolist() == [3 / 4, 2 / 3, 2 / 3]
    assert best.predicted(CLUSTERS).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 0]


def test_matching_is_the_best_of_all_maps() -> None:
    rng = np.random.default_rng(0)
    labels, clusters = rng.integers(5, size=(2, 60))
    best = max(np.mean(np.array(to)[clusters] == labels) for to in permutations(range(5)))
    assert matched(labels, clusters).accuracy == pytest.approx(best)


def test_measures_equal_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(4, size=300)
    clusters = np.where(rng.random(300) < 0.6, labels, rng.integers(6, size=300))
    found = agreement(labels, clusters)
    assert found["nmi"] == pytest.approx(metrics.v_measure_score(labels, clusters))
    assert found["ari"] == pytest.approx(metrics.adjusted_rand_score(labels, clusters))
    assert found["ami"] == pytest.approx(metrics.adjusted_mutual_info_score(labels, clusters))
    both = found["homogeneity"], found["completeness"]
    assert both == pytest.approx(metrics.homogeneity_completeness_v_measure(labels, clusters)[:2])
    assert (found["clusters"], found["clustered"]) == (6, 1)


def test_more_clusters_than_classes_and_fewer() -> None:
    labels = np.array([0, 0, 1, 1])
    each = matched(labels, np.arange(4))
    assert each.accuracy == 0.5 and purity(labels, np.arange(4)) == 1
    one = agreement(labels, np.zeros(4, dtype=int))
    assert one["accuracy"] == one["purity"] == 0.5 and one["ari"] == one["ami"] == one["nmi"] == 0
    assert matched(labels, np.zeros(4, dtype=int)).predicted(np.array([0, 3])).tolist() == [0, -1]


def test_rows_in_no_cluster_are_wrong() -> None:
    clusters = CLUSTERS.copy()
    clusters[:2] = -1
    found = agreement(LABELS, clusters)
    assert found["clustered"] == 0.8 and found["clusters"] == 3
    assert found["purity"] == found["accuracy"] == 0.5
    assert found["ari"] == pytest.approx(metrics.adjusted_rand_score(LABELS, clusters))
    nothing = agreement(LABELS, np.full(10, -1))
    assert (nothing["purity"], nothing["accuracy"], nothing["clusters"]) == (0, 0, 0)


def test_a_class_that_is_absent_has_no_recall() -> None:
    best = matched(np.array([0, 0, 2]), np.array([0, 0, 1]), classes=4)
    assert np.isnan(best.recall).tolist() == [False, True, False, True]


def test_neighbours_equal_a_classifier_that_leaves_one_out() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=60)
    embedding = rng.standard_normal((60, 4)) + labels[:, None]
    right = []
    for row in range(60):
        rest = np.arange(60) != row
        model = KNeighborsClassifier(5).fit(embedding[rest], labels[rest])
        right.append(model.predict(embedding[row : row + 1])[0] == labels[row])
    assert knn_accuracy(embedding, labels) == pytest.approx(np.mean(right))


def test_silhouette_takes_clustered_rows() -> None:
    rng = np.random.default_rng(0)
    clusters = np.repeat([0, 1, -1], 30)
    embedding = rng.standard_normal((90, 2)) + 4 * clusters[:, None]
    assert silhouette(embedding, clusters) == pytest.approx(metrics.silhouette_score(embedding[:60], clusters[:60]))
    assert silhouette(embedding, clusters, most=20) == pytest.approx(silhouette(embedding, clusters), abs=0.15)
    assert np.isnan(silhouette(embedding, np.zeros(90, dtype=int)))


def test_partitions_from_sure_to_undecided() -> None:
    sure, undecided = np.eye(4)[[0, 1, 2, 3, 0]], np.full((5, 4), 0.25)
    assert (partition_entropy(sure), partition_coefficient(sure)) == pytest.approx((0, 1))
    assert (partition_entropy(undecided), partition_coefficient(undecided)) == pytest.approx((1, 0.25))
    half = np.array([[0.5, 0.5, 0, 0]])
    assert (partition_entropy(half), partition_coefficient(half)) == pytest.approx((0.5, 0.5))
    assert partition_entropy(np.ones((3, 1))) == 0
