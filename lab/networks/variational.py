"""Losses of variational autoencoders, and weak supervision by pairs (Ada-GVAE, Locatello et al., ICML 2020)."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

Reconstruction = Literal["bernoulli", "gaussian", "mse_features"]
CLAMP = 1e-6


class Posterior(NamedTuple):
    """A Gaussian of independent dimensions for each row: mean and log variance (B, L); without the latter a point."""

    mean: Tensor
    logvar: Tensor | None

    def sample(self, noise: Tensor | None) -> Tensor:
        """mean + deviation * noise, (B, L); the mean without noise, or where the posterior is a point."""
        if noise is None or self.logvar is None:
            return self.mean
        return self.mean + noise * (0.5 * self.logvar).exp()


def reconstruction(output: Tensor, target: Tensor, kind: Reconstruction) -> Tensor:
    """Loss of each row (B,), summed over everything else.

    bernoulli: cross-entropy of values in [0, 1], the output kept 1e-6 away from 0 and 1. gaussian: squared error.
    mse_features: squared error times the number of features, as the microscopy paper's code has it.

    Never the mean over features: beside it the KL term is so large that the code collapses.
    """
    if kind == "bernoulli":
        each = F.binary_cross_entropy(output.clamp(CLAMP, 1 - CLAMP), target, reduction="none")
    else:
        each = (output - target).square()
    total = each.flatten(1).sum(1)
    return total * each[0].numel() if kind == "mse_features" else total


def kl(posterior: Posterior) -> Tensor:
    """KL(q || N(0, 1)) of each dimension of each row, (B, L) in nats; 0 where the posterior is a point."""
    mean, logvar = posterior
    if logvar is None:
        return torch.zeros_like(mean)
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar)


def divergence(first: Posterior, second: Posterior) -> Tensor:
    """Mean of the KL divergences in both directions, of each dimension, (B, L) in nats.

    Raises:
        ValueError: one of the posteriors is a point.
    """
    if first.logvar is None or second.logvar is None:
        raise ValueError("points have no divergence; the autoencoder has to be variational")
    distance = (first.mean - second.mean).square()
    # The logarithms cancel out in the sum of both directions.
    one = (first.logvar - second.logvar).exp() + distance * (-second.logvar).exp()
    other = (second.logvar - first.logvar).exp() + distance * (-first.logvar).exp()
    return (one + other - 2) / 4


def shared_by_label(changed: Tensor, latent: int) -> Tensor:
    """Dimensions whose posteriors a pair shares, bool (B, latent): all but dimension f for each changed factor f.

    So dimension f comes to stand for factor f; dimensions beyond the factors are always shared.

    changed: bool (B, F), F <= latent.
    """
    return ~F.pad(changed, (0, latent - changed.shape[1]))


def shared_by_divergence(delta: Tensor, *, whole_batch: bool = False) -> Tensor:
    """The same without labels, bool (B, L): dimensions in the lower half of the range of divergences.

    The range is that of the pair, from its least to its largest. A pair that differs in nothing shares everything.

    Args:
        delta: (B, L), from `divergence`.
        whole_batch: the range is that of the batch, as the released PyTorch ports have it.
    """
    low, high = (
        (delta.min(), delta.max()) if whole_batch else (delta.amin(1, keepdim=True), delta.amax(1, keepdim=True))
    )
    return delta <= (low + high) / 2


def averaged(first: Posterior, second: Posterior, shared: Tensor) -> tuple[Posterior, Posterior]:
    """Both posteriors, with mean and variance of the shared dimensions replaced by their averages (GVAE).

    shared: bool (B, L). Other dimensions keep their own.
    """
    mean = (first.mean + second.mean) / 2
    means = [torch.where(shared, mean, own.mean) for own in (first, second)]
    if first.logvar is None or second.logvar is None:
        return Posterior(means[0], None), Posterior(means[1], None)
    logvar = torch.logaddexp(first.logvar, second.logvar) - math.log(2)
    logvars = [torch.where(shared, logvar, own) for own in (first.logvar, second.logvar)]
    return Posterior(means[0], logvars[0]), Posterior(means[1], logvars[1])


def warmed_up(weight: float, step: int, steps: int) -> float:
    """A weight that rises linearly from 0 at step 0 to its full value at step `steps`, and then stays."""
    return weight * min(1.0, step / steps) if steps > 0 else weight


def active_units(means: Tensor, threshold: float = 0.01) -> int:
    """Dimensions whose posterior mean varies over rows (n, L) with a variance above the threshold; others collapsed."""
    return int((means.var(dim=0) > threshold).sum())
