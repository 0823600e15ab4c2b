"""Fits against exact solutions, other libraries and each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits
from sklearn.gaussian_process.kernels import Matern
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import train_test_split

from lab.kernels import Falkon, Kernel, condition_numbers
from lab.kernels.system import LARGE_PART

SIGMA, PENALTY = 10.0, 1e-7


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=10)
    mean, std = X_train.mean(), X_train.std()
    return (X_train - mean) / std, y_train, (X_test - mean) / std, y_test


@pytest.fixture(scope="module")
def noisy():
    """Features, real targets, others of the same kind: a smooth function with noise."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(700, 5))
    y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * rng.normal(size=700) + 3
    return X[:500], y[:500], X[500:]


def exact(X, Y, centres, penalty, sigma, rows, *, intercept=True, weights=None):
    """Nyström solution in float64: a least-squares problem with an orthogonal basis of the penalty."""
    kernel = lambda a, b: np.exp(-cdist(a, b, "sqeuclidean") / (2 * sigma**2))  # noqa: E731
    weights = np.ones(len(X)) if weights is None else weights
    values, vectors = np.linalg.eigh(kernel(centres, centres))
    keep = values > 1e-11 * values[-1]
    basis = vectors[:, keep] / np.sqrt(values[keep])
    features = kernel(X, centres) @ basis
    mean_x = weights @ features / weights.sum() if intercept else 0
    mean_y = weights @ Y / weights.sum() if intercept else 0
    root = np.sqrt(weights)[:, None]
    left = (features - mean_x) * root
    normal = left.T @ left + penalty * weights.sum() * np.eye(left.shape[1])
    solution = np.linalg.solve(normal, left.T @ ((Y - mean_y) * root))
    return (kernel(rows, centres) @ basis - mean_x) @ solution + mean_y


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


# The golden values of the method notes: digits, sigma 10, lambda 1e-7, 10 iterations.


@pytest.mark.parametrize("M, low, high", [(500, 0.78, 1.66), (1000, 0.44, 1.00)])
def test_digits_errors_are_the_known_ones(digits, M, low, high):
    """1.22 +- 0.22 % and 0.72 +- 0.14 % over five draws of the centres; within twice that."""
    X, y, X_test, y_test = digits
    options = {"sigma": SIGMA, "penalty": PENALTY, "M": M, "solver": "cg", "maxiter": 10, "tolerance": 0}
    scores = [Falkon(**options, seed=seed).fit(X, y).score(X_test, y_test) for seed in range(5)]
    assert low <= 100 * (1 - np.mean(scores)) <= high


def test_the_preconditioner_takes_the_condition_number_from_1e11_to_tens(digits):
    X, y, _, _ = digits
    options = {"sigma": SIGMA, "penalty": PENALTY, "M": 500}
    before, after = condition_numbers(Falkon(**options, intercept=False), X, y)
    assert 1e11 < before < 1e12
    assert after < 50
    assert condition_numbers(Falkon(**options), X, y)[1] < 50


def test_predictions_approach_the_exact_solution_at_the_known_rate(digits):
    X, y, X_test, _ = digits
    options = {"sigma": SIGMA, "penalty": PENALTY, "M": 500, "intercept": False, "solver": "cg", "tolerance": 0}
    errors, expected = {}, None
    for maxiter in (1, 5, 10, 15, 20):
        model = Falkon(**options, maxiter=maxiter).fit(X, y)
        if expected is None:
            expected = exact(X, np.eye(10)[y], model.centres_, PENALTY, SIGMA, X_test, intercept=False)
        errors[maxiter] = relative(model.decision_function(X_test), expected)
        assert model.iterations_ == len(model.residuals_) == maxiter
    known = {1: 0.69, 5: 0.15, 10: 0.018, 15: 1.8e-3, 20: 1.6e-4}
    for maxiter, error in errors.items():
        assert error < 2.5 * known[maxiter], errors


