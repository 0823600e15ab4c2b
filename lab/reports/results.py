"""What is known of one setting of an experiment over its seeds, wherever it was read from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from lab.config.expressions import SECONDS, TIME, parse
from lab.config.schema import Cell, Claim
from lab.errors import UserError


class Described(NamedTuple):
    """A stage as reports name it."""

    title: str
    verb: str


@dataclass(frozen=True)
class Entry:
    """What one run recorded of one stage.

    key: of its artefact. seconds: of computing it, whoever did. metrics: by full name; NaN where one has no value.
    """

    key: str
    seconds: float
    peak_memory_mib: float | None
    metrics: Mapping[str, float]


class Results:
    """One setting of an experiment, from its plain resolved configuration; as it stands here, nothing of it was run.

    label: what tells the setting from others of the same experiment; empty where it is the only one.
    """

    def __init__(self, config: Mapping[str, Any], label: str = ""):
        self.config, self.label = config, label

    @property
    def seeds(self) -> list[int]:
        """Of the runs, in order."""
        return []

    def entries(self, stage: str) -> Mapping[int, Entry]:
        """What was recorded of a stage, by seed."""
        return {}

    @property
    def name(self) -> str:
        return str(self.config["name"])

    @property
    def paper(self) -> str:
        return str(self.config["paper"])

    @property
    def description(self) -> str:
        return str(self.config["description"])

    @property
    def kind(self) -> str:
        return kind(self.config)

    @property
    def headline(self) -> list[str]:
        return list(self.config["report"]["headline"])

    @cached_property
    def claims(self) -> list[Claim]:
        return list(self._read(Claim, "claims"))

    @cached_property
    def cells(self) -> list[Cell]:
        return list(self._read(Cell, "cells"))

    @cached_property
    def stages(self) -> dict[str, Described]:
        """As the experiment orders them, finished or not."""
        stages = self.config["stages"].items()
        return {name: Described(stage.get("title") or spelt(name), stage["verb"]) for name, stage in stages}

    def behind(self, stage: str) -> list[str]:
        """The stages that a stage needs, by weights or roles, directly or not; itself left out."""
        found: list[str] = []
        waiting = [stage]
        while waiting:
            config = self.config["stages"][waiting.pop()]
            read = [config.get("weights"), *(config.get("needs") or {}).values()]
            new = [name for name in read if name and name not in found]
            found += new
            waiting += new
        return found

    def counted(self, stage: str) -> list[str]:
        """The stages whose time a method costs: a stage and those behind it, without what evaluates, which is every
        validate and test stage and what reads test rows. Empty for a stage that was left out.
        """
        config = self.config["stages"]
        names = [stage, *self.behind(stage)] if stage in config else []
        return [
            name for name in names if config[name]["verb"] in ("fit", "predict") and config[name].get("split") != "test"
        ]

    def spent(self, stage: str) -> dict[int, float]:
        """Seconds by seed of the `counted` stages, shared ones included, for the seeds that have the stage itself.

        Empty where there are none, or one of them was not recorded. A stage that was found in the store counts with the
        time it once took.
        """
        counted = self.counted(stage)
        found: dict[int, float] = dict.fromkeys(self.entries(stage) if counted else (), 0.0)
        for name in counted:
            entries = self.entries(name)
            found = {seed: seconds + entries[seed].seconds for seed, seconds in found.items() if seed in entries}
        return found

    def with_verb(self, *verbs: str) -> dict[str, str]:
        """Titles of the stages that have one of these verbs, by name."""
        return {name: stage.title for name, stage in self.stages.items() if stage.verb in verbs}

    def values(self, expression: str) -> dict[int, float]:
        """A sum of `stage/metric` (see `lab.config.expressions`) by seed; seeds that lack a term are left out."""
        found: dict[int, float] = {}
        terms = [(term.factor, self._term(term.stage, term.metric)) for term in parse(expression)]
        for seed in self.seeds:
            if all(seed in values for _, values in terms):
                found[seed] = sum(factor * values[seed] for factor, values in terms)
        return found

    def ratio(self, of: str, over: str | None) -> dict[int, float]:
        """A sum by seed, divided by another where one is given; seeds where that is 0 are left out."""
        found = self.values(of)
        if over is None:
            return found
        divisors = self.values(over)
        return {seed: value / divisors[seed] for seed, value in found.items() if divisors.get(seed)}

    def missing(self, expression: str) -> list[str]:
        """The terms that not every run has: `lff_test/accuracy`, or `lff_test/accuracy (seed 2, 3)`."""
        found = []
        for term in parse(expression):
            values = self._term(term.stage, term.metric)
            without = [str(seed) for seed in self.seeds if seed not in values]
            if without or not self.seeds:
                found.append(f"{term.name} (seed {', '.join(without)})" if values else term.name)
        return found

    def keys(self, expression: str) -> tuple[str, ...]:
        """The artefacts that an expression was read from, term by term and seed by seed."""
        stages = [s for t in parse(expression) for s in (self.counted(t.stage) if t.metric == TIME else [t.stage])]
        entries = [entry for stage in stages for entry in self.entries(stage).values()]
        return tuple(dict.fromkeys(entry.key for entry in entries))

    def metrics(self, stage: str) -> list[str]:
        """Names of all metrics of a stage, without the prefix that is its verb."""
        prefix = f"{self.stages[stage].verb}/"
        return list(dict.fromkeys(n.removeprefix(prefix) for e in self.entries(stage).values() for n in e.metrics))

    def _term(self, stage: str, metric: str) -> dict[int, float]:
        if metric == TIME:
            return self.spent(stage)
        if metric == SECONDS:
            return {seed: entry.seconds for seed, entry in self.entries(stage).items()}
        found: dict[int, float] = {}
        for seed, entry in self.entries(stage).items():
            value = entry.metrics.get(metric, entry.metrics.get(f"{self.stages[stage].verb}/{metric}"))
            if value is not None and math.isfinite(value):
                found[seed] = value
        return found

    def _read(self, cls: Any, key: str) -> Iterator[Any]:
        for content in self.config.get(key) or ():
            try:
                yield cls(**{name: value for name, value in content.items() if value is not None})
            except TypeError as error:
                reason = str(error).partition("__init__() ")[2]
                raise UserError(f"{self.name}: its {key} were written by another version of lab: {reason}") from None


def kind(config: Mapping[str, Any]) -> str:
    """`embedded`, `real`, `paper-scale`, or `stand-in` when a generated miniature took the place of the data."""
    stand_in = any((stage.get("data") or {}).get("stand_in") for stage in config["stages"].values())
    return "stand-in" if stand_in else str(config["kind"])


def spelt(name: str) -> str:
    """`conflicting_accuracy` -> `conflicting accuracy`."""
    return name.replace("_", " ")
