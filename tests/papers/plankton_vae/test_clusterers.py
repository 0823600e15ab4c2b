"""Clusterers on scikit-learn's digits, whose scores are known, and on blobs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs
from sklearn.decomposition import PCA

from lab.errors import UserError
from lab.metrics.clustering import agreement
from lab.papers.plankton_vae.clusterers import METHODS, Centres, clustered, hardened, restored, stored
from lab.papers.plankton_vae.config import ClusteringConfig
from lab.papers.plankton_vae.fuzzy import fuzzy_kmeans, memberships_of
from lab.papers.plankton_vae.number import estimated


@pytest.fixture(scope="module")
def digits() -> dict[str, np.ndarray]:
    images, labels = load_digits(return_X_y=True)
    raw = images / 16
    return {"raw": raw, "pca": PCA(10, svd_solver="full").fit_transform(raw), "labels": labels}


@pytest.fixture(scope="module")
def blobs() -> tuple[np.ndarray, np.ndarray]:
    centres = np.array([[0, 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9], [9, 9, 9]])
    x, y = make_blobs(200, centers=centres, cluster_std=1.0, random_state=1)
    return x, y


@pytest.mark.parametrize(
    ("method", "form", "options", "known", "margin"),
    [
        ("kmeans", "raw", {"restarts": 10}, (79.3, 79.3, 74.2, 66.8), 0.8),
        ("fuzzy", "raw", {"fuzzifier": 1.1, "restarts": 5}, (79.1, 78.7, 73.9, 66.3), 0.6),
        ("fuzzy", "raw", {"fuzzifier": 1.25}, (79.0, 78.0, 72.0, 65.4), 0.3),
        ("ward", "raw", {}, (86.2, 84.0, 86.8, 79.4), 0.1),
        ("kmeans", "pca", {"restarts": 10}, (78.6, 78.2, 72.7, 65.1), 0.6),
        ("fuzzy", "pca", {"fuzzifier": 1.1}, (77.9, 77.1, 72.0, 64.0), 0.8),
        ("fuzzy", "pca", {"fuzzifier": 1.25}, (78.4, 77.6, 71.4, 64.4), 0.3),
        ("fuzzy", "pca", {"fuzzifier": 1.4}, (78.4, 77.1, 70.9, 64.2), 0.3),
        ("fuzzy", "pca", {"fuzzifier": 1.6}, (80.0, 80.0, 71.2, 65.1), 0.3),
        ("gmm", "pca", {}, (81.9, 81.1, 79.9, 71.4), 3.0),
    ],
)
def test_scores_on_digits_are_the_known_ones(method, form, options, known, margin, digits):
    config = ClusteringConfig(method=method, **{"restarts": 3, **options})
    found = agreement(digits["labels"], clustered(digits[form], 10, config).clusters)
    measured = [100 * found[name] for name in ("purity", "accuracy", "nmi", "ari")]
    assert measured == pytest.approx(known, abs=margin)


def test_a_large_fuzzifier_fails_where_it_is_known_to(digits):
    """In 64 dimensions from 1.6 on, in ten at 2: all centres come to lie in one place."""
    for form, fuzzifier, most in (("raw", 1.6, 0.36), ("pca", 2.0, 0.34)):
        config = ClusteringConfig(method="fuzzy", fuzzifier=fuzzifier, restarts=2)
        assert agreement(digits["labels"], clustered(digits[form], 10, config).clusters)["purity"] < most


@pytest.mark.filterwarnings("ignore:Graph is not fully connected")
@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_blobs_and_knows_new_rows(method, blobs):
    x, y = blobs
    found = clustered(x, 5, ClusteringConfig(method=method, restarts=3, smallest=10))
    inside = found.clusters >= 0
    assert inside.mean() > 0.8
    assert agreement(y[inside], found.clusters[inside])["ari"] == 1
    assert found.memberships.shape == (200, 5)
    assert found.memberships.sum(axis=1) == pytest.approx(inside.astype(float))
    again = restored(stored(found.assigner))
    assert again.memberships(x) == pytest.approx(found.memberships, abs=1e-6)
    near = again.memberships(x[inside] + 0.01)
    assert (hardened(near) == found.clusters[inside]).mean() > 0.98


@pytest.mark.filterwarnings("ignore:Graph is not fully connected")
@pytest.mark.parametrize("method", ["kmeans", "fuzzy", "gmm", "spectral"])
def test_a_seed_gives_the_same_again(method, digits):
    config = ClusteringConfig(method=method, restarts=1)
    first, second = (clustered(digits["pca"][:300], 6, config, seed=3).clusters for _ in range(2))
    assert (first == second).all()


def test_too_many_and_too_few_rows_are_one_line():
    with pytest.raises(UserError, match="3 rows can't be in 4 clusters"):
        clustered(np.zeros((3, 2)), 4, ClusteringConfig())
    with pytest.raises(UserError, match="ward looks at all pairs of rows, and 30,001 are too many"):
        clustered(np.zeros((30_001, 1)), 4, ClusteringConfig(method="ward"))
    with pytest.raises(ValueError, match="no assigner has the arrays points"):
        restored({"points": np.zeros(1)})


def test_memberships_equal_the_formula():
    squared = np.random.default_rng(0).uniform(0.5, 3, (4, 3))
    for m in (1.25, 1.6, 2.0):
        expected = [[1 / sum((row[k] / other) ** (1 / (m - 1)) for other in row) for k in range(3)] for row in squared]
        assert memberships_of(squared, m) == pytest.approx(np.array(expected))


def test_memberships_hold_at_a_centre_and_far_away():
    squared = np.array([[0.0, 1.0, 4.0], [1e200, 1e201, 1e202], [1e-20, 1e-30, 2.0]])
    found = memberships_of(squared, 1.1)
    assert np.isfinite(found).all() and found.sum(axis=1) == pytest.approx(1)
    assert found[0] == pytest.approx([1, 0, 0])
    assert found[2] == pytest.approx([0.5, 0.5, 0])


def test_a_fuzzy_partition_is_a_fixed_point_and_near_kmeans(blobs):
    x, _ = blobs
    found = fuzzy_kmeans(x, 5, 1.3, restarts=2)
    weights = found.memberships**1.3
    assert (weights.T @ x) / weights.sum(axis=0)[:, None] == pytest.approx(found.centres, abs=1e-5)
    crisp = fuzzy_kmeans(x, 5, 1.01, restarts=2)
    kmeans = KMeans(5, n_init=3, random_state=0).fit(x)
    assert crisp.objective == pytest.approx(kmeans.inertia_, rel=1e-3)
    centres = Centres(found.centres, np.array([1.3]))
    assert centres.memberships(x) == pytest.approx(found.memberships)


def test_the_number_by_entropy_depends_on_the_fuzzifier(digits):
    """14, the largest that is tried, at m = 1.25; the true 10 at 1.6."""
    config = ClusteringConfig(fuzzifier=1.25, least=9, most=14, repeats=1, restarts=4)
    low = estimated(digits["pca"], "partition_entropy", config)
    assert (low.clusters, low.at_edge) == (14, True)
    high = estimated(digits["pca"], "partition_entropy", replace(config, fuzzifier=1.6))
    assert (high.clusters, high.at_edge) == (10, False)


@pytest.mark.parametrize("criterion", ["partition_entropy", "silhouette", "bic"])
def test_every_criterion_counts_blobs(criterion, blobs):
    config = ClusteringConfig(fuzzifier=1.6, most=7, repeats=2, restarts=1)
    found = estimated(blobs[0], criterion, config)
    assert (found.clusters, found.at_edge, list(found.scores)) == (5, False, list(range(2, 8)))
    best = max if criterion == "silhouette" else min
    assert best(found.scores, key=found.scores.__getitem__) == 5


def test_options_are_checked():
    broken = ClusteringConfig(fuzzifier=1.0, clusters=1, least=5, most=5, smallest=1, restarts=0)
    assert [name for name, _ in broken.check()] == ["fuzzifier", "clusters", "least", "restarts", "smallest"]
    assert [name for name, _ in ClusteringConfig(method="hdbscan", estimate="bic").check()] == ["estimate"]
    assert not list(ClusteringConfig().check())