def test_plain_conjugate_gradients_are_still_far_off_after_200_iterations(digits):
    """What the preconditioner is for."""
    from lab.kernels.cg import conjugate_gradient
    from lab.kernels.functions import kernel_matrix

    X, y, X_test, _ = digits
    centres = Falkon(sigma=SIGMA, M=500, intercept=False).fit(X, y).centres_
    k, k_mm, k_test = (
        kernel_matrix(Kernel(), torch.tensor(rows), torch.tensor(centres), SIGMA) for rows in (X, centres, X_test)
    )
    matrix = k.T @ k / len(X) + PENALTY * k_mm
    right = k.T @ torch.eye(10, dtype=torch.float64)[torch.tensor(y)] / len(X)
    alpha = conjugate_gradient(lambda x: matrix @ x, right, maxiter=200, tolerance=0).x
    expected = exact(X, np.eye(10)[y], centres, PENALTY, SIGMA, X_test, intercept=False)
    assert 0.05 < relative((k_test @ alpha).numpy(), expected) < 0.5


# Against exact solutions.


@pytest.mark.parametrize("solver, tolerance", [("cg", 1e-6), ("gram", 1e-8)])
@pytest.mark.parametrize("intercept", [True, False])
def test_both_routes_give_the_exact_nystroem_solution(noisy, solver, tolerance, intercept):
    X, y, rows = noisy
    options = {"sigma": 3.0, "penalty": 1e-4, "M": 100, "maxiter": 200, "tolerance": 1e-10}
    model = Falkon(solver=solver, intercept=intercept, **options).fit(X, y)
    expected = exact(X, y[:, None], model.centres_, 1e-4, 3.0, rows, intercept=intercept)[:, 0]
    assert relative(model.predict(rows), expected) < tolerance
    assert model.route_ == solver
    kernel = np.exp(-cdist(rows, model.centres_, "sqeuclidean") / 18)
    np.testing.assert_allclose(kernel @ model.alpha_[:, 0] + model.intercept_, expected, rtol=1e-5)


@pytest.mark.parametrize("solver", ["cg", "gram"])
def test_with_all_rows_as_centres_it_is_kernel_ridge_regression(noisy, solver):
    X, y, rows = noisy
    model = Falkon(sigma=2.0, penalty=1e-3, M=500, solver=solver, intercept=False, maxiter=100, tolerance=1e-10)
    expected = KernelRidge(kernel="rbf", gamma=1 / 8, alpha=1e-3 * 500).fit(X, y).predict(rows)
    assert relative(model.fit(X, y).predict(rows), expected) < 1e-6


def test_another_kernel_with_all_rows_as_centres(noisy):
    X, y, rows = noisy
    ridge = KernelRidge(kernel=Matern(2.0, nu=1.5), alpha=1e-3 * 500).fit(X, y)
    model = Falkon(kernel="matern32", sigma=2.0, penalty=1e-3, M=500, intercept=False).fit(X, y)
    assert relative(model.predict(rows), ridge.predict(rows)) < 1e-6


def test_the_linear_kernel_with_an_intercept_is_a_ridge_classifier(digits):
    X, y, X_test, _ = digits
    ridge = RidgeClassifier(alpha=1e-2 * len(X)).fit(X, y)
    model = Falkon(kernel="linear", sigma=1.0, penalty=1e-2, M=200, solver="gram").fit(X, y)
    expected = (ridge.decision_function(X_test) + 1) / 2  # its targets are -1 and 1
    assert relative(model.decision_function(X_test), expected) < 1e-3  # the jitter of a matrix of rank 61
    assert (model.predict(X_test) == ridge.predict(X_test)).all()


@pytest.mark.parametrize("solver, bound", [("cg", 2e-3), ("gram", 2e-3)])
def test_float32_products_are_accurate_where_they_are_hard(digits, solver, bound):
    """lambda 1e-7 on digits: without taking the large part out, both would be off by 0.1 and more."""
    X, y, X_test, _ = digits
    options = {"sigma": SIGMA, "penalty": PENALTY, "M": 1000, "solver": solver, "maxiter": 20}
    single, double = (
        Falkon(precision=precision, **options).fit(X, y).decision_function(X_test)
        for precision in ("float32", "float64")
    )
    assert relative(single, double) < bound


