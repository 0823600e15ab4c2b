"""scikit-learn's protocol, and what a user may get wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from lab.errors import KernelError, UserError
from lab.kernels import Falkon, Kernel

X = np.random.default_rng(0).normal(size=(60, 4))
Y = (X[:, 0] > 0).astype(int)


@parametrize_with_checks([Falkon(task="classification"), Falkon(task="regression")])
def test_scikit_learn_protocol(estimator, check):
    """All of its checks; none is expected to fail."""
    check(estimator)


def test_it_works_in_pipelines_and_cross_validation():
    features, labels = load_digits(return_X_y=True)
    model = make_pipeline(StandardScaler(), Falkon(task="classification", M=200))
    assert cross_val_score(model, features, labels, cv=3).mean() > 0.93
    assert is_classifier(Falkon(task="classification"))
    assert is_regressor(Falkon(task="regression"))


def test_the_task_follows_the_targets():
    assert Falkon().fit(X, Y).classes_.tolist() == [0, 1]
    assert Falkon().fit(X, Y.astype(bool)).classes_.tolist() == [False, True]
    assert not hasattr(Falkon().fit(X, X[:, 0]), "classes_")
    assert Falkon().fit(X, X[:, :2]).predict(X).shape == (60, 2)
    assert Falkon(task="regression").fit(X, Y).predict(X).dtype == np.float64
    assert Falkon().fit(torch.tensor(X), torch.tensor(Y)).classes_.tolist() == [0, 1]


def test_defaults():
    model = Falkon().fit(X, Y)
    assert len(model.centres_) == 60
    assert model.sigma_.shape == (1,)
    assert model.sigma_[0] == pytest.approx(np.median(torch.pdist(torch.tensor(X))), rel=0.01)
    # 2,000 rows: at least 1,000 centres
    rows = np.random.default_rng(0).normal(size=(2000, 2))
    assert len(Falkon().fit(rows, rows[:, 0]).centres_) == 1000


def test_a_seed_says_what_comes_out():
    options = {"M": 20, "precision": "float32"}
    once, again, other = (Falkon(**options, seed=seed).fit(X, Y).decision_function(X) for seed in (0, 0, 1))
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)


def test_a_clone_is_not_fitted_and_has_the_same_options():
    model = Falkon(kernel=Kernel("polynomial", degree=2), sigma=2.0, M=30).fit(X, Y)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "alpha_")


BAD_OPTIONS = [
    ({"kernel": "gausian"}, "unknown kernel 'gausian'; did you mean 'gaussian'"),
    ({"sigma": 0.0}, "sigma must be positive, not 0.0"),
    ({"sigma": -1}, "sigma must be positive"),
    ({"sigma": "wide"}, "sigma must be a positive number"),
    ({"sigma": [1.0, 2.0]}, "one number or one for each of the 4 features, not 2"),
    ({"penalty": 0}, "penalty must be a positive number, not 0"),
    ({"penalty": float("nan")}, "penalty must be a positive number"),
    ({"M": 61}, "M=61 centres can't be drawn from 60 rows"),
    ({"M": 0}, "M must be a whole number of at least 1"),
    ({"M": 2.5}, "M must be a whole number"),
    ({"centres": "random"}, "unknown centres 'random'"),
    ({"centres": np.ones((5, 3))}, r"centres must be finite and of shape \(M, 4\), not \(5, 3\)"),
    ({"centres": np.full((5, 4), np.nan)}, "centres must be finite"),
    ({"solver": "qr"}, "solver must be"),
    ({"maxiter": 0}, "maxiter must be a whole number"),
    ({"tolerance": -1}, "tolerance must not be negative"),
    ({"task": "ranking"}, "task must be"),
    ({"precision": "half"}, "precision must be"),
    ({"class_weight": "equal"}, "class_weight must be"),
    ({"class_weight": {7: 2.0}}, "class_weight has no use for 7"),
    ({"memory": "much"}, "memory must be a size"),
]


@pytest.mark.parametrize("options, message", BAD_OPTIONS)
def test_bad_options_are_one_clear_error(options, message):
    with pytest.raises(KernelError, match=message) as caught:
        Falkon(**options).fit(X, Y)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, UserError) and isinstance(caught.value, ValueError)


def nan_in_row_7():
    rows = X.copy()
    rows[7, 2] = np.nan
    return rows


BAD_DATA = [
    (nan_in_row_7(), Y, None, "features contain NaN or infinity, first in row 7"),
    (torch.tensor(nan_in_row_7()), Y, None, "features contain NaN or infinity, first in row 7"),
    (X, np.zeros(60), None, None),
    (X, np.zeros(60, int), None, "there is one class only, 0"),
    (X, Y[:50], None, "targets are of inconsistent numbers: 50 for 60 rows"),
    (X, X[:50, 0], None, "targets are of inconsistent numbers"),
    (X, np.r_[X[:59, 0], np.nan], None, "NaN"),
    (X[:0], Y[:0], None, "0 sample"),
    (torch.tensor(X[:0]), Y[:0], None, "with something in it"),
    (X[:, 0], Y, None, "2D array"),
    (X, Y, np.ones(50), "sample weights are of inconsistent numbers"),
    (X, Y, -np.ones(60), "sample weights must be finite and not negative"),
    (X, Y, np.zeros(60), "all sample weights are zero"),
    (X, None, None, "requires y"),
]


@pytest.mark.parametrize("rows, targets, weights, message", BAD_DATA)
def test_bad_data_is_one_clear_error(rows, targets, weights, message):
    if message is None:  # constant real targets are a constant function
        np.testing.assert_allclose(Falkon().fit(rows, targets).predict(rows), targets, atol=1e-9)
        return
    with pytest.raises(KernelError, match=message):
        Falkon().fit(rows, targets, weights)


def test_rows_to_predict_are_checked_too():
    model = Falkon().fit(X, Y)
    with pytest.raises(KernelError, match="NaN or infinity, first in row 7"):
        model.predict(nan_in_row_7())
    for wrong in (X[:, :3], torch.tensor(X[:, :3])):
        with pytest.raises(ValueError, match="3 features"):
            model.predict(wrong)
    with pytest.raises(KernelError, match="for classification"):
        Falkon(class_weight="balanced").fit(X, X[:, 0])
    with pytest.raises(KernelError, match="stratified' needs class labels"):
        Falkon(centres="stratified").fit(X, X[:, 0])
