"""Scaling, accuracies and temperature, against scikit-learn and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler, normalize

from lab.papers.top_tuning.scores import BLOCK, accuracies, sample, scaled, statistics, temperature


@pytest.fixture
def features() -> torch.Tensor:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(BLOCK + 100, 4)) * [1, 5, 0.1, 0] + [100, -3, 0, 2]
    return torch.from_numpy(rows).float()


def test_z_scores_are_those_of_scikit_learn(features) -> None:
    found = scaled(features, *statistics(features, "zscore"), "zscore")
    expected = StandardScaler().fit_transform(features.double().numpy())
    assert np.allclose(found, expected, atol=1e-4)
    assert (found[:, 3] == 0).all()  # constant: centred, not divided by 0


def test_global_scaling_keeps_the_shape_of_the_cloud(features) -> None:
    centre, scale = statistics(features, "global")
    found = scaled(features, centre, scale, "global")
    assert found.mean(0).abs().max() < 1e-4
    assert float(found.double().square().mean()) == pytest.approx(1, rel=1e-4)
    assert torch.allclose(torch.pdist(found[:50]) * scale[0], torch.pdist(features[:50]), rtol=1e-4)


def test_half_precision_features_have_the_same_statistics(features) -> None:
    for one, other in zip(
        statistics(features.half(), "zscore"), statistics(features.half().float(), "zscore"), strict=True
    ):
        assert torch.equal(one, other)


def test_rows_of_length_one(features) -> None:
    centre, scale = statistics(features, "l2")
    assert (centre == 0).all() and (scale == 1).all()
    assert np.allclose(scaled(features, centre, scale, "l2"), normalize(features.numpy()), atol=1e-6)


def test_equal_rows_are_not_divided_by_zero() -> None:
    rows = torch.full((10, 3), 2.5)
    assert (scaled(rows, *statistics(rows, "global"), "global") == 0).all()


def test_a_sample_is_drawn_by_the_seed(features) -> None:
    assert torch.equal(sample(features, 1, 10), sample(features, 1, 10))
    assert not torch.equal(sample(features, 1, 10), sample(features, 2, 10))
    assert torch.equal(sample(features, 1, 10**6), features)


def test_accuracies() -> None:
    label, said = torch.tensor([0, 0, 0, 0, 1, 1]), torch.tensor([0, 0, 0, 1, 1, 0])
    found = accuracies(said, label)
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(label, said))


@pytest.mark.parametrize("true", [0.05, 1.0, 30.0])
def test_the_temperature_of_drawn_labels_is_found(true) -> None:
    draw = torch.Generator().manual_seed(0)
    scores = torch.randn(20000, 4, generator=draw) * true
    label = torch.multinomial((scores / true).softmax(1), 1, generator=draw).flatten()
    found = temperature(scores, label)
    assert found == pytest.approx(true, rel=0.05)
    rows = np.arange(len(label))

    def loss(t: float) -> float:
        return -float(log_softmax(scores.double().numpy() / t, axis=1)[rows, label.numpy()].mean())

    assert loss(found) <= min(loss(found * 1.01), loss(found / 1.01)) + 1e-9


def test_scores_that_are_always_right_get_a_finite_temperature() -> None:
    found = temperature(torch.eye(3), torch.arange(3))
    assert 0 < found < math.inf
