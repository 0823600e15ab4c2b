"""Six clusterers behind one call. What a clustering keeps is arrays, so that new rows can be put into its clusters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import numpy as np

from lab.errors import UserError
from lab.papers.plankton_vae.config import ClusteringConfig
from lab.papers.plankton_vae.fuzzy import fuzzy_kmeans, memberships_of, squared_distances

SQUARE_ROWS = 30_000
"""Rows from which on Ward's and the spectral method would need more than 7 GB for all pairs."""
RIDGE = 1e-6
"""Added to the variances of the Gaussian mixture."""


class Assigner(Protocol):
    """Puts rows into clusters. A dataclass of arrays; see `stored` and `restored`."""

    def memberships(self, x: np.ndarray) -> np.ndarray:
        """(n, K) in [0, 1]: rows sum to 1, or to 0 where a row is in no cluster. x: (n, d)."""
        ...


@dataclass(frozen=True)
class Centres:
    """The nearest centre, or fuzzy k-means with a fuzzifier above 1. centres: (K, d). fuzzifier: (1,)."""

    centres: np.ndarray
    fuzzifier: np.ndarray

    def memberships(self, x: np.ndarray) -> np.ndarray:
        squared = squared_distances(x, self.centres)
        if self.fuzzifier[0] > 1:
            return memberships_of(squared, float(self.fuzzifier[0]))
        return one_hot(squared.argmin(axis=1), len(self.centres))


@dataclass(frozen=True)
class Mixture:
    """Posterior of a mixture of Gaussians. weights: (K,). means: (K, d). precisions: (K, d, d), their upper Cholesky
    factors.
    """

    weights: np.ndarray
    means: np.ndarray
    precisions: np.ndarray

    def memberships(self, x: np.ndarray) -> np.ndarray:
        from sklearn.mixture import GaussianMixture

        model = GaussianMixture(len(self.weights))
        model.weights_, model.means_, model.precisions_cholesky_ = self.weights, self.means, self.precisions
        return np.asarray(model.predict_proba(x))


@dataclass(frozen=True)
class Neighbours:
    """The cluster of the nearest row that was clustered. points: (n, d). clusters: int64 (n,), -1 for none."""

    points: np.ndarray
    clusters: np.ndarray

    def memberships(self, x: np.ndarray) -> np.ndarray:
        from sklearn.neighbors import NearestNeighbors

        nearest = NearestNeighbors(n_neighbors=1).fit(self.points).kneighbors(x, return_distance=False)[:, 0]
        return one_hot(self.clusters[nearest], int(self.clusters.max(initial=-1)) + 1)


@dataclass(frozen=True)
class Clustering:
    """memberships: (n, K) of the rows that were clustered, as `Assigner.memberships`. assigner: for other rows."""

    memberships: np.ndarray
    assigner: Assigner

    @property
    def clusters(self) -> np.ndarray:
        """Cluster of each row, int64 (n,); -1 where it is in none."""
        return hardened(self.memberships)


def hardened(memberships: np.ndarray) -> np.ndarray:
    """Cluster with the largest membership, int64 (n,); -1 for rows without any. memberships: (n, K)."""
    if memberships.shape[1] == 0:
        return np.full(len(memberships), -1)
    return np.where(memberships.sum(axis=1) > 0, memberships.argmax(axis=1), -1)


def one_hot(clusters: np.ndarray, number: int) -> np.ndarray:
    """Memberships (n, number) of rows that are in one cluster, or in none (-1)."""
    return np.asarray((clusters[:, None] == np.arange(number)).astype(np.float64))


