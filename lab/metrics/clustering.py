"""How well clusters agree with classes, and how good an embedding is to look at. NumPy, SciPy and scikit-learn.

Labels are int64 (n,) in 0..C-1. Clusters are int64 (n,); -1 is in no cluster (HDBSCAN's noise). Such rows count as
wrong in purity, accuracy and recall, and as one more group in the measures of information and of pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Matching:
    """The one-to-one map of clusters to classes with the most right rows (Hungarian method).

    to_class: cluster -> class. Clusters beyond the number of classes have none, and classes may have no cluster.
    accuracy: share of rows whose cluster is mapped to their class, in [0, 1].
    recall: (C,) the same by class; NaN for a class without rows.
    """

    to_class: Mapping[int, int]
    accuracy: float
    recall: np.ndarray

    def predicted(self, clusters: np.ndarray) -> np.ndarray:
        """Class of each row's cluster, int64 (n,); -1 where it has none."""
        return np.array([self.to_class.get(cluster, -1) for cluster in clusters.tolist()], dtype=np.int64)


def contingency(labels: np.ndarray, clusters: np.ndarray, classes: int | None = None) -> np.ndarray:
    """Rows of each class (down) in each cluster (across), int64 (C, K); rows in no cluster are left out."""
    inside = clusters >= 0
    size = int(labels.max(initial=-1)) + 1 if classes is None else classes
    table = np.zeros((size, int(clusters.max(initial=-1)) + 1), dtype=np.int64)
    np.add.at(table, (labels[inside], clusters[inside]), 1)
    return table


def purity(labels: np.ndarray, clusters: np.ndarray) -> float:
    """Share of rows in the largest class of their cluster, in [0, 1]. It rises with the number of clusters, to 1 when
    each row has its own: quote that number with it.
    """
    table = contingency(labels, clusters)
    return float(table.max(axis=0).sum() / len(labels)) if table.size else 0.0


def matched(labels: np.ndarray, clusters: np.ndarray, classes: int | None = None) -> Matching:
    """The best one-to-one map of clusters to classes."""
    from scipy.optimize import linear_sum_assignment

    table = contingency(labels, clusters, classes)
    of_class, of_cluster = linear_sum_assignment(table, maximize=True)
    right = np.zeros(len(table))
    right[of_class] = table[of_class, of_cluster]
    rows = np.bincount(labels, minlength=len(table))
    recall = np.divide(right, rows, where=rows > 0, out=np.full(len(table), np.nan))
    return Matching(
        dict(zip(of_cluster.tolist(), of_class.tolist(), strict=True)), float(right.sum() / len(labels)), recall
    )


def agreement(labels: np.ndarray, clusters: np.ndarray) -> dict[str, float]:
    """All measures of clusters against classes.

    purity; accuracy, after Hungarian matching; balanced_accuracy, its mean over classes; nmi, normalised by the
    arithmetic mean of the entropies; ami and ari, which are 0 on average for random clusters; homogeneity and
    completeness; clusters, how many there are; clustered, the share of rows that are in one.
    """
    from sklearn import metrics

    best = matched(labels, clusters)
    return {
        "purity": purity(labels, clusters),
        "accuracy": best.accuracy,
        "balanced_accuracy": float(np.nanmean(best.recall)),
        "nmi": float(metrics.normalized_mutual_info_score(labels, clusters, average_method="arithmetic")),
        "ami": float(metrics.adjusted_mutual_info_score(labels, clusters, average_method="arithmetic")),
        "ari": float(metrics.adjusted_rand_score(labels, clusters)),
        "homogeneity": float(metrics.homogeneity_score(labels, clusters)),
        "completeness": float(metrics.completeness_score(labels, clusters)),
        "clusters": float(len(np.unique(clusters[clusters >= 0]))),
        "clustered": float((clusters >= 0).mean()),
    }


def silhouette(embedding: np.ndarray, clusters: np.ndarray, *, most: int = 5000, seed: int = 0) -> float:
    """Mean silhouette in [-1, 1] of the rows that are in a cluster, of `most` of them at random; NaN with fewer than
    two clusters. embedding: (n, d).
    """
    from sklearn.metrics import silhouette_score

    inside = np.flatnonzero(clusters >= 0)
    if len(inside) > most:
        inside = np.random.default_rng(seed).choice(inside, most, replace=False)
    found = len(np.unique(clusters[inside]))
    if not 2 <= found < len(inside):
        return float("nan")
    return float(silhouette_score(embedding[inside], clusters[inside]))


def knn_accuracy(embedding: np.ndarray, labels: np.ndarray, neighbours: int = 5) -> float:
    """Share of rows of the class that most of their nearest others have (leave-one-out; the lowest class wins ties)."""
    from sklearn.neighbors import NearestNeighbors

    near = NearestNeighbors(n_neighbors=neighbours).fit(embedding).kneighbors(return_distance=False)
    votes = np.zeros((len(labels), int(labels.max()) + 1), dtype=np.int64)
    np.add.at(votes, (np.arange(len(labels))[:, None], labels[near]), 1)
    return float((votes.argmax(axis=1) == labels).mean())


def partition_entropy(memberships: np.ndarray) -> float:
    """Mean entropy of the rows' memberships over ln K, in [0, 1]: 0 when every row is in one cluster, 1 when in all
    alike. memberships: (n, K), rows sum to 1.
    """
    if memberships.shape[1] == 1:
        return 0.0
    u = np.clip(memberships, 1e-300, 1)
    return float(-(u * np.log(u)).sum(axis=1).mean() / np.log(memberships.shape[1]))


def partition_coefficient(memberships: np.ndarray) -> float:
    """Mean sum of squared memberships, from 1 / K (all alike) to 1 (in one cluster). memberships: (n, K)."""
    return float((memberships**2).sum(axis=1).mean())
