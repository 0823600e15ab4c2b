"""Learning rate schedules in closed form, and each optimiser."""

from __future__ import annotations

import pytest
import torch

from lab.networks.config import OptimizerConfig
from lab.networks.optimizers import build_optimizer, lr_factor


def test_warm_up_and_cosine_in_closed_form() -> None:
    factors = [lr_factor(step, 10, "cosine", 0.2) for step in range(11)]
    assert factors[:3] == [0.5, 1.0, 1.0]
    assert factors[6] == pytest.approx(0.5)
    assert factors[10] == pytest.approx(0.0)
    assert factors[2:] == sorted(factors[2:], reverse=True)
    assert [lr_factor(step, 10, "constant", 0.2) for step in (0, 5, 9)] == [0.5, 1.0, 1.0]


def test_few_steps_have_no_warm_up_and_divide_by_nothing() -> None:
    assert lr_factor(0, 1, "cosine", 0.1) == 1.0
    assert lr_factor(5, 0, "cosine", 0.0) <= 1.0


def test_the_scheduler_steps_the_learning_rate() -> None:
    parameter = torch.nn.Parameter(torch.ones(1))
    built = build_optimizer([parameter], OptimizerConfig(lr=0.1, schedule="cosine", warmup=0.5), 4)
    rates = []
    for _ in range(4):
        rates.append(built["optimizer"].param_groups[0]["lr"])
        built["optimizer"].step()
        built["lr_scheduler"]["scheduler"].step()
    assert rates == pytest.approx([0.05, 0.1, 0.1, 0.05])
    assert built["lr_scheduler"]["interval"] == "step"


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_options_arrive(name: str) -> None:
    frozen = torch.nn.Parameter(torch.ones(1), requires_grad=False)
    config = OptimizerConfig(optimizer=name, lr=0.5, weight_decay=0.25, momentum=0.75)  # type: ignore[arg-type]
    built = build_optimizer([torch.nn.Parameter(torch.ones(1)), frozen], config, 4)
    (group,) = built["optimizer"].param_groups
    assert set(built) == {"optimizer"}
    assert type(built["optimizer"]).__name__.lower() == name
    assert (group["lr"], group["weight_decay"], len(group["params"])) == (0.5, 0.25, 1)
    assert group.get("momentum", 0.75) == 0.75


def test_rules_between_options() -> None:
    broken = OptimizerConfig(lr=0, weight_decay=-1, momentum=1, warmup=2)
    assert [name for name, _ in broken.check()] == ["lr", "weight_decay", "momentum", "warmup"]
    assert not list(OptimizerConfig().check())
