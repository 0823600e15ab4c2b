"""A member of a family is what resolving it alone gives."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from lab.config import resolve
from lab.config.resolve import experiments
from lab.errors import ConfigError
from lab.sweeps.axes import parse, product
from lab.sweeps.family import Family

CASES = {
    "a root key that stages inherit": ("ddb_shapes", ["trainer.batch_size=32,64", "seed=0,1,2"]),
    "what other stages take from one": (
        "ddb_biased_mnist",
        ["stages.erm.module.lr=1e-3,2e-3,1", "data.bias_seed=0,1", "seed=3,4"],
    ),
    "stages that are like another": (
        "ddb_biased_mnist",
        ["stages.erm.module.lr=1e-3,2e-3", "stages.lff.module.lr=1e-4,2e-4", "stages.lff.like=erm,amplifier"],
    ),
    "words": ("ddb_shapes", ["stages.erm.module.optimizer=sgd,adamw", "trainer.precision=32,bf16-mixed"]),
    "integers where floats are meant": ("ddb_shapes", ["stages.erm.module.lr=1,2,3", "seed=0,1"]),
    "another component": ("toy_line", ["data.name=toy/plane,biased_mnist"]),
    "profiles": ("ddb_shapes", ["profile=none,smoke", "seed=0,1"]),
    "stages off and on": ("ddb_biased_mnist", ["stages.lff.enabled=true,false", "seed=0,1"]),
    "max_steps that replaces max_epochs": (
        "toy_line",
        ["stages.first.trainer.max_steps=null,3", "trainer.max_epochs=2,3"],
    ),
    "keys that end in the same leaf": ("toy_line", ["trainer.batch_size=4,8", "stages.first.trainer.batch_size=16,32"]),
    "lists": ("ddb_shapes", ["report.headline=[accuracy],[loss, accuracy]", "seed=0,1"]),
}


@pytest.mark.parametrize("config, grid", CASES.values(), ids=CASES)
def test_members_are_what_resolving_gives(config, grid):
    settings = product(parse(grid))
    family = Family(config, (), (), settings[0])
    for setting, member in zip(settings, family.members(settings), strict=True):
        alone = family.resolve(setting).experiment
        assert member == alone
        assert repr(member) == repr(alone), "equal but of other types"


def test_a_path_inside_a_path_is_seen(tmp_path):
    """`${a.${b}}` ties keys together in a way that no single change shows."""
    path = tmp_path / "tied.yaml"
    path.write_text(
        "name: tied\ndata: {name: toy/plane, rows: '${stages.${paper}.module.lr}'}\npaper: one\n"
        "trainer: {max_steps: 1}\nstages:\n"
        "  one: {verb: fit, module: {name: toy/linear, lr: 10}}\n"
        "  two: {verb: fit, module: {name: toy/linear, lr: 20}}\n"
    )
    settings = product(parse(["paper=one,two", "stages.two.module.lr=20,30,40"]))
    members = list(Family(path, (), (), settings[0]).members(settings))
    assert [member.data.options.rows for member in members] == [10, 10, 10, 20, 30, 40]


def test_rules_between_keys_hold_for_combinations():
    """32 over 3 parts can't be divided; neither value is wrong alone."""
    settings = product(parse(["trainer.batch_size=48,32", "trainer.accumulate=1,3"]))
    family = Family("toy_line", (), (), settings[0])
    with pytest.raises(ConfigError, match="32 can't be divided over 3 parts"):
        list(family.members(settings))
    for good in settings[:3]:
        assert list(family.members([good]))


@pytest.mark.parametrize(
    "wrong, named",
    [
        ("stages.erm.module.lr=1e-3,fast", "stages.erm.module.lr"),
        ("stages.erm.modul.lr=1,2", "stages.erm.modul"),
        ("trainer.batch_size=8,0", "trainer.batch_size"),
    ],
)
def test_a_wrong_value_is_named(wrong, named):
    settings = product(parse([wrong]))
    with pytest.raises(ConfigError, match=re.escape(named)):
        list(Family("ddb_shapes", (), (), settings[0]).members(settings))


@pytest.mark.parametrize("path", experiments().values(), ids=lambda path: path.stem)
def test_every_experiment_over_seeds(path: Path):
    settings = [{"seed": str(seed)} for seed in random.Random(0).sample(range(10**6), 6)]
    family = Family(path, (), (), settings[0])
    for setting, member in zip(settings, family.members(settings), strict=True):
        assert member == resolve(path, overrides=[f"seed={setting['seed']}"]).experiment
