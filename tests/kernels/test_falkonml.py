"""FalkonML as a second engine: the same predictions as our own where the package is installed, one line where not."""

from __future__ import annotations

import numpy as np
import pytest

from lab.errors import KernelError
from lab.kernels import Falkon, Kernel, Ranks, solve_path
from lab.kernels.falkonml import available

with_package = pytest.mark.skipif(not available(), reason="the package falkon isn't installed")


@pytest.fixture(scope="module")
def problem():
    random = np.random.default_rng(0)
    features = random.normal(size=(600, 5)) + 3
    values = np.stack([np.sin(features[:, 0]) + features[:, 1] ** 2, np.cos(features).sum(1)], 1)
    return features, values


@with_package
@pytest.mark.parametrize(
    "kernel", ["gaussian", "laplacian", "matern32", "matern52", "linear", Kernel("polynomial", degree=2)], ids=str
)
@pytest.mark.parametrize("sigma", [2.0, np.array([1.5, 2.0, 2.5, 3.0, 2.0])], ids=["scalar", "vector"])
def test_both_engines_predict_the_same(problem, kernel, sigma):
    features, values = problem
    options = dict(kernel=kernel, sigma=sigma, penalty=1e-4, M=100, intercept=False, maxiter=60, precision="float64")
    ours = Falkon(**options, tolerance=1e-10).fit(features, values)
    theirs = Falkon(**options, tolerance=1e-12, solver="falkon").fit(features, values)
    np.testing.assert_array_equal(ours.centres_, theirs.centres_)
    assert theirs.route_ == "falkon"
    difference = np.abs(ours.predict(features) - theirs.predict(features)).max()
    assert difference < 1e-4 * values.std()


@with_package
def test_both_engines_decide_the_same_classes(problem):
    features, values = problem
    labels = np.digitize(values[:, 0], np.quantile(values[:, 0], [0.3, 0.6]))
    ours = Falkon(M=200, penalty=1e-5).fit(features[:400], labels[:400])
    theirs = Falkon(M=200, penalty=1e-5, solver="falkon").fit(features[:400], labels[:400])
    assert abs(ours.score(features[400:], labels[400:]) - theirs.score(features[400:], labels[400:])) < 0.03


@with_package
def test_a_path_of_penalties(problem):
    features, values = problem
    one, two = solve_path(Falkon(M=50, solver="falkon", sigma=2.0), features, values, [1e-3, 1e-5])
    assert one.score(features, values) < two.score(features, values)


@with_package
def test_it_takes_no_weights(problem):
    features, values = problem
    with pytest.raises(KernelError, match="takes no weights"):
        Falkon(M=50, solver="falkon").fit(features, values, np.ones(len(features)))


@with_package
def test_it_works_in_one_process(problem):
    features, values = problem
    with pytest.raises(KernelError, match="in one process"):
        Falkon(M=50, sigma=2.0, solver="falkon").fit(features, values, ranks=Ranks(0, 2))


@pytest.mark.skipif(available(), reason="the package falkon is installed")
def test_without_the_package_one_line_says_so(problem):
    features, values = problem
    with pytest.raises(KernelError, match="needs the package falkon"):
        Falkon(M=50, solver="falkon").fit(features, values)
