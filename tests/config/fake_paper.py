"""A plugin for the tests of the config layer and of the commands that need no torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from lab import registry
from lab.config.fields import option
from lab.errors import DataError
from lab.registry import Component, Plugin


@dataclass
class Net:
    depth: int = 2
    act: Literal["relu", "gelu"] = "relu"

    def check(self) -> Iterator[tuple[str, str]]:
        if self.depth < 1:
            yield "depth", f"must be at least 1, is {self.depth}"


@dataclass
class ClassifierConfig:
    lr: float = 1e-3
    label: str = "plain"
    widths: tuple[int, ...] = (8, 16)
    size: tuple[int, int] = (4, 4)
    decays: list[float] = field(default_factory=list)
    tags: dict[str, int] = field(default_factory=dict)
    dropout: float | None = None
    steps: int | Literal["all"] = "all"
    scale: float | Literal["auto"] = "auto"
    nesterov: bool = False
    limit: float = math.inf
    net: Net = option(help="the network", factory=Net)
    spare: Net | None = None
    heads: dict[str, Net] = field(default_factory=dict)

    def check(self) -> Iterator[tuple[str, str]]:
        if self.lr <= 0:
            yield "lr", f"must be positive, is {self.lr:g}"
        if self.label == self.net.act:
            yield "net.act", "is the label"


@dataclass
class SamplerConfig:
    count: int
    seed: int = option(5, "its default")


@dataclass
class ToyConfig:
    root: str | None = None
    stand_in: bool = False
    rho: float = 0.9
    hour: str = "noon"


@dataclass
class GridConfig:
    per_class: int = 10


class Toy:
    """A data set that is there when its root is given."""

    @classmethod
    def locate(cls, config: ToyConfig) -> Path:
        if config.root is None:
            raise DataError("toy: not found")
        return Path(config.root)


HERE = "tests.config.fake_paper"

PLUGIN = Plugin(
    "fake",
    summary="a paper for tests",
    components=(
        Component("module", "classifier", f"{HERE}:ClassifierConfig", "never:imported", "classifies"),
        Component("module", "sampler", f"{HERE}:SamplerConfig", "never:imported", "samples"),
        Component("data", "toy", f"{HERE}:ToyConfig", "never:imported", "toy images", dataset=f"{HERE}:Toy"),
        Component("data", "grid", f"{HERE}:GridConfig", "never:imported", "a grid"),
    ),
)


@pytest.fixture(autouse=True)
def fake_plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only this plugin is registered."""
    monkeypatch.setattr(registry, "BUILTIN", (f"{HERE}:PLUGIN",))
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    caches = (registry.plugins, registry._table)
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


EXPERIMENT = """\
name: demo
data: {name: toy, rho: 0.95}
trainer: {max_epochs: 3}
stages:
  erm:
    verb: fit
    module:
      name: classifier
      lr: 1e-2
  erm_test: {verb: test, weights: erm}
"""
"""Eleven lines that resolve."""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes a file into the working folder, a temporary one."""
    monkeypatch.chdir(tmp_path)

    def writer(text: str = EXPERIMENT, name: str = "x.yaml") -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return writer