@pytest.mark.parametrize("solver", ["cg", "gram"])
def test_a_lower_precision_around_it_changes_nothing(digits, solver):
    X, y, X_test, _ = digits
    model = Falkon(sigma=SIGMA, M=200, solver=solver, precision="float32")
    expected = model.fit(X, y).decision_function(X_test)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
            found = model.fit(torch.tensor(X, requires_grad=False), torch.tensor(y)).decision_function(X_test)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert relative(found, expected) < 1e-4


# The same result whatever the way.


@pytest.mark.parametrize("solver", ["cg", "gram"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_streamed_and_stored_and_any_block_size_are_equal(noisy, solver, precision):
    from lab.kernels.plan import Plan

    X, y, rows = noisy
    weights = np.linspace(0.5, 2, len(X))
    model = Falkon(sigma=3.0, penalty=1e-4, M=300, solver=solver, precision=precision, tolerance=1e-8)
    whole = model.fit(X, y, weights).predict(rows)
    system = model._system(X, y, weights)
    for block in (33, 77, 1000):
        for stored in (False, True) if solver == "cg" else (False,):
            system.plan = Plan(solver, stored, block, 0)
            system.__post_init__()
            solution = system.solve(1e-4, maxiter=20, tolerance=1e-8)
            model._adopt(system, solution)
            assert relative(model.predict(rows), whole) < (2e-3 if precision == "float32" else 1e-7)
            assert model.stored_ == stored


@pytest.mark.parametrize("solver", ["cg", "gram"])
def test_memmaps_tensors_and_arrays_are_equal(digits, solver, tmp_path):
    X, y, X_test, _ = digits
    model = Falkon(sigma=SIGMA, M=200, solver=solver)
    expected = model.fit(X, y).decision_function(X_test)
    X.tofile(tmp_path / "features")
    mapped = np.memmap(tmp_path / "features", dtype=X.dtype, mode="r", shape=X.shape)
    assert np.array_equal(model.fit(mapped, y).decision_function(X_test), expected)
    tensors = model.fit(torch.tensor(X), torch.tensor(y)).decision_function(torch.tensor(X_test))
    np.testing.assert_allclose(tensors.numpy(), expected, rtol=1e-6, atol=1e-9)
    assert torch.equal(model.predict(torch.tensor(X_test)), torch.tensor(model.predict(X_test)))


@pytest.mark.parametrize("solver", ["cg", "gram"])
def test_the_order_of_rows_and_of_centres_does_not_matter(noisy, solver):
    X, y, rows = noisy
    model = Falkon(sigma=3.0, penalty=1e-4, centres=X[:100], solver=solver, maxiter=100, tolerance=1e-10)
    expected = model.fit(X, y).predict(rows)
    order = np.random.default_rng(1).permutation(len(X))
    model.set_params(centres=X[:100][::-1].copy())
    assert relative(model.fit(X[order], y[order]).predict(rows), expected) < 1e-6


@pytest.mark.parametrize("solver", ["cg", "gram"])
def test_moving_all_features_or_targets_moves_nothing_else(noisy, solver):
    X, y, rows = noisy
    model = Falkon(sigma=3.0, penalty=1e-4, M=100, solver=solver, maxiter=100, tolerance=1e-10)
    expected = model.fit(X, y).predict(rows)
    assert relative(model.fit(X + 100, y).predict(rows + 100), expected) < 1e-6
    assert relative(model.fit(X, y + 50).predict(rows) - 50, expected) < 1e-6


@pytest.mark.parametrize("solver", ["cg", "gram"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_weight_is_a_number_of_repetitions(noisy, solver, precision):
    X, y, rows = noisy
    weights = np.random.default_rng(2).integers(0, 4, len(X))
    model = Falkon(sigma=3.0, penalty=1e-4, centres=X[:100], solver=solver, maxiter=100, tolerance=1e-8)
    model.set_params(precision=precision)
    weighted = model.fit(X, y, weights).predict(rows)
    repeated = model.fit(np.repeat(X, weights, 0), np.repeat(y, weights)).predict(rows)
    assert relative(weighted, repeated) < (2e-3 if precision == "float32" else 1e-6)
    expected = exact(X, y[:, None], X[:100], 1e-4, 3.0, rows, weights=weights)[:, 0]
    assert relative(weighted, expected) < (2e-3 if precision == "float32" else 1e-6)


def test_several_outputs_are_fitted_as_each_alone(noisy):
    X, y, rows = noisy
    both = np.c_[y, np.cos(X[:, 3])]
    model = Falkon(sigma=3.0, penalty=1e-4, M=100, solver="gram")
    together = model.fit(X, both).predict(rows)
    assert together.shape == (200, 2)
    for column in range(2):
        np.testing.assert_allclose(together[:, column], model.fit(X, both[:, column]).predict(rows), rtol=1e-9)


def test_duplicates_and_constant_columns_do_no_harm(digits):
    X, y, X_test, y_test = digits
    again = np.c_[np.tile(X, (3, 1)), np.ones(3 * len(X))]
    for solver in ("cg", "gram"):
        model = Falkon(sigma=SIGMA, M=len(X) + 100, solver=solver).fit(again, np.tile(y, 3))
        assert len(model.centres_) == len(X)
        assert model.score(np.c_[X_test, np.ones(len(X_test))], y_test) > 0.98
    same = Falkon(sigma=SIGMA, centres=np.repeat(X[:50], 3, 0), solver="cg").fit(X, y)
    assert same.score(X_test, y_test) > 0.8
    for solver in ("cg", "gram"):
        for precision in ("float32", "float64"):
            model = Falkon(solver=solver, precision=precision).fit(np.ones((20, 3)), np.arange(20) % 4 / 3)
            np.testing.assert_allclose(model.predict(np.ones((1, 3))), [0.5], atol=1e-5)
    twins = Falkon(solver="gram", precision="float32", centres=np.repeat(X[:20], 20, 0)).fit(X, y)
    assert twins.score(X_test, y_test) > 0.7


def test_two_classes_are_one_column_and_labels_may_be_words(digits):
    X, y, X_test, y_test = digits
    odd = np.where(y % 2, "odd", "even")
    model = Falkon(M=300, solver="gram").fit(X, odd)
    assert model.alpha_.shape == (300, 1)
    assert model.classes_.tolist() == ["even", "odd"]
    values = model.decision_function(X_test)
    assert ((values > 0) == (model.predict(X_test) == "odd")).all()
    assert model.score(X_test, np.where(y_test % 2, "odd", "even")) > 0.97
    assert model.predict(torch.tensor(X_test)).tolist() == model.predict(X_test).tolist()


def test_balanced_classes_are_weights_of_their_rows(digits):
    X, y, X_test, _ = digits
    few = np.flatnonzero((y != 3) | (np.arange(len(y)) % 10 == 0))
    X, y = X[few], y[few]
    model = Falkon(M=200, sigma=SIGMA, solver="gram", centres=X[:200])
    weights = len(y) / (10 * np.bincount(y)[y])
    weighted = model.fit(X, y, weights).decision_function(X_test)
    balanced = model.set_params(class_weight="balanced").fit(X, y).decision_function(X_test)
    named = model.set_params(class_weight=dict(enumerate(len(y) / (10 * np.bincount(y)))))
    np.testing.assert_allclose(balanced, weighted, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(named.fit(X, y).decision_function(X_test), weighted, rtol=1e-6, atol=1e-9)


def test_the_ledger_has_every_phase(digits):
    X, y, _, _ = digits
    for solver in ("cg", "gram"):
        seen = []
        model = Falkon(M=200, solver=solver).fit(X, y, progress=lambda *block: seen.append(block))  # noqa: B023
        assert set(model.ledger_) == {"centres", "kernel", "factor", "iterate"}
        assert all(seconds >= 0 for seconds in model.ledger_.values())
        assert seen[-1] == ("kernel", len(X), len(X))
    assert LARGE_PART < 200
