"""Falkon as a scikit-learn estimator: Nyström kernel ridge regression and classification."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import Tags
from sklearn.utils._tags import ClassifierTags, RegressorTags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from lab.errors import KernelError
from lab.kernels.centres import Centres, choose_centres, sample_rows
from lab.kernels.falkonml import FalkonML
from lab.kernels.functions import Kernel, KernelBlock, full_precision, median_distance
from lab.kernels.inputs import (
    check_classes,
    check_count,
    check_features,
    check_penalty,
    check_sigma,
    check_values,
    check_weights,
    class_weights,
    task_of,
)
from lab.kernels.plan import Size, make_plan, parse_memory
from lab.kernels.rows import Features, Ranks, Rows
from lab.kernels.system import Ledger, Progress, Solution, System, Targets

SIGMA_ROWS = 2000
"""The median distance is taken over at most so many rows."""

SMALL = 2**24
"""precision="auto" computes in float64 when K_nM has at most so many entries: it costs next to nothing then."""

Array = np.ndarray[Any, Any]


class Falkon(BaseEstimator):  # type: ignore[misc]
    """Nyström kernel ridge regression, solved by preconditioned conjugate gradients or by one normal equation.

    Minimises 1/n sum_i |y_i - f(x_i)|^2 + penalty |f|_H^2 over f = sum_j alpha_j k(., c_j) + b, with M centres c_j.
    Classes are fitted as one-hot targets (two classes as -1 and 1) and predicted by the largest value.

    X may be an array, a memmap, which is read block by block and never copied whole, or a tensor on any device. Results
    are tensors when X is one.

    Args:
        kernel: a name of `lab.kernels.KERNELS`, or a `Kernel`.
        sigma: length scale, one or one a feature; None is the median distance of at most 2,000 rows.
        penalty: lambda, > 0, a share of each row: it is multiplied by n in the normal equation.
        M: number of centres; None is min(n, max(1000, 10 sqrt(n))). Fewer are used when fewer rows are different.
        centres: "uniform", "stratified", "kmeans++", "leverage", or the centres themselves (M, d).
        solver: "cg", "gram" (the normal equation, best with many classes or many penalties), or "auto", the cheaper
            one by the cost model of `lab.kernels.plan`. "falkon" is the package of that name, see `FalkonML`.
        maxiter, tolerance: of conjugate gradients; stops when the relative residual of every column is below.
        task: "classification", "regression", or "auto": regression when targets are real or two-dimensional.
        class_weight: "balanced" gives all classes the same total weight; or label -> weight.
        intercept: fit b, unpenalised. Without it b is 0.
        memory: budget in bytes above the data, or "2GiB"; None is half of what is free. K_nM is kept when it fits.
        precision: "float32" or "float64" of products with K_nM (factors are always float64); "auto" is float64 for
            K_nM of at most 2^24 entries, else float32.
        device: "auto" is the device of X when it is a tensor, else a GPU when there is one.
        seed: of the centres and of the rows behind sigma.

    Attributes:
        centres_ (M, d), alpha_ (M, C), intercept_ (C,), sigma_ (1,) or (d,): arrays in float64.
        classes_: labels in order (classification).
        iterations_, residuals_: of conjugate gradients; 0 and () for the normal equation.
        jitter_: largest jitter that was added to a diagonal, see `cholesky_`.
        route_: "cg" or "gram". stored_: whether K_nM was kept. plan_: the whole `Plan`.
        ledger_: seconds for centres, kernel (first pass over the rows), factor, iterate.
        n_features_in_: columns of X.

    Raises (fit):
        KernelError: a `ValueError`; features with NaN, one class, M above n, sigma or penalty not positive, shapes that
            do not match, a memory budget that is too small.
    """

    def __init__(
        self,
        kernel: str | Kernel = "gaussian",
        sigma: float | Array | None = None,
        penalty: float = 1e-6,
        M: int | None = None,
        centres: str | Array | Tensor = "uniform",
        solver: Literal["auto", "cg", "gram", "falkon"] = "auto",
        maxiter: int = 20,
        tolerance: float = 1e-4,
        task: Literal["auto", "classification", "regression"] = "auto",
        class_weight: Literal["balanced"] | Mapping[Any, float] | None = None,
        intercept: bool = True,
        memory: int | str | None = None,
        precision: Literal["auto", "float32", "float64"] = "auto",
        device: str = "auto",
        seed: int = 0,
    ):
        self.kernel = kernel
        self.sigma = sigma
        self.penalty = penalty
        self.M = M
        self.centres = centres
        self.solver = solver
        self.maxiter = maxiter
        self.tolerance = tolerance
        self.task = task
        self.class_weight = class_weight
        self.intercept = intercept
        self.memory = memory
        self.precision = precision
        self.device = device
        self.seed = seed

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        ranks: Ranks | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Fit to X (n, d) and y: (n,) labels, or (n,) or (n, outputs) real targets.

        Args:
            sample_weight: (n,) not negative; a weight of 2 counts as the row twice.
            ranks: the processes that the rows are divided over; X, y are this one's. All of them get the same result.
            progress: called with ("kernel", rows done, rows) after each block of the first pass.
        """
        penalty = check_penalty(self.penalty)
        system = self._system(X, y, sample_weight, ranks=ranks, progress=progress)
        return self._adopt(system, system.solve(penalty, maxiter=self.maxiter, tolerance=self.tolerance))

    def _system(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        penalties: int = 1,
        ranks: Ranks | None = None,
        progress: Progress | None = None,
    ) -> System | FalkonML:
        """The problem that `fit` solves, for this sigma and any penalty; `penalties` of them are going to be solved."""
        if y is None:
            raise KernelError("Falkon requires y to be passed, but the target y is None")
        self._check_options()
        features = check_features(self, X, reset=True)
        device = self._device(features)
        rows = Rows(features, device=device, ranks=ranks)
        targets = self._targets(y, sample_weight, rows)
        ledger = Ledger()
        with ledger.phase("centres", device):
            self.sigma_ = self._sigma(rows, targets.weights).numpy()
            chosen = self._centres(rows, targets)
        size = Size(self._most(rows), rows.d, len(chosen.rows), targets.C, penalties)
        dtype = self._dtype(rows.total * size.M)
        size = Size(size.n, size.d, size.M, size.C, size.L, dtype.itemsize)
        sigma = torch.as_tensor(self.sigma_, device=device)
        centres = chosen.rows.to(device)
        if self.solver == "falkon":
            return FalkonML(rows, targets, self._kernel(), centres, sigma, dtype, bool(self.intercept), ledger)
        budget = torch.tensor(parse_memory(self.memory, device), dtype=torch.int64, device=device)
        rows.ranks.broadcast(budget)
        plan = make_plan(size, int(budget), solver=self.solver, maxiter=self.maxiter, device=device.type)
        return System(
            rows,
            targets,
            self._kernel(),
            centres,
            sigma,
            chosen.importance.to(device),
            plan,
            dtype,
            bool(self.intercept),
            ledger,
            progress,
        )

    def _adopt(self, system: System | FalkonML, solution: Solution) -> Self:
        """Take a solution over as the fitted model."""
        self.centres_ = system.centres.cpu().numpy()
        self.alpha_ = solution.alpha.cpu().numpy()
        self.intercept_ = solution.intercept.cpu().numpy()
        self.iterations_ = self.n_iter_ = solution.iterations
        self.residuals_ = solution.residuals
        self.jitter_ = solution.jitter
        self.plan_, self.route_, self.stored_ = system.plan, system.plan.route, system.plan.stored
        self.ledger_ = dict(system.ledger)
        self._reference = system.reference.cpu().numpy()
        self._predicts_in = system.dtype
        return self

    @available_if(lambda self: self.task != "regression")  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> Array | Tensor:
        """f(X): (n, classes), or (n,) for two classes (positive means the second). Of classifiers only."""
        return self._values(X)

    def _values(self, X: Any) -> Array | Tensor:
        check_is_fitted(self)
        features = check_features(self, X, reset=False)
        values = self._shaped(self._evaluate(features, self.alpha_, self.intercept_))
        return values.to(features.device) if isinstance(features, Tensor) else values.numpy()

    def _shaped(self, values: Tensor) -> Tensor:
        """One column is (n,) unless targets were a table."""
        return values[:, 0] if values.shape[1] == 1 and (self._task == "classification" or self._flat) else values

    def predict(self, X: Any) -> Array | Tensor:
        """Labels (n,), or values (n,) or (n, outputs)."""
        return self._decide(self._values(X))

    def _decide(self, values: Array | Tensor) -> Array | Tensor:
        """Labels of decision values; real values are what they are."""
        if self._task == "regression":
            return values
        chosen = (values > 0) * 1 if values.ndim == 1 else values.argmax(1)
        if isinstance(chosen, Tensor):
            if self.classes_.dtype.kind in "iufb":
                return torch.as_tensor(self.classes_, device=chosen.device)[chosen]
            chosen = chosen.cpu().numpy()
        return self.classes_[chosen]  # type: ignore[no-any-return]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy of labels, R^2 of values (mean over outputs)."""
        predicted, y = (v.detach().cpu().numpy() if isinstance(v, Tensor) else v for v in (self.predict(X), y))
        measure = accuracy_score if self._task == "classification" else r2_score
        return float(measure(y, predicted, sample_weight=sample_weight))

    @full_precision()
    def _evaluate(self, features: Features, alpha: Array, intercept: Array) -> Tensor:
        """k(X, C) alpha + intercept, (n, columns of alpha), float64 on the host; in blocks under the budget."""
        device = self._device(features)
        rows = Rows(features, device=device)
        dtype = self._predicts_in
        centres = torch.as_tensor(self.centres_, device=device)
        block = KernelBlock(self._kernel(), centres, torch.as_tensor(self.sigma_, device=device), dtype)
        coefficients = torch.as_tensor(alpha, device=device)
        reference = torch.as_tensor(self._reference, device=device)
        # The reference comes off each kernel value before the product, and back in float64: less rounding.
        constant = torch.as_tensor(intercept, device=device) + reference @ coefficients
        narrow, narrow_reference = coefficients.to(dtype), reference.to(dtype)
        size = Size(len(rows), rows.d, len(centres), alpha.shape[1], itemsize=dtype.itemsize)
        q = size.prediction_block(parse_memory(self.memory, device), device.type)
        values = torch.empty(len(rows), alpha.shape[1], dtype=torch.float64)
        for start, stop, part in rows.blocks(q, dtype, block.shift):
            product = block(part, reference=narrow_reference) @ narrow
            values[start:stop] = product.double().add_(constant).cpu()
        return values

    def _check_options(self) -> None:
        if self.solver not in ("auto", "cg", "gram", "falkon"):
            raise KernelError(f"solver must be auto, cg, gram or falkon, not '{self.solver}'")
        if self.precision not in ("auto", "float32", "float64"):
            raise KernelError(f"precision must be auto, float32 or float64, not '{self.precision}'")
        check_count("maxiter", self.maxiter)
        if not self.tolerance >= 0:
            raise KernelError(f"tolerance must not be negative, not {self.tolerance!r}")

    def _kernel(self) -> Kernel:
        return self.kernel if isinstance(self.kernel, Kernel) else Kernel(self.kernel)

    def _device(self, features: Features) -> torch.device:
        if self.device != "auto":
            return torch.device(self.device)
        if isinstance(features, Tensor):
            return features.device
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def _dtype(self, entries: int) -> torch.dtype:
        if self.precision == "auto":
            return torch.float64 if entries <= SMALL else torch.float32
        return torch.float64 if self.precision == "float64" else torch.float32

    def _targets(self, y: Any, sample_weight: Any, rows: Rows) -> Targets:
        self._task = task_of(y, self.task)
        weights = check_weights(sample_weight, rows)
        if self._task == "regression":
            if self.class_weight is not None:
                raise KernelError("class_weight is for classification; real targets take sample_weight")
            self.__dict__.pop("classes_", None)
            values, self._flat = check_values(y, rows)
            return Targets(values, None, weights)
        self.classes_, codes = check_classes(y, rows)
        weights = class_weights(self.class_weight, self.classes_, codes, weights, rows.ranks)
        return Targets(codes, len(self.classes_), weights)

    def _sigma(self, rows: Rows, weights: Tensor | None) -> Tensor:
        if self.sigma is not None:
            return check_sigma(self.sigma, rows.d)
        sample = sample_rows(rows, SIGMA_ROWS, seed=self.seed, weights=weights)
        return check_sigma(median_distance(sample), rows.d)

    def _centres(self, rows: Rows, targets: Targets) -> Centres:
        if not isinstance(self.centres, str):
            given = torch.as_tensor(self.centres, dtype=torch.float64, device=rows.device)
            if given.ndim != 2 or given.shape[1] != rows.d or not len(given) or not bool(given.isfinite().all()):
                raise KernelError(f"centres must be finite and of shape (M, {rows.d}), not {tuple(given.shape)}")
            return Centres(given, torch.full((len(given),), 1 / len(given), dtype=torch.float64))
        if self.M is None:
            M = min(rows.total, max(1000, round(10 * math.sqrt(rows.total))))
        else:
            M = check_count("M", self.M)
            if rows.total < M:
                raise KernelError(f"M={M} centres can't be drawn from {rows.total} rows; M must be at most n")
        return choose_centres(
            rows,
            M,
            self.centres,
            seed=self.seed,
            labels=targets.values if targets.classes else None,
            weights=targets.weights,
            kernel=self._kernel(),
            sigma=torch.as_tensor(self.sigma_, device=rows.device),
            penalty=check_penalty(self.penalty),
        )

    @staticmethod
    def _most(rows: Rows) -> int:
        """Rows of the rank that has most, so that all ranks make the same plan."""
        counts = torch.zeros(rows.ranks.size, dtype=torch.int64, device=rows.device)
        counts[rows.ranks.rank] = len(rows)
        rows.ranks.reduce(counts)
        return int(counts.max())

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.array_api_support = False
        if self.task == "classification":
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        elif self.task == "regression":
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
            tags.target_tags.multi_output = True
        return tags
