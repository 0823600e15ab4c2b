"""What users hand to the estimator, checked: features, targets, weights, length scale. One clear error each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, cast

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_n_features, check_array, column_or_1d, validate_data
from torch import Tensor

from lab.errors import KernelError
from lab.kernels.rows import Features, Ranks, Rows

Task = Literal["classification", "regression"]

CHECK_ROWS = 8192
"""Rows that are looked through for NaN and infinity at a time."""


def check_features(estimator: BaseEstimator, features: Any, *, reset: bool) -> Features:
    """Features as an array (n, d) of a real type, a memmap as it is, or a tensor; `n_features_in_` is set or compared.

    Raises:
        KernelError: not a table of finite real numbers, empty, or of another width than in fit. scikit-learn's own
            ValueError or TypeError where its checks say it (sparse, complex, text).
    """
    if isinstance(features, Tensor):
        if features.is_complex() or features.ndim != 2 or 0 in features.shape:
            raise KernelError(
                f"features must be a real table (rows, columns) with something in it, not {features.dtype} of shape "
                f"{tuple(features.shape)}"
            )
        checked: Features = features.detach()
        if reset:
            estimator.n_features_in_ = int(checked.shape[1])
            if hasattr(estimator, "feature_names_in_"):
                del estimator.feature_names_in_
        else:
            _check_n_features(estimator, cast(Any, checked), reset=False)
    else:
        try:
            # Only looks and, for lists and data frames, converts; an array or a memmap comes back as it is.
            checked = validate_data(
                estimator, features, reset=reset, dtype="numeric", ensure_all_finite=False, ensure_min_samples=1
            )
        except ValueError as error:
            raise KernelError(str(error)) from None
    _check_finite(checked)
    return checked


def _check_finite(features: Features) -> None:
    for start in range(0, len(features), CHECK_ROWS):
        part = features[start : start + CHECK_ROWS]
        if isinstance(part, Tensor):
            good = bool(part.isfinite().all())
            row = 0 if good else int(torch.nonzero(~part.isfinite().all(1))[0])
        else:
            good = part.dtype.kind not in "f" or bool(np.isfinite(part).all())
            row = 0 if good else int(np.flatnonzero(~np.isfinite(part).all(1))[0])
        if not good:
            raise KernelError(
                f"features contain NaN or infinity, first in row {start + row}; drop or fill such rows before the fit"
            )


def task_of(targets: Any, task: str) -> Task:
    """The task that is asked for; with "auto", real or two-dimensional targets are regression, others classification.

    Raises:
        KernelError: an unknown task.
    """
    if task in ("classification", "regression"):
        return cast(Task, task)
    if task != "auto":
        raise KernelError(f"task must be auto, classification or regression, not '{task}'")
    if isinstance(targets, Tensor):
        real = targets.is_floating_point()
    else:
        targets = np.asarray(targets)
        real = targets.dtype.kind == "f"
    return "regression" if real or (targets.ndim == 2 and targets.shape[1] > 1) else "classification"


def check_classes(labels: Any, rows: Rows) -> tuple[np.ndarray[Any, Any], Tensor]:
    """Classes in order, those of all ranks, and each row's class number (n,), int64, on the device of the rows.

    Raises:
        KernelError: as many labels as rows are not there, they are no classes, or there is one class only.
    """
    if isinstance(labels, Tensor):
        labels = labels.detach().cpu().numpy()
    try:
        labels = column_or_1d(labels, warn=True)
        check_classification_targets(labels)
    except ValueError as error:
        raise KernelError(str(error)) from None
    _check_length("targets", len(labels), rows)
    classes = np.unique(labels)
    if rows.ranks.size > 1:
        if classes.dtype.kind not in "iub":
            raise KernelError("labels must be whole numbers when rows are divided over processes")
        everything = rows.gather(torch.from_numpy(labels.astype(np.int64)).to(rows.device))
        classes = np.unique(everything.cpu().numpy()).astype(labels.dtype)
    if len(classes) < 2:
        raise KernelError(f"there is one class only, {classes.tolist()[0]!r}: a classifier needs two at least")
    return classes, torch.from_numpy(np.searchsorted(classes, labels).astype(np.int64)).to(rows.device)


def check_values(targets: Any, rows: Rows) -> tuple[Tensor, bool]:
    """Real targets (n, C) in float64 on the device of the rows, and whether they came as (n,).

    Raises:
        KernelError: not finite, of a wrong shape, or not as many as rows.
    """
    if not isinstance(targets, Tensor):
        try:
            targets = check_array(targets, ensure_2d=False, dtype=np.float64, input_name="y")
        except ValueError as error:
            raise KernelError(str(error)) from None
        targets = torch.from_numpy(np.array(targets))
    if targets.ndim not in (1, 2):
        raise KernelError(f"targets must be of shape (rows,) or (rows, outputs), not {tuple(targets.shape)}")
    _check_length("targets", len(targets), rows)
    values = targets.detach().to(rows.device, torch.float64)
    if not bool(values.isfinite().all()):
        raise KernelError("targets contain NaN or infinity")
    return values.reshape(len(values), -1), targets.ndim == 1


def check_weights(weights: Any, rows: Rows) -> Tensor | None:
    """Weights (n,) in float64 on the device of the rows, or None for none.

    Raises:
        KernelError: not one a row, negative, not finite.
    """
    if weights is None:
        return None
    weights = weights.detach() if isinstance(weights, Tensor) else torch.from_numpy(np.array(weights))
    if weights.ndim == 0:
        weights = weights.expand(len(rows))
    if weights.ndim != 1:
        raise KernelError(f"sample weights must be of shape (rows,): Sample weights must be 1D, not {weights.ndim}D")
    _check_length("sample weights", len(weights), rows)
    checked: Tensor = weights.to(rows.device, torch.float64)
    if not bool((checked.isfinite() & (checked >= 0)).all()):
        raise KernelError("sample weights must be finite and not negative")
    return checked


def class_weights(
    choice: Any, classes: np.ndarray[Any, Any], codes: Tensor, weights: Tensor | None, ranks: Ranks
) -> Tensor | None:
    """Weights (n,) of rows times those of their classes; None when there are neither.

    Args:
        choice: None, "balanced" (every class has the same total: W / (classes W_class)), or label -> weight, with 1 for
            labels that are not in it.

    Raises:
        KernelError: another choice, a label that no row has, or a weight that is negative or not finite.
    """
    if choice is None:
        return weights
    ones = torch.ones(len(codes), dtype=torch.float64, device=codes.device) if weights is None else weights
    factors = torch.ones(len(classes), dtype=torch.float64)
    if isinstance(choice, Mapping):
        known = {label: number for number, label in enumerate(classes.tolist())}
        for label, weight in choice.items():
            if label not in known or not 0 <= weight < math.inf:
                raise KernelError(f"class_weight has no use for {label!r}: {weight!r}; labels are {classes.tolist()}")
            factors[known[label]] = weight
    elif choice == "balanced":
        totals = torch.zeros(len(classes), dtype=torch.float64, device=codes.device).index_add_(0, codes, ones)
        ranks.reduce(totals)
        factors = torch.where(totals > 0, totals.sum() / (len(classes) * totals), torch.zeros_like(totals))
    else:
        raise KernelError(f"class_weight must be None, 'balanced' or a weight for each label, not {choice!r}")
    return ones * factors.to(codes.device)[codes]


def check_sigma(sigma: Any, d: int) -> Tensor:
    """Length scale as (1,) or (d,) in float64.

    Raises:
        KernelError: not positive, or neither one number nor one a column.
    """
    try:
        scale = torch.as_tensor(sigma, dtype=torch.float64).cpu().reshape(-1)
    except (TypeError, ValueError, RuntimeError):
        raise KernelError(f"sigma must be a positive number, or one for each feature, not {sigma!r}") from None
    if len(scale) not in (1, d):
        raise KernelError(f"sigma must be one number or one for each of the {d} features, not {len(scale)}")
    if not bool((scale.isfinite() & (scale > 0)).all()):
        raise KernelError(f"sigma must be positive, not {float(scale.min())}")
    return scale


def check_penalty(penalty: Any) -> float:
    """A positive finite penalty.

    Raises:
        KernelError: anything else.
    """
    if isinstance(penalty, bool) or not isinstance(penalty, (int, float, np.number)) or not 0 < penalty < math.inf:
        raise KernelError(f"penalty must be a positive number, not {penalty!r}")
    return float(penalty)


def check_count(name: str, value: Any, least: int = 1) -> int:
    """A whole number of at least `least`.

    Raises:
        KernelError: anything else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise KernelError(f"{name} must be a whole number of at least {least}, not {value!r}")
    return int(value)


def _check_length(what: str, length: int, rows: Rows) -> None:
    if length != len(rows):
        raise KernelError(f"{what} are of inconsistent numbers: {length} for {len(rows)} rows of features")
