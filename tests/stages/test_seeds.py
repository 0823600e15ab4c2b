from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lab.config import resolve
from lab.stages.seeds import derive
from tests.stages.toy import fit

ONE = """
name: one
data: {name: toy/plane, rows: 16}
trainer: {max_epochs: 2, batch_size: 4}
loggers: []
stages:
  first: {verb: fit, module: {name: toy/linear, noise: 1}}
"""
AXES = ("data", "initialisation", "sampling")


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What a run with these overrides draws: order of rows, first weights, noise of each step."""
    from toy_plugin.module import Linear

    config = tmp_path / "one.yaml"
    config.write_text(ONE)
    draw, step = Linear.draw, Linear.training_step
    found: dict[str, list[torch.Tensor]] = {}

    def drawing(self, purpose, function):
        found["sampling"].append(draw(self, purpose, function))
        return found["sampling"][-1]

    def stepping(self, batch, batch_idx):
        if not found["data"]:
            found["initialisation"].append(self.network[1].weight.detach().clone())
        found["data"].append(batch.index)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Linear, "draw", drawing)
    monkeypatch.setattr(Linear, "training_step", stepping)

    def run(*overrides: str) -> dict[str, list[float]]:
        found.update({axis: [] for axis in AXES})
        assert fit(tmp_path / "-".join(overrides), *overrides, config=config) == 0
        return {axis: torch.cat([value.flatten() for value in values]).tolist() for axis, values in found.items()}

    return run


@pytest.mark.parametrize("pinned", [("data",), ("initialisation",), ("sampling",), ("initialisation", "sampling"), ()])
def test_pinned_axes_are_equal_in_two_repetitions_and_no_other(drawn, pinned) -> None:
    pins = [f"seeds.{axis}=5" for axis in pinned]
    one, two = drawn("seed=0", *pins), drawn("seed=1", *pins)
    assert len(one["data"]) == len(one["sampling"]) == 32
    assert [axis for axis in AXES if one[axis] == two[axis]] == list(pinned)


def test_a_pinned_axis_is_that_of_the_repetition_with_its_seed(drawn) -> None:
    assert drawn("seed=0", "seeds.data=7")["data"] == drawn("seed=7")["data"]


def test_splits_follow_the_data_axis() -> None:
    """Those that a data set draws itself: background colours, subset and validation split of biased MNIST."""

    def bias_seed(*overrides: str) -> int:
        return resolve("ddb_biased_mnist", overrides=overrides).experiment.data.options.bias_seed

    assert [bias_seed(), bias_seed("seed=3"), bias_seed("seed=3", "seeds.data=1")] == [0, 3, 1]


def test_golden() -> None:
    """Written in every artefact's results: must never change."""
    assert derive(0) == 4761921975702974394
    assert derive(0, "noise", 3) == 6595435292110185176


def test_every_axis_counts() -> None:
    seeds = [derive(0), derive(1), derive(0, "a"), derive(0, "b"), derive(0, "a", 1), derive(0, "a", "1"), derive(0, 1)]
    seeds += [derive(0, "a", 1, 2), derive(0, "a", 12), derive(0, "a", 2, 1), derive(-1, "a")]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
