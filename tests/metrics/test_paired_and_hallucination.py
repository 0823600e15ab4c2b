"""Paired differences over subjects, and what a corrector invents or hides."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lab.metrics.hallucination import false_lesions, rank_correlation, retained_contrast
from lab.metrics.paired import paired_gain, subject_means


def test_a_paired_gain_is_scipys():
    rng = np.random.default_rng(0)
    theirs = rng.normal(25, 3, 40)
    ours = theirs + rng.normal(0.5, 1, 40)
    gain = paired_gain(ours, theirs)
    assert gain.mean == pytest.approx((ours - theirs).mean())
    assert gain.p == pytest.approx(stats.wilcoxon(ours, theirs).pvalue)
    options = {"n_resamples": 2000, "method": "percentile", "rng": np.random.default_rng(1)}
    other = stats.bootstrap((ours - theirs,), np.mean, **options).confidence_interval
    assert (gain.low, gain.high) == pytest.approx((other.low, other.high), abs=0.05)


def test_pairs_without_a_number_or_a_difference():
    gain = paired_gain(np.array([1.0, np.nan, 2.0]), np.array([0.0, 1.0, 1.0]))
    assert gain[:3] == (1.0, 1.0, 1.0)
    same = paired_gain(np.ones(3), np.ones(3))
    assert same[:3] == (0, 0, 0)
    assert np.isnan(same.p)
    assert np.isnan(paired_gain(np.array([1.0]), np.array([0.0])).low)


def test_subjects_count_alike():
    subject, means = subject_means(np.array([[1.0], [3.0], [np.nan], [10.0], [np.nan]]), np.array([4, 4, 4, 2, 7]))
    assert subject.tolist() == [2, 4, 7]
    assert means[:2, 0].tolist() == [10.0, 2.0]
    assert np.isnan(means[2, 0])


def test_contrast_that_is_left_of_a_lesion():
    rng = np.random.default_rng(0)
    without, lesion = rng.random((4, 16, 16)), np.zeros((4, 16, 16))
    lesion[:3, 4:8, 5:9] = -0.2
    shares = np.array([1.0, 0.4, -1.0, 1.0]).reshape(-1, 1, 1)
    found = retained_contrast(without + shares * lesion, without, lesion)
    assert found[:3] == pytest.approx([1.0, 0.4, -1.0])
    assert np.isnan(found[3])


def test_false_lesions_are_pieces_that_are_strong_large_and_inside():
    reference, mask = np.full((1, 40, 40), 0.5), np.ones((1, 40, 40), dtype=bool)
    mask[:, :, 30:] = False
    image = reference.copy()
    image[0, 2:6, 2:6] += 0.2  # 16 mm^2
    image[0, 20:24, 20:24] -= 0.2
    image[0, 10:13, 10:13] += 0.3  # 9 mm^2: no more than that
    image[0, 30:36, 2:8] += 0.1  # weak
    image[0, 2:8, 32:38] += 0.3  # outside
    assert false_lesions(image, reference, mask).tolist() == [2]
    assert false_lesions(image, reference, mask, (2.0, 1.0)).tolist() == [3]


def test_rank_correlation_is_scipys():
    rng = np.random.default_rng(0)
    spread, mask = np.round(rng.random((2, 12, 12)), 1), rng.random((2, 12, 12)) > 0.3
    error = spread + rng.random((2, 12, 12))
    expected = [stats.spearmanr(s[m], e[m]).statistic for s, e, m in zip(spread, error, mask, strict=True)]
    assert rank_correlation(spread, error, mask) == pytest.approx(expected)
    assert np.isnan(rank_correlation(np.zeros((1, 4, 4)), np.ones((1, 4, 4)), np.ones((1, 4, 4), dtype=bool))[0])
