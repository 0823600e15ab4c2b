"""Intervals and paired differences against scipy's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lab.reports.statistics import Estimate, estimate, paired


@pytest.mark.parametrize("n", [2, 3, 5, 30])
def test_mean_spread_and_interval_are_those_of_scipy(n):
    values = np.random.default_rng(n).normal(0.7, 0.1, n)
    found = Estimate(tuple(values))
    low, high = stats.t.interval(0.95, n - 1, loc=values.mean(), scale=stats.sem(values))
    assert (found.n, found.mean, found.std) == (n, pytest.approx(values.mean()), pytest.approx(values.std(ddof=1)))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.half == pytest.approx((high - low) / 2)


def test_one_value_has_no_spread_and_no_interval():
    found = Estimate((0.25,))
    assert (found.n, found.mean) == (1, 0.25)
    assert found.std is found.half is found.low is found.high is None


def test_equal_values_have_an_interval_of_no_width():
    found = Estimate((0.1,) * 3)
    assert (found.std, found.low, found.high) == (0.0, 0.1, 0.1)


@pytest.mark.parametrize("values", [(), (1.0, math.nan), (math.inf,)])
def test_what_is_no_number_is_refused(values):
    with pytest.raises(ValueError, match="finite"):
        Estimate(values)


def test_nothing_estimates_nothing():
    assert estimate([]) is None


def test_pairs_are_those_of_the_paired_t_test():
    draw = np.random.default_rng(1)
    left = dict(enumerate(draw.normal(0.8, 0.1, 6)))
    right = {seed: value - draw.normal(0.1, 0.01) for seed, value in left.items()}
    found = paired({**left, 7: 100.0}, {8: -100.0, **dict(reversed(right.items()))})
    interval = stats.ttest_rel(list(left.values()), list(right.values())).confidence_interval(0.95)
    assert found is not None and found.n == 6
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))


def test_without_a_shared_seed_there_is_no_difference():
    assert paired({0: 1.0}, {1: 1.0}) is None
