"""Losses against torch.distributions, and what pairs share."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from lab.networks.variational import (
    Posterior,
    active_units,
    averaged,
    divergence,
    kl,
    reconstruction,
    shared_by_divergence,
    shared_by_label,
    warmed_up,
)


def posteriors() -> tuple[Posterior, Posterior]:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(4, 6, 5, generator=generator)
    return Posterior(values[0], values[1]), Posterior(values[2], values[3])


def normal(posterior: Posterior) -> Normal:
    assert posterior.logvar is not None
    return Normal(posterior.mean, (0.5 * posterior.logvar).exp())


def test_kl_is_the_closed_form() -> None:
    first, _ = posteriors()
    assert torch.allclose(kl(first), kl_divergence(normal(first), Normal(0.0, 1.0)), atol=1e-6)
    assert (kl(Posterior(torch.zeros(2, 3), torch.zeros(2, 3))) == 0).all()
    assert (kl(Posterior(torch.ones(2, 3), None)) == 0).all()


def test_divergence_is_the_mean_of_both_directions() -> None:
    first, second = posteriors()
    p, q = normal(first), normal(second)
    expected = (kl_divergence(p, q) + kl_divergence(q, p)) / 2
    assert torch.allclose(divergence(first, second), expected, atol=1e-5)
    assert torch.allclose(divergence(second, first), expected, atol=1e-5)
    assert divergence(first, first).abs().max() < 1e-6
    with pytest.raises(ValueError, match="points have no divergence"):
        divergence(first, Posterior(second.mean, None))


def test_samples_have_the_mean_and_the_variance() -> None:
    posterior = Posterior(torch.full((20_000, 1), 2.0), torch.full((20_000, 1), 1.0))
    drawn = posterior.sample(torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0)))
    assert drawn.mean() == pytest.approx(2, abs=0.05)
    assert drawn.var() == pytest.approx(torch.e, rel=0.05)
    assert torch.equal(posterior.sample(None), posterior.mean)


def test_reconstruction_losses() -> None:
    output, target = torch.rand(2, 4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    cross = F.binary_cross_entropy(output, target, reduction="none").sum((1, 2, 3))
    assert torch.allclose(reconstruction(output, target, "bernoulli"), cross)
    squared = (output - target).square().sum((1, 2, 3))
    assert torch.allclose(reconstruction(output, target, "gaussian"), squared)
    assert torch.allclose(reconstruction(output, target, "mse_features"), 75 * squared)
    sure = reconstruction(torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]]), "bernoulli")
    assert sure.isfinite().all()
    assert sure.item() == pytest.approx(-2 * math.log(1e-6), rel=1e-2)


def pair() -> tuple[Posterior, Posterior]:
    """Five dimensions; the second differs a lot, the others hardly."""
    first = Posterior(torch.tensor([[0.0, -2.0, 1.0, 0.5, 0.0]]), torch.tensor([[0.0, -1.0, 0.0, 0.2, 0.0]]))
    second = Posterior(torch.tensor([[0.1, 2.0, 1.1, 0.5, -0.1]]), torch.tensor([[0.0, -1.0, 0.4, 0.0, 0.0]]))
    return first, second


def test_averaging_keeps_what_changed_and_averages_the_rest() -> None:
    first, second = pair()
    shared = shared_by_label(torch.tensor([[False, True, False]]), 5)
    assert shared.tolist() == [[True, False, True, True, True]]
    a, b = averaged(first, second, shared)
    assert first.logvar is not None and second.logvar is not None and a.logvar is not None and b.logvar is not None
    for new, old in ((a, first), (b, second)):
        assert new.mean[0, 1] == old.mean[0, 1]
        assert new.logvar is not None and old.logvar is not None and new.logvar[0, 1] == old.logvar[0, 1]
    keep = shared[0]
    assert torch.allclose(a.mean[0, keep], (first.mean + second.mean)[0, keep] / 2)
    variance = (first.logvar.exp() + second.logvar.exp())[0, keep] / 2
    assert torch.allclose(a.logvar[0, keep].exp(), variance)
    assert torch.equal(a.mean[0, keep], b.mean[0, keep]) and torch.equal(a.logvar[0, keep], b.logvar[0, keep])


def test_gradients_reach_both_of_a_pair() -> None:
    first, second = (Posterior(p.mean.clone().requires_grad_(), p.logvar) for p in pair())
    a, _ = averaged(first, second, shared_by_label(torch.tensor([[False, True]]), 5))
    a.mean.sum().backward()
    assert first.mean.grad is not None and first.mean.grad.tolist() == [[0.5, 1.0, 0.5, 0.5, 0.5]]
    assert second.mean.grad is not None and second.mean.grad.tolist() == [[0.5, 0.0, 0.5, 0.5, 0.5]]


def test_without_labels_the_same_is_found_for_each_pair() -> None:
    first, second = pair()
    assert shared_by_divergence(divergence(first, second)).tolist() == [[True, False, True, True, True]]


def test_the_range_is_that_of_the_pair_or_of_the_batch() -> None:
    """A pair that differs little: its own largest counts, unless the batch's range is asked for."""
    delta = torch.tensor([[0.0, 8.0, 1.0], [0.0, 0.1, 1.0], [0.3, 0.3, 0.3]])
    own = [[True, False, True], [True, True, False], [True, True, True]]
    assert shared_by_divergence(delta).tolist() == own
    whole = [[True, False, True], [True, True, True], [True, True, True]]
    assert shared_by_divergence(delta, whole_batch=True).tolist() == whole


def reference(delta: Tensor) -> list[list[bool]]:
    """Two bins of equal width with torch.histc's edges, row by row."""
    found = []
    for row in delta:
        edges = torch.linspace(float(row.min()), float(row.max()), 3)
        found.append([bool(torch.bucketize(value, edges[1:2]) == 0) for value in row])
    return found


def test_bins_equal_a_histogram() -> None:
    first, second = posteriors()
    delta = divergence(first, second)
    assert shared_by_divergence(delta).tolist() == reference(delta)


def test_points_are_averaged_too() -> None:
    first, second = (Posterior(p.mean, None) for p in pair())
    a, b = averaged(first, second, torch.ones(1, 5, dtype=torch.bool))
    assert torch.equal(a.mean, b.mean) and a.logvar is None


def test_warm_up_is_linear() -> None:
    assert [warmed_up(2.0, step, 4) for step in (0, 1, 4, 9)] == [0.0, 0.5, 2.0, 2.0]
    assert warmed_up(2.0, 0, 0) == 2.0


def test_active_units() -> None:
    means = torch.randn(500, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 0.05, 0.3, 0.0])
    assert active_units(means) == 2
