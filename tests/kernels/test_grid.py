"""Paths of penalties and grids with sigma."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from lab.errors import KernelError
from lab.kernels import Falkon, solve_grid, solve_path

PENALTIES = [1e-7, 1e-3, 1e-5]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:1000] / 6, y[:1000], X[1000:1400] / 6, y[1000:1400]


@pytest.mark.parametrize("solver", ["cg", "gram"])
def test_a_path_is_what_separate_fits_are(digits, solver):
    X, y, rows, _ = digits
    base = Falkon(sigma=8.0, M=200, solver=solver, maxiter=200, tolerance=1e-9)
    models = solve_path(base, X, y, PENALTIES)
    assert [model.penalty for model in models] == PENALTIES
    for model in models:
        alone = Falkon(**model.get_params()).fit(X, y)
        np.testing.assert_allclose(model.decision_function(rows), alone.decision_function(rows), rtol=1e-4, atol=1e-5)
        assert model.predict(rows).tolist() == alone.predict(rows).tolist()
        assert model.n_features_in_ == 64


def test_a_warm_start_saves_iterations(digits):
    X, y, _, _ = digits
    base = Falkon(sigma=8.0, M=200, solver="cg", maxiter=200, tolerance=1e-6)
    near = [1.0e-5, 1.1e-5]
    warm, cold = solve_path(base, X, y, near), [base.set_params(penalty=p).fit(X, y).iterations_ for p in near]
    assert warm[1].iterations_ == cold[1]  # the larger one comes first
    assert warm[0].iterations_ < cold[0]


@pytest.mark.parametrize("solver", ["cg", "gram"])
def test_a_grid_scores_as_separate_fits_do(digits, solver):
    X, y, rows, labels = digits
    base = Falkon(M=200, solver=solver, maxiter=200, tolerance=1e-8)
    result = solve_grid(base, X, y, rows, labels, sigmas=[2.0, 8.0], penalties=PENALTIES)
    expected = [
        [Falkon(M=200, sigma=sigma, penalty=p, solver="gram").fit(X, y).score(rows, labels) for p in PENALTIES]
        for sigma in (2.0, 8.0)
    ]
    np.testing.assert_allclose(result.scores, expected, atol=1 / 400 + 1e-9)
    sigma, penalty = result.best
    assert result.scores[[2.0, 8.0].index(sigma), PENALTIES.index(penalty)] == result.scores.max()
    assert set(result.ledger) == {"centres", "kernel", "factor", "iterate", "validate"}
    assert not hasattr(base, "alpha_")  # it is a copy that is fitted


def test_of_equal_scores_the_largest_penalty_is_the_best():
    X = np.random.default_rng(0).normal(size=(60, 2))
    y = (X[:, 0] > 0).astype(int)
    result = solve_grid(Falkon(), X, y, X + 0, y, sigmas=[1.0], penalties=[1e-9, 1e-3], score=lambda *_: 0.5)
    assert result.best == (1.0, 1e-3)


def test_real_targets_are_scored_by_r2():
    X = np.random.default_rng(0).normal(size=(200, 2))
    y = np.sin(X[:, 0])
    result = solve_grid(Falkon(), X[:150], y[:150], X[150:], y[150:], sigmas=[1.0], penalties=[1e-6, 1e2])
    assert result.scores[0, 0] > 0.99
    assert result.scores[0, 1] < 0.5


def test_errors(digits):
    X, y, rows, labels = digits
    with pytest.raises(KernelError, match="lack 1 of the classes, first 7"):
        solve_grid(Falkon(M=50), X, y, rows[labels != 7], labels[labels != 7], sigmas=[8.0], penalties=[1e-5])
    with pytest.raises(KernelError, match="one sigma and one penalty"):
        solve_grid(Falkon(M=50), X, y, rows, labels, sigmas=[8.0], penalties=[])
    with pytest.raises(KernelError, match="penalty must be a positive number"):
        solve_path(Falkon(M=50), X, y, [1e-3, 0.0])