def clustered(x: np.ndarray, clusters: int, config: ClusteringConfig, seed: int = 0) -> Clustering:
    """Clusters of rows x (n, d), float64, by `config.method`. Scale columns first: all methods go by distances.

    Args:
        clusters: how many (not for hdbscan).

    Raises:
        UserError: fewer rows than clusters, or too many rows for a method that looks at all pairs.
    """
    if config.method != "hdbscan" and len(x) < clusters:
        raise UserError(f"{len(x)} rows can't be in {clusters} clusters")
    if config.method in ("ward", "spectral") and len(x) > SQUARE_ROWS:
        raise UserError(
            f"{config.method} looks at all pairs of rows, and {len(x):,} are too many: take at most {SQUARE_ROWS:,}, "
            "or method=kmeans, fuzzy, gmm or hdbscan"
        )
    return METHODS[config.method](np.asarray(x, dtype=np.float64), clusters, config, seed)


def _kmeans(x: np.ndarray, clusters: int, config: ClusteringConfig, seed: int) -> Clustering:
    from sklearn.cluster import KMeans

    model = KMeans(clusters, n_init=config.restarts, random_state=seed).fit(x)
    return Clustering(one_hot(model.labels_, clusters), Centres(model.cluster_centers_, np.ones(1)))


def _fuzzy(x: np.ndarray, clusters: int, config: ClusteringConfig, seed: int) -> Clustering:
    found = fuzzy_kmeans(x, clusters, config.fuzzifier, seed=seed, restarts=config.restarts)
    return Clustering(found.memberships, Centres(found.centres, np.array([config.fuzzifier])))


def _gmm(x: np.ndarray, clusters: int, config: ClusteringConfig, seed: int) -> Clustering:
    model = mixture(x, clusters, config, seed)
    return Clustering(model.predict_proba(x), Mixture(model.weights_, model.means_, model.precisions_cholesky_))


def mixture(x: np.ndarray, clusters: int, config: ClusteringConfig, seed: int) -> Any:
    """A fitted `GaussianMixture` with full covariances."""
    from sklearn.mixture import GaussianMixture

    return GaussianMixture(clusters, n_init=config.restarts, reg_covar=RIDGE, random_state=seed).fit(x)


def _ward(x: np.ndarray, clusters: int, config: ClusteringConfig, seed: int) -> Clustering:
    from sklearn.cluster import AgglomerativeClustering

    return _hard(x, AgglomerativeClustering(clusters, linkage="ward").fit_predict(x))


def _spectral(x: np.ndarray, clusters: int, config: ClusteringConfig, seed: int) -> Clustering:
    from sklearn.cluster import SpectralClustering

    model = SpectralClustering(
        clusters,
        affinity="nearest_neighbors",
        n_neighbors=min(config.neighbours, len(x) - 1),
        assign_labels="cluster_qr",
        random_state=seed,
    )
    return _hard(x, model.fit_predict(x))


def _hdbscan(x: np.ndarray, clusters: int, config: ClusteringConfig, seed: int) -> Clustering:
    from sklearn.cluster import HDBSCAN

    return _hard(x, HDBSCAN(min_cluster_size=config.smallest, copy=True).fit_predict(x))


def _hard(x: np.ndarray, clusters: np.ndarray) -> Clustering:
    found = clusters.astype(np.int64)
    return Clustering(one_hot(found, int(found.max(initial=-1)) + 1), Neighbours(x, found))


METHODS: dict[str, Callable[[np.ndarray, int, ClusteringConfig, int], Clustering]] = {
    "kmeans": _kmeans,
    "fuzzy": _fuzzy,
    "gmm": _gmm,
    "ward": _ward,
    "spectral": _spectral,
    "hdbscan": _hdbscan,
}


def stored(assigner: Assigner) -> dict[str, np.ndarray]:
    """The arrays of an assigner, by name."""
    return {name: np.ascontiguousarray(values) for name, values in asdict(assigner).items()}  # type: ignore[call-overload]


def restored(arrays: Mapping[str, np.ndarray]) -> Assigner:
    """The assigner that `stored` took apart."""
    kinds: tuple[type[Any], ...] = (Centres, Mixture, Neighbours)
    for kind in kinds:
        if {field.name for field in fields(kind)} == set(arrays):
            found: Assigner = kind(**arrays)
            return found
    raise ValueError(f"no assigner has the arrays {', '.join(sorted(arrays))}")
