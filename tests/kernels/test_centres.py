"""Choosing centres."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lab.errors import KernelError
from lab.kernels.centres import CENTRES, choose_centres, distinct
from lab.kernels.functions import Kernel, kernel_matrix
from lab.kernels.rows import Rows

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 3))
LABELS = torch.tensor([0] * 300 + [1] * 90 + [2] * 10)
OPTIONS = {"labels": LABELS, "kernel": Kernel(), "sigma": torch.tensor([1.0], dtype=torch.float64), "penalty": 1e-4}


def choose(how, M=60, X=X, **options):
    return choose_centres(Rows(X), M, how, **{**OPTIONS, **options})


@pytest.mark.parametrize("how", CENTRES)
def test_centres_are_different_rows_and_a_seed_says_which(how):
    chosen = choose(how)
    assert chosen.rows.shape == (60, 3)
    assert {tuple(row) for row in chosen.rows.numpy()} <= {tuple(row) for row in X}
    assert len({tuple(row) for row in chosen.rows.numpy()}) == 60
    assert float(chosen.importance.sum()) == pytest.approx(1)
    assert bool((chosen.importance > 0).all())
    assert torch.equal(choose(how).rows, chosen.rows)
    assert not torch.equal(choose(how, seed=1).rows, chosen.rows)


@pytest.mark.parametrize("how", CENTRES)
def test_duplicated_rows_are_chosen_once(how):
    chosen = choose(how, X=np.repeat(X[:40], 10, 0))
    assert len(chosen.rows) <= 40
    assert len({tuple(row) for row in chosen.rows.numpy()}) == len(chosen.rows)


@pytest.mark.parametrize("how", CENTRES)
def test_rows_without_weight_are_never_chosen(how):
    weights = torch.ones(400)
    weights[::2] = 0
    chosen = choose(how, M=200, weights=weights)
    assert {tuple(row) for row in chosen.rows.numpy()} <= {tuple(row) for row in X[1::2]}


@pytest.mark.parametrize("how", ["uniform", "stratified", "kmeans++", "leverage"])
def test_importance_makes_the_centres_stand_for_all_rows(how):
    """sum_j importance_j k_j k_j' is near mean_i k_i k_i', the better the more centres."""
    probe = torch.tensor(X[:20])
    everything = kernel_matrix(Kernel(), torch.tensor(X), probe, 1.0)
    exact = everything.T @ everything / len(X)
    errors = []
    for M in (20, 200):
        chosen = choose(how, M=M)
        values = kernel_matrix(Kernel(), chosen.rows, probe, 1.0)
        errors.append(float((values.T @ (chosen.importance[:, None] * values) - exact).norm() / exact.norm()))
    assert errors[1] < 0.25
    assert errors[1] < errors[0]


def test_stratified_centres_follow_the_classes_and_forget_none():
    rows = {tuple(row): int(label) for row, label in zip(X, LABELS, strict=True)}
    counts = np.bincount([rows[tuple(row)] for row in choose("stratified", M=40).rows.numpy()], minlength=3)
    assert counts.sum() == 40
    assert abs(counts[0] - 30) <= 2
    assert counts[2] >= 1


def test_kmeans_centres_cover_better_than_uniform_ones():
    clusters = np.r_[RNG.normal(size=(980, 2)), RNG.normal(size=(20, 2)) + 100]
    spread = [choose(how, X=clusters, M=20, labels=None).rows for how in ("uniform", "kmeans++")]
    far = [torch.cdist(torch.tensor(clusters), rows).min(1).values.square().mean() for rows in spread]
    assert far[1] < far[0]


def test_leverage_prefers_rows_that_are_alone():
    crowd = np.r_[RNG.normal(size=(380, 3)) * 0.01, RNG.normal(size=(20, 3)) * 5]
    chosen = choose("leverage", X=crowd, M=100, labels=None).rows.numpy()
    assert (np.abs(chosen).max(1) > 0.5).sum() >= 15  # 5 by chance


def test_errors():
    with pytest.raises(KernelError, match="unknown centres 'unifrom'; did you mean 'uniform'"):
        choose("unifrom")
    with pytest.raises(KernelError, match="needs class labels"):
        choose("stratified", labels=None)
    with pytest.raises(KernelError, match="3 classes at least, but M=2"):
        choose("stratified", M=2)
    with pytest.raises(KernelError, match="sample weights are zero"):
        choose("uniform", weights=torch.zeros(400))


def test_distinct_keeps_the_first_of_equal_rows():
    rows = torch.tensor([[3.0], [1.0], [3.0], [2.0], [1.0]])
    assert distinct(rows, 5).tolist() == [0, 1, 3]
    assert distinct(rows, 2).tolist() == [0, 1]
