"""Options of the plankton pipeline's stages. Imports nothing heavy.

The published backbones, latent sizes and clusterer could not be read; defaults that stand in for them are ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lab.config.fields import option

Method = Literal["kmeans", "fuzzy", "gmm", "ward", "spectral", "hdbscan"]
Criterion = Literal["partition_entropy", "silhouette", "bic"]


@dataclass
class ClusteringConfig:
    """How rows become clusters, and how many."""

    method: Method = option("kmeans", "clusterer; hdbscan finds the number of clusters itself")
    clusters: int = option(0, "how many; 0: as many as there are classes")
    estimate: Literal["none", "partition_entropy", "silhouette", "bic"] = option(
        "none", "estimate the number of clusters instead; what partition entropy finds depends on the fuzzifier"
    )
    least: int = option(2, "smallest number that is tried by an estimate")
    most: int = option(15, "largest number that is tried; an estimate at either end is none")
    repeats: int = option(10, "estimates by partition entropy, of which the most frequent counts")
    fuzzifier: float = option(
        1.25, "of fuzzy k-means and of partition entropy; near 1 it is k-means (2020: 1.25 to 1.6)"
    )
    restarts: int = option(10, "starts of k-means, fuzzy k-means and the mixture, of which the best counts")
    neighbours: int = option(10, "of a row in the graph of spectral clustering")
    smallest: int = option(15, "rows of the smallest cluster of hdbscan")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.fuzzifier <= 1:
            yield "fuzzifier", f"has to be above 1, is {self.fuzzifier}"
        if self.clusters < 0 or self.clusters == 1:
            yield "clusters", f"has to be 0 or at least 2, is {self.clusters}"
        if not 2 <= self.least < self.most:
            yield "least", f"has to be at least 2 and below most, is {self.least} (most: {self.most})"
        for name in ("repeats", "restarts", "neighbours"):
            if getattr(self, name) < 1:
                yield name, f"has to be at least 1, is {getattr(self, name)}"
        if self.smallest < 2:
            yield "smallest", f"has to be at least 2, is {self.smallest}"
        if self.estimate != "none" and self.method == "hdbscan":
            yield "estimate", "is not for hdbscan, which finds the number of clusters itself"
