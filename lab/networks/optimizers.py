"""Optimisers and learning rate schedules from their options."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lab.networks.config import OptimizerConfig


def lr_factor(step: int, total: int, schedule: str = "constant", warmup: float = 0.0) -> float:
    """What the learning rate is multiplied with at `step` of `total` (0-based).

    Rises linearly to 1 over the first `warmup * total` steps, then stays, or falls along half a cosine to 0 at `total`.
    """
    rise = round(warmup * total)
    if step < rise:
        return (step + 1) / rise
    if schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def build_optimizer(parameters: Iterable[nn.Parameter], config: OptimizerConfig, total_steps: int) -> dict[str, Any]:
    """Optimiser and, where the learning rate moves, its per-step scheduler.

    Returns what Lightning's `configure_optimizers` returns: `{"optimizer": …, "lr_scheduler": {…}}`.
    """
    parameters = [p for p in parameters if p.requires_grad]
    optimizer: Optimizer
    if config.optimizer == "sgd":
        optimizer = SGD(parameters, config.lr, momentum=config.momentum, weight_decay=config.weight_decay)
    else:
        rule = AdamW if config.optimizer == "adamw" else Adam
        optimizer = rule(parameters, config.lr, weight_decay=config.weight_decay)
    if config.schedule == "constant" and config.warmup == 0:
        return {"optimizer": optimizer}
    scheduler = LambdaLR(optimizer, lambda step: lr_factor(step, total_steps, config.schedule, config.warmup))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
