"""Runs of one experiment that differ in their seed alone, put together."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from lab.config.deciding import deciding
from lab.reports.results import Entry, Results
from lab.reports.run import Run
from lab.stages.record import RUN

FOLLOWS = "the seed"
"""Stands for a value that is the run's seed."""


class Group(Results):
    """Finished or unfinished runs by seed. The configuration is that of the lowest seed."""

    def __init__(self, runs: Mapping[int, Run], label: str = ""):
        self.runs = dict(sorted(runs.items()))
        super().__init__(next(iter(self.runs.values())).config, label)

    @classmethod
    def of(cls, run: Run | Path) -> Group:
        """A single run.

        Raises:
            UserError: the folder is not a run.
        """
        run = run if isinstance(run, Run) else Run(run)
        return cls({run.seed: run})

    @property
    def seeds(self) -> list[int]:
        return list(self.runs)

    def entries(self, stage: str) -> Mapping[int, Entry]:
        return self._entries.get(stage, {})

    @cached_property
    def _entries(self) -> dict[str, dict[int, Entry]]:
        found: dict[str, dict[int, Entry]] = defaultdict(dict)
        for seed, run in self.runs.items():
            for name, stage in run.stages.items():
                if stage.artefact is not None:
                    done = stage.entry
                    found[name][seed] = Entry(done["key"], done["seconds"], done["peak_memory_mib"], stage.metrics)
        return found


def as_results(given: Results | Run | Path) -> Results:
    """Results as they are; a run, or the folder of one, as a group of its own."""
    return given if isinstance(given, Results) else Group.of(given)


def groups(runs: Iterable[Run]) -> list[Group]:
    """By experiment and setting, in the order of the runs. Of several runs with one seed the newest counts.

    Two runs have the same setting when all that decides their numbers is equal, apart from the seed and what follows
    from it (`data.bias_seed: ${seed}`). A value under `seeds` or at a key that ends in `seed` follows from the seed
    where it equals it, unless it stands beside another seed too.
    """
    experiments: dict[str, dict[str, list[_Read]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        settings = deciding(run.config)
        seeds = {key: settings.pop(key) for key in list(settings) if _is_seed(key)}
        experiments[run.name][json.dumps(settings, sort_keys=True)].append(_Read(run, settings, seeds))
    return [group for alike in experiments.values() for group in _groups(list(alike.values()))]


class _Read(NamedTuple):
    """A run, what decides its numbers, and the seeds among it."""

    run: Run
    settings: dict[str, Any]
    seeds: dict[str, Any]


def _groups(alike: Sequence[Sequence[_Read]]) -> list[Group]:
    """Of one experiment, from its runs, those beside each other that are alike but for their seeds."""
    found: list[tuple[dict[int, Run], dict[str, Any]]] = []
    everywhere = _fixed(read for members in alike for read in members)
    for members in alike:
        # A single seed can't tell what follows from it; other settings of the experiment can.
        fixed = _fixed(members) if len({read.run.seed for read in members}) > 1 else everywhere
        split: dict[str, tuple[dict[int, Run], dict[str, Any]]] = {}
        for run, settings, seeds in members:
            own = {key: value if (key, value) in fixed else FOLLOWS for key, value in seeds.items()}
            by_seed, _ = split.setdefault(json.dumps(own, sort_keys=True), ({}, settings | own))
            by_seed[run.seed] = max(by_seed.get(run.seed, run), run, key=_age)
        found += split.values()
    return [Group(runs, label) for (runs, _), label in zip(found, _labels(found), strict=True)]


def _fixed(members: Iterable[_Read]) -> set[tuple[str, Any]]:
    """Keys and values of seeds that stand beside another seed."""
    return {(key, value) for read in members for key, value in read.seeds.items() if value != read.run.seed}


def _is_seed(key: str) -> bool:
    return key.endswith("seed") or key.startswith("seeds.")


def _age(run: Run) -> float:
    return (run.path / RUN).stat().st_mtime


def _labels(found: Sequence[tuple[Mapping[int, Run], Mapping[str, Any]]]) -> list[str]:
    """What tells each setting of one experiment from the others: `profile=smoke, data.rho=0.98`."""
    profiles = ["+".join(next(iter(runs.values())).record["profiles"]) or "none" for runs, _ in found]
    # A profile changes many settings at once: its name says them all, and what else tells runs apart is within it.
    telling = {
        profile: _telling([settings for (_, settings), own in zip(found, profiles, strict=True) if own == profile])
        for profile in dict.fromkeys(profiles)
    }
    labels = []
    for (_, settings), profile in zip(found, profiles, strict=True):
        words = [f"profile={profile}"] if len(telling) > 1 else []
        words += [f"{key}={_word(_has(settings, key) or settings.get(key))}" for key in telling[profile]]
        labels.append(", ".join(words))
    return labels


def _telling(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys in which settings differ; of a stage that not all of them have, `stages.NAME` alone.

    Of keys that end alike and vary together, as where stages inherit a value, the shortest stands for all; of stages
    that come and go together, the first.
    """
    telling: dict[tuple[str, str], str] = {}
    for key in dict.fromkeys(key for each in settings for key in each):
        stage = ".".join(key.split(".")[:2]) if key.startswith("stages.") else None
        if stage is not None and not all(has := [_has(each, stage) for each in settings]):
            telling.setdefault(("", json.dumps(has)), stage)
        elif any(each.get(key) != settings[0].get(key) for each in settings):
            same = (key.rpartition(".")[2], json.dumps([each.get(key) for each in settings]))
            if same not in telling or key.count(".") < telling[same].count("."):
                telling[same] = key
    return list(telling.values())


def _has(settings: Mapping[str, Any], stage: str) -> bool:
    return f"{stage}.verb" in settings


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
