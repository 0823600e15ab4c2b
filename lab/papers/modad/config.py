"""Options of MoDAD's stages. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from lab.config.fields import option
from lab.networks.config import NetworkConfig
from lab.papers.debiasing.config import ClassifierConfig

FEATURES = 128
"""Width of the features in the authors' code."""


@dataclass
class BiasedConfig(ClassifierConfig):
    """The biased model: trained from scratch with a loss that prefers easy rows."""

    network: NetworkConfig = option(
        factory=lambda: NetworkConfig(feature_dim=FEATURES), help="backbone and head; from scratch in the authors' code"
    )
    loss: Literal["ce", "gce"] = option("gce", "cross-entropy, or the generalised one, which makes a model more biased")


@dataclass
class FeaturesConfig:
    """What the classifier of `needs: {model: STAGE}` says of each row, and its features."""

    published: bool = option(
        False, "as the authors' code: features of randomly augmented views, where the model was trained on such"
    )


@dataclass
class AnomalyConfig:
    """Which rows are conflicting: in each class, those whose features are unlike those of the rows it gets right."""

    detector: str = option("ocsvm", "a detector of pyod.models: ocsvm (MoDAD), iforest, knn, ecod, lof, …")
    detector_options: dict[str, Any] = option(
        help="passed to the detector; absent for ocsvm: nu 0.5, gamma scale (authors' code)", factory=dict
    )
    scale: Literal["both", "none"] = option("both", "features are brought to [0, 1], or detected in as they are")
    threshold: Literal["half_error", "fraction", "otsu"] = option(
        "half_error",
        "flagged in each class: `error_ratio` times as many as the biased model gets wrong (MoDAD), a fixed "
        "`fraction`, or what Otsu's method separates",
    )
    error_ratio: float = option(0.5, "of half_error (authors' code: 0.5)")
    fraction: float = option(0.05, "share of each class that `threshold: fraction` flags")
    fit_rows: int = option(5000, "rows of a class that a detector is fitted on at most, drawn at random")
    oracle: bool = option(False, "flag the truly conflicting rows instead: an upper bound that needs bias labels")
    published: bool = option(
        False,
        "as the authors' code: fitted on features as they are and scored on scaled ones, and the least normal row of a "
        "class is flagged even where the biased model makes no error",
    )
    sheet: int = option(8, "images of each class on either half of the contact sheet; 0: no sheet")

    def check(self) -> Iterator[tuple[str, str]]:
        for name in ("error_ratio", "fraction"):
            if not 0 <= getattr(self, name) <= 1:
                yield name, f"must be in [0, 1], is {getattr(self, name)}"
        if self.fit_rows < 2:
            yield "fit_rows", f"must be at least 2, is {self.fit_rows}"
        if self.sheet < 0:
            yield "sheet", f"must be at least 0, is {self.sheet}"
        if self.oracle and self.published:
            yield "oracle", "takes the place of the detector; leave out `published`"


@dataclass
class DebiasedConfig(ClassifierConfig):
    """Training in which rows that the signal gets wrong (those flagged) are drawn more often and seen in more views."""

    balance: Literal["global", "class"] = option(
        "global", "flagged rows are drawn as often as others: in all (authors' code), or within each class"
    )
    views: list[Literal["flip_rotate", "rotate_contrast", "zoom"]] = option(
        help="further views of each flagged row of a batch (authors' code: all three); none: up-sampling alone",
        factory=lambda: ["flip_rotate", "rotate_contrast", "zoom"],
    )
    rotation: float = option(180.0, "largest turn of a view, in degrees (authors' code: 180)")
    published: bool = option(
        False, "as the authors' code: one random draw for all rows of a batch, views of normalised pixels"
    )

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if self.loss != "ce":
            yield "loss", "the weighted loss is cross-entropy; 'gce' is not used here"
        if not 0 <= self.rotation <= 180:
            yield "rotation", f"must be in [0, 180], is {self.rotation}"
        if len(set(self.views)) < len(self.views):
            yield "views", "name each view once"
