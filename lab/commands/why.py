"""`lab why`: what tells two runs apart, the most telling first."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.reports.differences import Difference, Differences, Parting

WIDTH = 40
"""Characters of a value that are shown."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "a", metavar="A", help="run folder, id, beginning of an id, or experiment name (its newest run)"
    )
    parser.add_argument("b", metavar="B", help="the run to compare it with")
    parser.add_argument("--json", action="store_true", help="everything that was found, for programs")
    parser.add_argument("--runs-dir", type=Path, metavar="DIR", help="folder of runs; default LAB_RUNS")


def run(args: argparse.Namespace) -> int:
    from lab import env
    from lab.reports.differences import differences
    from lab.stages.record import find_run

    runs = args.runs_dir or env.RUNS.path()
    found = differences(find_run(args.a, runs), find_run(args.b, runs))
    print(json.dumps(found.to_plain(), indent=1, allow_nan=False) if args.json else text(found))
    return 0


def text(found: Differences) -> str:
    """For a terminal: a table for each kind of difference that there is."""
    parts = [f"A  {found.runs[0]}\nB  {found.runs[1]}"]
    parts += _tables(found)
    parts += ["\n".join(map(_parting, found.curves))] if found.curves else []
    if found.none:
        parts.append("no difference found")
    return "\n\n".join(parts)


def _tables(found: Differences) -> list[str]:
    from lab.reports.tables import Table

    kinds = (
        ("setting", "from", found.settings),
        ("seed", "from", found.seeds),
        ("data", "in", found.data),
        ("code", "in", found.code),
        ("package", "in", found.packages),
        ("machine", "in", found.machine),
        ("not deciding", "from", found.aside),
    )
    made = [
        Table((what, "A", "B", where), tuple(map(_row, differences)), lead=4)
        for what, where, differences in kinds
        if differences
    ]
    related = [(pair.stage, pair.verb, pair.relation) for pair in found.stages if pair.relation]
    made += [Table(("stage", "verb", "relation"), tuple(related), lead=3)] if related else []
    metrics = tuple((each.what, _number(each.a), _number(each.b), _change(each)) for each in found.metrics)
    made += [Table(("metric", "A", "B", "change"), metrics, lead=4)] if metrics else []
    return [table.text() for table in made]


def _row(each: Difference) -> tuple[str, ...]:
    key = each.what.removeprefix("packages.") + (f" (and {len(each.also)} like it)" if each.also else "")
    return key, _value(each.a), _value(each.b), each.where


def _value(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return f"{len(value)} entries"
    words = value if isinstance(value, str) else json.dumps(value)
    return words if len(words) <= WIDTH else words[: WIDTH - 1] + "…"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _change(each: Difference) -> str:
    return "-" if each.a is None or each.b is None else f"{each.b - each.a:+.3g}"


def _parting(curve: Parting) -> str:
    if curve.step is None:
        return f"{curve.stage}: the curves are equal at all {curve.equal} points that both have"
    points = "point" if curve.equal == 1 else "points"
    before = f"after {curve.equal} equal {points}" if curve.equal else "from the beginning"
    return f"{curve.stage}: the curves part at step {curve.step} in {curve.name}, {before}: {curve.a!r} and {curve.b!r}"
