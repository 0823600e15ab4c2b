"""What heads share that is no stage: feature scaling, accuracies, and probabilities from scores. SciPy and torch."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 8192
"""Rows of a feature file that are read at once."""
COLDEST, HOTTEST = math.log(1e-3), math.log(1e3)


def statistics(features: Tensor, scaling: str) -> tuple[Tensor, Tensor]:
    """Centre (d,) and scale (d,) in float32 that bring rows (n, d) to scale: (x - centre) / scale. Read in blocks.

    `global`: the mean, and one standard deviation of all numbers around it; `zscore`: that of each dimension, 1 where a
    dimension is constant; else zeros and ones.
    """
    d = features.shape[1]
    if scaling not in ("global", "zscore"):
        return torch.zeros(d), torch.ones(d)
    n, total, square = len(features), torch.zeros(d, dtype=torch.float64), torch.zeros(d, dtype=torch.float64)
    for block in torch.split(features, BLOCK):
        total += block.double().sum(0)
        square += block.double().square().sum(0)
    mean = total / n
    variance = (square / n - mean.square()).clamp(min=0)
    constant = variance <= 1e-10 * square / n  # below what the difference above is exact to
    variance = torch.where(constant, 0.0, variance)
    if scaling == "global":
        spread = variance.mean().sqrt()
        scale = torch.full_like(mean, float(spread) if spread > 0 else 1.0)
    else:
        scale = torch.where(constant, 1.0, variance.sqrt())
    return mean.float(), scale.float()


def scaled(features: Tensor, centre: Tensor, scale: Tensor, scaling: str) -> Tensor:
    """float32 (n, d): rows of length 1 with `l2`, else (x - centre) / scale."""
    if scaling == "l2":
        return F.normalize(features.float(), dim=1)
    return (features.float() - centre) / scale


def sample(features: Tensor, seed: int, most: int = 2000) -> Tensor:
    """At most `most` rows (m, d), drawn by the seed without replacement, in their order."""
    generator = torch.Generator().manual_seed(seed)
    return features[torch.randperm(len(features), generator=generator)[:most].sort().values]


def accuracies(prediction: Tensor, label: Tensor) -> dict[str, float]:
    """`accuracy`, and `balanced_accuracy`: the mean over the classes that have rows. int64 (n,) each."""
    right = (prediction == label).double()
    classes = [right[label == k].mean() for k in torch.unique(label)]
    return {"accuracy": float(right.mean()), "balanced_accuracy": float(torch.stack(classes).mean())}


def temperature(scores: Tensor, label: Tensor) -> float:
    """T for which softmax(scores / T) gives the labels the highest likelihood (Guo et al., ICML 2017).

    scores: (n, C); label: int64 (n,). The likelihood has one maximum in 1 / T.
    """
    from scipy.optimize import minimize_scalar

    scores = scores.double()
    found = minimize_scalar(
        lambda t: float(F.cross_entropy(scores * math.exp(-t), label)), bounds=(COLDEST, HOTTEST), method="bounded"
    )
    return math.exp(float(found.x))
