"""Seeded draws: shares, whole groups, nested subsets."""

from __future__ import annotations

import numpy as np
import pytest

from lab.data.draws import held_out, held_out_groups, some_of_each

LABELS = np.repeat([0, 1, 2, 3], [50, 20, 2, 1])


@pytest.mark.parametrize("seed", range(5))
def test_each_class_gives_its_share_and_keeps_some(seed):
    held = held_out(LABELS, 0.2, seed)
    assert np.bincount(LABELS[held], minlength=4).tolist() == [10, 4, 1, 0]
    assert (held == held_out(LABELS, 0.2, seed)).all() and (held != held_out(LABELS, 0.2, seed + 1)).any()


@pytest.mark.parametrize("seed", range(20))
def test_groups_stay_whole_and_classes_near_their_share(seed):
    """As in smears of blood: many cells a picture, one kind in nearly all of them, another in few."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 60, 900)
    rare = rng.permutation(60)[:8]
    labels = np.where(np.isin(groups, rare) & (rng.random(900) < 0.3), 2, rng.integers(0, 2, 900))
    held = held_out_groups(labels, groups.tolist(), 0.2, seed)
    assert not set(groups[held].tolist()) & set(groups[~held].tolist())
    share = np.bincount(labels[held], minlength=3) / np.bincount(labels)
    assert (abs(share[:2] - 0.2) < 0.06).all() and 0.05 < share[2] < 0.45
    assert (held == held_out_groups(labels, groups.tolist(), 0.2, seed)).all()


def test_a_class_in_two_groups_is_on_both_sides():
    labels = np.array([0] * 40 + [1] * 3)
    groups = [f"a{row}" for row in range(40)] + ["b", "b", "c"]
    for seed in range(10):
        held = held_out_groups(labels, groups, 0.1, seed)
        assert set(labels[held].tolist()) == set(labels[~held].tolist()) == {0, 1}


def test_groups_of_one_are_as_good_as_none():
    labels = np.repeat(np.arange(5), 20)
    held = held_out_groups(labels, list(range(100)), 0.25, 0)
    assert np.bincount(labels[held]).tolist() == [5] * 5


def test_more_of_each_class_contains_less():
    few, more = (some_of_each(LABELS, count, 3) for count in (2, 10))
    assert np.bincount(LABELS[few]).tolist() == [2, 2, 2, 1] and np.bincount(LABELS[more]).tolist() == [10, 10, 2, 1]
    assert (more | ~few).all()
