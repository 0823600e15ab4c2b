"""Recorded results: what finished runs of one setting found, in one small file beside the experiments."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from lab.config.deciding import flatten
from lab.errors import UserError
from lab.reports.groups import Group
from lab.reports.results import Entry, Results
from lab.reports.run import Run, Stage
from lab.reports.statistics import estimate
from lab.stages.graph import hash_of

RESULTS = Path("experiments") / "results"

_PLACES = ("runs_dir", "root")  # folders of the machine that ran it


def record(group: Group) -> dict[str, Any]:
    """The content of a result file.

    `config` is that of the lowest seed without folders, `hash` its hash; `changes` of a run the dotted keys in which
    its own differs, so that each run can be rebuilt (`Recorded.config_of`).

    Raises:
        UserError: a run is unfinished.
    """
    for run in group.runs.values():
        if run.record["status"] != "finished":
            raise UserError(f"run {run.path.name} is {run.record['status']}, not finished: nothing to record")
    config = without_places(group.config)
    environments: list[dict[str, Any]] = []
    entries = []
    for run in group.runs.values():
        # Each stage says of which commit it is: a run may have found it cached.
        environment = {name: value for name, value in run.environment.items() if name not in ("commit", "dirty")}
        if environment not in environments:
            environments.append(environment)
        entries.append(_entry(run, config, environments.index(environment)))
    return {
        "name": group.name,
        "label": group.label,
        "paper": group.paper,
        "kind": group.kind,
        "profiles": next(iter(group.runs.values())).record["profiles"],
        "hash": hash_of(config),
        "config": config,
        "environments": environments,
        "runs": entries,
    }


def without_places(config: Mapping[str, Any]) -> dict[str, Any]:
    """A plain configuration whose folders are null."""
    return {
        key: None if key in _PLACES else without_places(value) if isinstance(value, Mapping) else value
        for key, value in config.items()
    }


def _entry(run: Run, config: Mapping[str, Any], environment: int) -> dict[str, Any]:
    first, own = dict(flatten(config)), dict(flatten(without_places(run.config)))
    stages = {stage.name: _stage(stage) for stage in run.stages.values() if stage.artefact}
    return {
        "id": run.path.name,
        "seed": run.seed,
        "changes": {key: value for key, value in own.items() if key not in first or first[key] != value},
        "seconds": run.record["seconds"],
        "environment": environment,
        "stages": stages,
    }


def _stage(stage: Stage) -> dict[str, Any]:
    made = stage.artefact.manifest.get("made", {}) if stage.artefact else {}
    code = made.get("environment", {})
    return {
        "key": stage.entry["key"],
        "seconds": stage.entry["seconds"],
        "peak_memory_mib": stage.entry["peak_memory_mib"],
        "commit": code.get("commit"),
        "dirty": code.get("dirty"),
        "threads": made.get("threads"),
        "device": made.get("device"),
        "metrics": {name: value if math.isfinite(value) else None for name, value in sorted(stage.metrics.items())},
    }


def paths(groups: Sequence[Group], folder: Path = RESULTS) -> list[Path]:
    """Where to record each group: `NAME.json`, or `NAME@label.json` where there are several settings of one experiment.

    Settings whose labels make the same file name get a hash of their configuration behind it.
    """
    names = [f"{group.name}@{_slug(group.label)}" if group.label else group.name for group in groups]
    hashes = [hash_of(without_places(group.config))[:8] for group in groups]
    files = (name if names.count(name) == 1 else f"{name}-{own}" for name, own in zip(names, hashes, strict=True))
    return [folder / f"{file}.json" for file in files]


def _slug(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", label).strip("-")[:80]


class Recorded(Results):
    """One file of results."""

    def __init__(self, content: Mapping[str, Any]):
        super().__init__(content["config"], content["label"])
        self.content = content

    @classmethod
    def load(cls, path: Path) -> Recorded:
        """From a file that `lab record` wrote.

        Raises:
            UserError: it is none, or of another version.
        """
        try:
            return cls(json.loads(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} can't be read as recorded results: {error!r}") from error

    @property
    def runs(self) -> list[dict[str, Any]]:
        """By seed, as `record` wrote them."""
        return list(self.content["runs"])

    @property
    def seeds(self) -> list[int]:
        return [run["seed"] for run in self.runs]

    def entries(self, stage: str) -> Mapping[int, Entry]:
        return self._entries.get(stage, {})

    @cached_property
    def _entries(self) -> dict[str, dict[int, Entry]]:
        found: dict[str, dict[int, Entry]] = {}
        for run in self.runs:
            for name, done in run["stages"].items():
                metrics = {key: math.nan if value is None else value for key, value in done["metrics"].items()}
                entry = Entry(done["key"], done["seconds"], done["peak_memory_mib"], metrics)
                found.setdefault(name, {})[run["seed"]] = entry
        return found

    def config_of(self, seed: int) -> dict[str, Any]:
        """The resolved configuration of the run with that seed, its folders null.

        Raises:
            UserError: no run of that seed is recorded.
        """
        if seed not in self.seeds:
            raise UserError(f"{self.name}: seed {seed} is not recorded; there are: {', '.join(map(str, self.seeds))}")
        config = copy.deepcopy(dict(self.config))
        for key, value in self.runs[self.seeds.index(seed)]["changes"].items():
            *above, last = key.split(".")
            place = config
            for name in above:
                place = place[name]
            place[last] = value
        return config

    def provenance(self) -> str:
        """One sentence on what stands behind the numbers."""
        time = estimate(run["seconds"] / 60 for run in self.runs)
        machines = dict.fromkeys(_machine(environment) for environment in self.content["environments"])
        stages = [stage for run in self.runs for stage in run["stages"].values()]
        commits = sorted({f"{stage['commit']}"[:10] + (" (changed)" if stage["dirty"] else "") for stage in stages})
        threads = "/".join(sorted({str(stage["threads"]) for stage in stages}))
        return (
            f"Seeds {', '.join(map(str, self.seeds))}; {time.mean if time else 0:.0f} minutes a seed on "
            f"{' and '.join(machines)}, threads used: {threads}; "
            f"stages computed at commit{'s' if len(commits) > 1 else ''} {', '.join(commits)}"
        )


def _machine(environment: Mapping[str, Any]) -> str:
    return ", ".join(environment.get("gpus") or []) or f"{environment['cpu']}, {environment['cores']} cores"
