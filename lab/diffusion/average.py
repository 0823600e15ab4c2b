"""Exponential moving average of a network's weights."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Weights = list[Tensor] | tuple[Tensor, ...]


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of `model`, without gradients, that `update_parameters(model)` moves: ema <- d ema + (1 - d) weights.

    The first update copies; update n + 1 uses d = min(decay, (1 + n) / (10 + n)), so that a short run is not left with
    the random weights that it started from.
    """
    return AveragedModel(model, multi_avg_fn=partial(_update, decay)).requires_grad_(False)


def _update(decay: float, average: Weights, weights: Weights, seen: Tensor | int) -> None:
    n = int(seen)
    get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))(average, weights, n)  # type: ignore[no-untyped-call]
