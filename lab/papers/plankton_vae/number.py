"""How many clusters there are: estimates, and what to think of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from lab.metrics.clustering import partition_entropy, silhouette
from lab.papers.plankton_vae.clusterers import clustered, mixture
from lab.papers.plankton_vae.config import ClusteringConfig, Criterion
from lab.papers.plankton_vae.fuzzy import fuzzy_kmeans


@dataclass(frozen=True)
class Estimate:
    """An estimated number of clusters.

    scores: by number of clusters, the mean over the repeats: partition entropy over ln K and BIC, where low is good, or
        silhouette, where high is good.
    at_edge: the best is the smallest or largest number that was tried, which says that there is no optimum between.
    """

    clusters: int
    criterion: Criterion
    scores: Mapping[int, float]
    at_edge: bool


def estimated(x: np.ndarray, criterion: Criterion, config: ClusteringConfig, seed: int = 0) -> Estimate:
    """How many clusters rows x (n, d) fall into, from `config.least` to `config.most`.

    partition_entropy: the number at which fuzzy k-means is surest, relative to ln K; the most frequent of
        `config.repeats` tries. It depends on the fuzzifier (on digits in ten dimensions 14, 13 and 10 at m = 1.25, 1.4
        and 1.6), so it is no result without m. The published code prints the mode of the entropies in place of the best
        number, and corrects them as if they were partition coefficients; neither is done here.
    silhouette: where the clusters of `config.method` lie best apart. Round clusters of one size are assumed.
    bic: of a Gaussian mixture with full covariances, which needs many more rows than squared dimensions for each
        cluster; with fewer it says too few.
    """
    tried = range(config.least, min(config.most, len(x) - 1) + 1)
    repeats = config.repeats if criterion == "partition_entropy" else 1
    tables = [{k: _score(x, k, criterion, config, seed + repeat) for k in tried} for repeat in range(repeats)]
    best = Counter(min(table, key=table.__getitem__) for table in tables).most_common(1)[0][0]
    sign = -1 if criterion == "silhouette" else 1
    scores = {k: sign * float(np.mean([table[k] for table in tables])) for k in tried}
    return Estimate(best, criterion, scores, best in (tried[0], tried[-1]))


def _score(x: np.ndarray, clusters: int, criterion: Criterion, config: ClusteringConfig, seed: int) -> float:
    """Lower is better."""
    if criterion == "partition_entropy":
        found = fuzzy_kmeans(x, clusters, config.fuzzifier, seed=seed, restarts=config.restarts)
        return partition_entropy(found.memberships)
    if criterion == "bic":
        return float(mixture(x, clusters, config, seed).bic(x))
    method = "kmeans" if config.method == "hdbscan" else config.method
    found_clusters = clustered(x, clusters, replace(config, method=method), seed).clusters
    value = silhouette(x, found_clusters, seed=seed)
    return float("inf") if np.isnan(value) else -value
