"""Many penalties and sigmas for little more than one fit a sigma, and what the preconditioner does to a system.

For one sigma all penalties share the centres, K_nM or its Gram matrix, and the first factor of the preconditioner; with
conjugate gradients each starts from the solution for the next larger penalty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.metrics import accuracy_score, r2_score

from lab.errors import KernelError
from lab.kernels.factors import solve_lower
from lab.kernels.falkon import Array, Falkon
from lab.kernels.functions import centres_matrix, full_precision
from lab.kernels.inputs import check_features, check_penalty
from lab.kernels.rows import Ranks
from lab.kernels.system import Progress


@dataclass(frozen=True)
class GridResult:
    """`scores` (sigmas, penalties) on the validation rows; `ledger`: seconds per phase of all fits, with `validate`."""

    sigmas: tuple[float | Array, ...]
    penalties: tuple[float, ...]
    scores: Array
    ledger: dict[str, float]

    @property
    def best(self) -> tuple[float | Array, float]:
        """sigma and penalty of the highest score; of equal ones the first sigma and then the largest penalty."""
        sigma = int(self.scores.max(1).argmax())
        row = self.scores[sigma]
        return self.sigmas[sigma], max(p for p, score in zip(self.penalties, row, strict=True) if score == row.max())


def solve_path(
    estimator: Falkon,
    X: Any,
    y: Any,
    penalties: Sequence[float],
    sample_weight: Any = None,
    *,
    ranks: Ranks | None = None,
    progress: Progress | None = None,
) -> list[Falkon]:
    """A fitted copy of `estimator` for each penalty, in their order. Arguments as in `Falkon.fit`.

    `ledger_` of each copy is that of all of them together.
    """
    penalties = [check_penalty(penalty) for penalty in penalties]
    first = clone(estimator)
    system = first._system(X, y, sample_weight, penalties=len(penalties), ranks=ranks, progress=progress)
    fitted = []
    for solution in system.path(penalties, maxiter=first.maxiter, tolerance=first.tolerance):
        model = clone(estimator).set_params(penalty=solution.penalty)
        # What the checks of X and y found out: classes, columns, sigma.
        vars(model).update({k: v for k, v in vars(first).items() if k not in first.get_params(deep=False)})
        fitted.append(model._adopt(system, solution))
    return fitted


def solve_grid(
    estimator: Falkon,
    X: Any,
    y: Any,
    X_validation: Any,
    y_validation: Any,
    *,
    sigmas: Sequence[float | Array],
    penalties: Sequence[float],
    sample_weight: Any = None,
    score: Callable[[Any, Any], float] | None = None,
    ranks: Ranks | None = None,
    progress: Progress | None = None,
) -> GridResult:
    """Validation scores of every sigma with every penalty, other options as in `estimator`; no test rows are seen.

    Args:
        X, y, sample_weight, ranks, progress: as in `Falkon.fit`.
        X_validation, y_validation: held-out rows; with `ranks`, all of them on every rank.
        sigmas, penalties: the grid; not empty.
        score: (true, predicted) -> a number, the higher the better; accuracy or R^2 by default.

    Raises:
        KernelError: an empty grid, validation rows without one of the classes, or what `Falkon.fit` raises.
    """
    if not len(sigmas) or not len(penalties):
        raise KernelError("a grid needs one sigma and one penalty at least")
    scores, ledger = np.empty((len(sigmas), len(penalties))), dict[str, float]()
    for row, sigma in enumerate(sigmas):
        models = solve_path(
            clone(estimator).set_params(sigma=sigma), X, y, penalties, sample_weight, ranks=ranks, progress=progress
        )
        for phase, seconds in models[0].ledger_.items():
            ledger[phase] = ledger.get(phase, 0.0) + seconds
        scores[row] = _validate(models, X_validation, y_validation, score, ledger)
    return GridResult(tuple(sigmas), tuple(penalties), scores, ledger)


def _validate(
    models: list[Falkon], X: Any, y: Any, score: Callable[[Any, Any], float] | None, ledger: dict[str, float]
) -> list[float]:
    """Scores of models that differ by their coefficients alone: kernel values are computed once for all."""
    start = perf_counter()
    first = models[0]
    y = y.detach().cpu().numpy() if isinstance(y, torch.Tensor) else np.asarray(y)
    if first._task == "classification":
        missing = sorted(set(first.classes_.tolist()) - set(y.tolist()))
        if missing:
            raise KernelError(f"the validation rows lack {len(missing)} of the classes, first {missing[0]!r}")
    features = check_features(first, X, reset=False)
    alpha = np.concatenate([model.alpha_ for model in models], 1)
    values = first._evaluate(features, alpha, np.concatenate([model.intercept_ for model in models]))
    measure = score or (accuracy_score if first._task == "classification" else r2_score)
    columns = first.alpha_.shape[1]
    found = [float(measure(y, first._decide(first._shaped(part).numpy()))) for part in torch.split(values, columns, 1)]
    ledger["validate"] = ledger.get("validate", 0.0) + perf_counter() - start
    return found


@full_precision()
def condition_numbers(estimator: Falkon, X: Any, y: Any, sample_weight: Any = None) -> tuple[float, float]:
    """Condition number of the normal equation without and with the preconditioner, from all eigenvalues.

    Takes O(n M^2 + M^3) operations and four M x M matrices in float64: a diagnostic for M of a few thousand.
    """
    penalty = check_penalty(estimator.penalty)
    model = clone(estimator).set_params(solver="cg")
    system = model._system(X, y, sample_weight)
    preconditioner = system.preconditioner
    preconditioner.factor(penalty)
    t, a = preconditioner.factors
    matrix = centres_matrix(system.kernel, system.centres, system.sigma)
    matrix.diagonal().add_(preconditioner.jitter * len(matrix) * matrix.diagonal().mean())
    matrix.mul_(penalty).add_(system.normal(torch.eye(len(matrix), dtype=torch.float64, device=matrix.device)))
    before = torch.linalg.eigvalsh(matrix)
    # A^-T T^-T H T^-1 A^-1
    half = solve_lower(a, solve_lower(t, matrix))
    after = torch.linalg.eigvalsh(solve_lower(a, solve_lower(t, half.T)))
    return float(before[-1] / before[0]), float(after[-1] / after[0])
