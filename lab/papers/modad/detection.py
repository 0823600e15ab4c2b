"""One-class detection class by class, after MoDAD's code (Pastore et al., WACV 2025). NumPy; detectors are pyod's."""

from __future__ import annotations

import inspect
import logging
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from lab.errors import StageFailed, UnknownName, UserError
from lab.papers.modad.config import AnomalyConfig
from lab.stages.seeds import derive

log = logging.getLogger(__name__)

FEWEST = 10
"""Rows that a detector is fitted on at least; a class of which the biased model gets fewer right gives all it has."""

DEFAULTS: dict[str, dict[str, Any]] = {"ocsvm": {"nu": 0.5, "gamma": "scale"}}
"""The authors' options (pyod's own gamma is 1 / features)."""

TIE = 1e-9
"""Scores this near to the threshold are at it: a support vector machine gives all rows far away the same score."""

EXTREME = 30.0
"""Largest logit of the pseudo-probabilities."""


class Detector(Protocol):
    """The part of pyod's face that is used."""

    def fit(self, X: np.ndarray) -> Any: ...

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        """Scores (n,), higher for outliers."""
        ...


@dataclass(frozen=True)
class Detection:
    """What was found of each row.

    score: float64 (n,), higher for outliers; of each class with mean 0 and standard deviation 1, as detectors of
        different classes have different scales.
    flagged: bool (n,), taken for conflicting: score of at least the threshold of its class, up to `TIE`.
    threshold: float64 (C,), in the unit of `score`; infinite where nothing is flagged.
    """

    score: np.ndarray
    flagged: np.ndarray
    threshold: np.ndarray


def detect(
    features: np.ndarray,
    label: np.ndarray,
    prediction: np.ndarray,
    class_names: Sequence[str],
    config: AnomalyConfig,
    seed: int,
) -> Detection:
    """Find outliers among the rows of each class, by a detector fitted on those that the biased model gets right.

    Args:
        features: (n, d), finite. label, prediction: int64 (n,), places in `class_names`.
        seed: of the rows that are drawn where a class has more than `fit_rows`, and of random detectors.

    Raises:
        UserError: pyod is not installed, or there is no such detector, or it doesn't take the options.
        StageFailed: the detector can't be fitted on these rows.
    """
    make = detector_maker(config.detector, config.detector_options)
    score, flagged = np.zeros(len(label)), np.zeros(len(label), dtype=bool)
    threshold = np.full(len(class_names), np.inf)
    for k, name in enumerate(class_names):
        rows = np.flatnonzero(label == k)
        if not len(rows):
            continue
        right = prediction[rows] == k
        own = features[rows].astype(np.float64)
        raw = _scores(own, right, config, make, derive(seed, "detector", k), f"class '{name}'")
        score[rows] = (raw - raw.mean()) / (raw.std() or 1.0)
        threshold[k] = find_threshold(score[rows], float((~right).mean()), config)
        flagged[rows] = score[rows] >= threshold[k] - TIE
    return Detection(score, flagged, threshold)


def _scores(
    own: np.ndarray, right: np.ndarray, config: AnomalyConfig, make: Callable[[int], Detector], seed: int, what: str
) -> np.ndarray:
    """Scores (n,) of the rows of one class, higher for outliers."""
    if right.sum() < FEWEST:
        log.warning("%s: the biased model gets %d rows right; its detector is fitted on all", what, right.sum())
        right = np.ones_like(right)
    if len(own) == 1:
        return np.zeros(1)
    chosen = np.flatnonzero(right)
    if len(chosen) > config.fit_rows:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, config.fit_rows, replace=False))
    fit, scored = own[chosen], own
    if config.scale == "both" or config.published:
        low, span = fit.min(0), np.ptp(fit, axis=0)
        span[span == 0] = 1.0
        scored = (own - low) / span
        if not config.published:
            fit = scored[chosen]
    detector = make(seed)
    try:
        detector.fit(fit)
        found = np.asarray(detector.decision_function(scored), dtype=np.float64)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StageFailed(
            f"modad/anomaly: {config.detector} can't be fitted on {len(fit)} rows of {what}: {reason}"
        ) from error
    if not np.isfinite(found).all():
        raise StageFailed(f"{config.detector} gives rows of {what} scores that are not finite")
    return found


def find_threshold(score: np.ndarray, error_rate: float, config: AnomalyConfig) -> float:
    """Lowest score that is flagged, of the scores (n,) of a class; infinite: none is.

    error_rate: share of the class that the biased model gets wrong.
    """
    if config.threshold == "otsu":
        return otsu(score)
    share = config.fraction if config.threshold == "fraction" else config.error_ratio * error_rate
    if share == 0 and not config.published:
        return np.inf
    return float(np.percentile(score, 100 * (1 - share)))


def otsu(score: np.ndarray) -> float:
    """The score at which the variance between the two sides is largest (Otsu 1979), over all cuts between values."""
    ordered = np.sort(score)
    if ordered[0] == ordered[-1]:
        return np.inf
    n = np.arange(1, len(ordered))
    sums = np.cumsum(ordered)
    means = sums[:-1] / n - (sums[-1] - sums[:-1]) / (len(ordered) - n)
    between = np.where(np.diff(ordered) > 0, n * (len(ordered) - n) * means**2, -1.0)
    return float(ordered[int(between.argmax()) + 1])


def pseudo_probabilities(detection: Detection, label: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Probabilities (n, C) with which a flagged row counts as an error, for the methods that read a biased model.

    The probability that a row is aligned, 1 / (1 + exp(score - threshold)), goes to its label and the rest to the class
    that the biased model finds most probable besides: one half or more just where the row is flagged.

    Args:
        probabilities: (n, C), of the biased model.
    """
    rows = np.arange(len(label))
    logit = np.clip(detection.score - detection.threshold[label], -EXTREME, EXTREME)
    conflicting = 1 / (1 + np.exp(-logit))
    others = probabilities.astype(np.float64)
    others[rows, label] = -1
    made = np.zeros_like(others)
    made[rows, others.argmax(1)] = conflicting
    made[rows, label] = 1 - conflicting
    return made


def detector_maker(name: str, options: Mapping[str, Any]) -> Callable[[int], Detector]:
    """`make(seed)`, for a detector of pyod by the name of its module.

    Raises:
        UserError: pyod is not installed, the detector needs more than that, or it doesn't take the options.
        UnknownName: with the nearest names.
    """
    try:
        import pyod.models as models
    except ImportError as error:
        raise UserError(f"modad/anomaly: needs pyod ({error}); install the extra lab[ood]") from None
    known = [found.name for found in pkgutil.iter_modules(models.__path__)]
    if name not in known:
        raise UnknownName("detector", name, known)
    try:
        module = import_module(f"pyod.models.{name}")
    except ImportError as error:
        raise UserError(f"detector {name}: pyod can't load it here ({error})") from None
    spelt = name.replace("_", "")
    cls: Any = next((v for k, v in vars(module).items() if k.lower() == spelt and inspect.isclass(v)), None)
    if cls is None:
        raise UserError(
            f"detector {name}: pyod.models.{name} holds no detector of that name; try ocsvm, iforest or knn"
        )
    given = dict(options or DEFAULTS.get(name, {}))
    takes_seed = "random_state" in inspect.signature(cls).parameters

    def make(seed: int) -> Detector:
        chosen = {"random_state": seed % 2**32, **given} if takes_seed else given
        try:
            made: Detector = cls(**chosen)
            return made
        except (TypeError, ValueError) as error:
            raise UserError(f"detector {name}: can't be built with {given}: {error}") from None

    return make
