"""What tells the runs of a report apart: configuration, environment, and the axes of a grid."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.config.deciding import deciding, flatten
from lab.reports.groups import Group
from lab.reports.run import Run
from lab.reports.tables import EMPTY, Table

MOST_VALUES = 8
"""Different values of one key that are listed."""


@dataclass(frozen=True)
class Axis:
    """Configuration keys that take the same values in all runs, and not one value only.

    key: the one highest up. together: how many more there are. values: as text, one a run. of_seeds: they differ
    between the seeds of one group too.
    """

    key: str
    together: int
    values: tuple[str, ...]
    of_seeds: bool

    def number(self, run: int) -> float | None:
        """The value in a run as a finite number, if it is one."""
        try:
            value = float(self.values[run])
        except ValueError:
            return None
        return value if math.isfinite(value) else None


def axes(groups: Sequence[Group]) -> list[Axis]:
    """What decides the numbers and differs between the runs, over all seeds of all groups."""
    keys: dict[tuple[str, ...], list[str]] = {}
    for key, values in _merged(deciding(run.config) for run in _runs(groups)).items():
        if len(set(values)) > 1:
            keys.setdefault(values, []).append(key)
    highest = {values: min(same, key=lambda key: (key.count("."), len(key))) for values, same in keys.items()}
    return [
        Axis(highest[values], len(same) - 1, values, _between(values, groups) == "seeds")
        for values, same in keys.items()
    ]


def differing(found: Sequence[Axis]) -> Table | None:
    """A row for each axis: its key, what it tells apart and its values."""
    rows = tuple(
        (
            axis.key + (f" (and {axis.together} keys with it)" if axis.together else ""),
            "seeds" if axis.of_seeds else "settings",
            listed(axis.values),
        )
        for axis in found
    )
    return Table(("key", "differs between", "values"), rows, lead=3) if rows else None


def configuration(groups: Sequence[Group]) -> Table:
    """Every key with its value and its origin in the first run; where runs differ, all values and between what.

    Without the ledger's entries, which have a place of their own.
    """
    runs = _runs(groups)
    values = _merged({k: v for k, v in flatten(run.config) if k not in ("cells", "claims")} for run in runs)
    rows = ((key, listed(found), _origin(runs[0].origins, key)) for key, found in values.items())
    if len(runs) == 1:
        return Table(("key", "value", "origin"), tuple(rows), lead=3)
    marks = (_between(found, groups) for found in values.values())
    marked = ((key, value, mark, origin) for (key, value, origin), mark in zip(rows, marks, strict=True))
    return Table(("key", "value", "differs between", "origin"), tuple(marked), lead=4)


def environment(runs: Sequence[Run]) -> Table:
    """Machine and versions of the runs, and what their artefacts were computed on and by which commit."""
    values = _merged(dict(flatten(run.environment)) for run in runs)
    artefacts = [stage.artefact for run in runs for stage in run.stages.values() if stage.artefact]
    made = [artefact.manifest.get("made", {}) for artefact in artefacts]
    values |= _merged(_maker(entry) for entry in made if entry)
    return Table(("what", "value"), tuple((key, listed(found)) for key, found in values.items()), lead=2)


def listed(values: Iterable[str]) -> str:
    """The different values, at most `MOST_VALUES` of them."""
    different = list(dict.fromkeys(values))
    more = len(different) - MOST_VALUES
    return " | ".join(different[:MOST_VALUES]) + (f" and {more} more" if more > 0 else "")


def _runs(groups: Sequence[Group]) -> list[Run]:
    return [run for group in groups for run in group.runs.values()]


def _between(values: Sequence[str], groups: Sequence[Group]) -> str:
    """Whether values, one a run, differ between the seeds of a group, or between groups alone, or not at all."""
    if len(set(values)) == 1:
        return ""
    at = [place for place, group in enumerate(groups) for _ in group.runs]
    return "seeds" if len(set(zip(at, values, strict=True))) > len(groups) else "settings"


def _merged(contents: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Every key with its text in each content, `EMPTY` where it is absent."""
    tables = [{key: v if isinstance(v, str) else json.dumps(v) for key, v in content.items()} for content in contents]
    keys = dict.fromkeys(key for table in tables for key in table)
    return {key: tuple(table.get(key, EMPTY) for table in tables) for key in keys}


def _maker(made: Mapping[str, Any]) -> dict[str, Any]:
    """What computed one artefact."""
    code = made.get("environment", {})
    where = {f"stages.{name}": made.get(name) for name in ("device", "devices", "threads")}
    return {**where, "stages.commit": code.get("commit"), "stages.dirty": code.get("dirty")}


def _origin(origins: Mapping[str, str], key: str) -> str:
    """Of a key inside a value that was given whole: that value's origin."""
    while key not in origins and "." in key:
        key = key.rpartition(".")[0]
    return origins.get(key, "")
