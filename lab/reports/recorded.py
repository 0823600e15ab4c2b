"""Recorded results: what finished runs of one experiment found, in one small file beside the experiments."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lab.config.schema import Claim
from lab.errors import UserError
from lab.reports.ledger import bound_of, decide, is_cell
from lab.reports.run import Run, Stage
from lab.reports.tables import EMPTY, Table, heading, is_share, shown


def record(runs: Sequence[Run]) -> dict[str, Any]:
    """The content of a result file from finished runs that differ in their seed alone, by seed.

    Raises:
        UserError: a run is unfinished, is of another experiment or has other options; names the first difference.
    """
    first = runs[0]
    entries = []
    for run in sorted(runs, key=lambda run: int(run.record["seed"])):
        if run.record["status"] != "finished":
            raise UserError(f"run {run.path.name} is {run.record['status']}, not finished: nothing to record")
        if difference := _difference(_comparable(first.config), _comparable(run.config)):
            raise UserError(f"{run.path.name} and {first.path.name} differ in more than the seed: {difference}")
        entries.append(_entry(run))
    if len({entry["seed"] for entry in entries}) < len(entries):
        raise UserError(f"several runs of {first.name} have the same seed; give one run a seed")
    return {
        "name": first.name,
        "paper": first.config["paper"],
        "description": first.config["description"],
        "kind": first.kind,
        "profiles": first.record["profiles"],
        "headline": first.headline,
        "claims": [asdict(claim) for claim in first.claims],
        "config": first.config,
        "runs": entries,
    }


def _entry(run: Run) -> dict[str, Any]:
    # Each stage says of which commit it is: a run may have found it cached.
    environment = {name: value for name, value in run.environment.items() if name not in ("commit", "dirty")}
    stages = {
        stage.name: {
            "title": stage.title,
            "verb": stage.verb,
            "key": stage.entry["key"],
            "seconds": stage.entry["seconds"],
            "peak_memory_mib": stage.entry["peak_memory_mib"],
            **_maker(stage),
            "metrics": {name: None if math.isnan(value) else value for name, value in stage.metrics.items()},
        }
        for stage in run.stages.values()
        if stage.entry
    }
    return {
        "id": run.path.name,
        "seed": run.record["seed"],
        "seconds": run.record["seconds"],
        "environment": environment,
        "stages": stages,
    }


def _maker(stage: Stage) -> dict[str, Any]:
    """What computed a stage: commit, whether its tree was clean, threads, kind of device."""
    made = stage.artefact.manifest.get("made", {}) if stage.artefact else {}
    code = made.get("environment", {})
    return {
        "commit": code.get("commit"),
        "dirty": code.get("dirty"),
        "threads": made.get("threads"),
        "device": made.get("device"),
    }


def _comparable(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration flattened, without its seeds and without what only says where to run."""
    flat: dict[str, Any] = {}

    def walk(value: Any, key: str) -> None:
        if isinstance(value, dict):
            for name, below in value.items():
                walk(below, f"{key}.{name}" if key else str(name))
        elif not key.endswith("seed") and key != "runs_dir" and not key.endswith(".root"):
            flat[key] = value

    walk(config, "")
    return flat


def _difference(one: dict[str, Any], other: dict[str, Any]) -> str | None:
    for key in {**one, **other}:
        if one.get(key) != other.get(key):
            return f"{key} is {one.get(key)} in one and {other.get(key)} in the other"
    return None


@dataclass(frozen=True)
class Recorded:
    """One file of results."""

    content: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> Recorded:
        return cls(json.loads(path.read_text()))

    @property
    def name(self) -> str:
        return str(self.content["name"])

    @property
    def kind(self) -> str:
        return str(self.content["kind"])

    @cached_property
    def runs(self) -> list[dict[str, Any]]:
        return list(self.content["runs"])

    def values(self, expression: str) -> list[float]:
        """A metric, written `stage/metric`, of every run; empty where one of them lacks it."""
        name, _, metric = expression.partition("/")
        found = []
        for run in self.runs:
            stage = run["stages"].get(name, {"metrics": {}, "verb": ""})
            value = stage["metrics"].get(metric, stage["metrics"].get(f"{stage['verb']}/{metric}"))
            if value is None:
                return []
            found.append(float(value))
        return found

    def table(self) -> Table:
        """Test stages: mean ± standard deviation over the seeds of the headline metrics, and the training time."""
        names = list(self.content["headline"])
        rows = []
        for stage, entry in self.runs[0]["stages"].items():
            if entry["verb"] == "test":
                cells = (mean_and_spread(name, self.values(f"{stage}/{name}")) for name in names)
                rows.append((str(entry["title"]), *cells))
        return Table(("method", *map(heading, names)), tuple(rows), lead=1 + len(names))

    def claims(self) -> Table:
        """Each claim, decided by the means, and in how many of the runs the outcome is the same."""
        rows = []
        for claim in (Claim(**claim) for claim in self.content["claims"]):
            left = self.values(claim.left)
            right = self.values(claim.right) if claim.right is not None else [None] * len(left)
            found = [bound_of(claim, theirs) for theirs in right]
            bounds = [bound for bound in found if bound is not None]
            if not left or len(bounds) != len(left):
                rows.append((claim.text, EMPTY, EMPTY, "not run"))
                continue
            ours, bound = statistics.fmean(left), statistics.fmean(bounds)
            outcome = decide(claim, self.kind, ours, bound)
            agree = sum(decide(claim, self.kind, *pair) == outcome for pair in zip(left, bounds, strict=True))
            sign = "published " if is_cell(claim) else {">=": "≥ ", "<=": "≤ ", "~=": "≈ "}[claim.relation]
            verdict = outcome if outcome == "not comparable" else f"{outcome} ({agree} of {len(left)} seeds)"
            rows.append((claim.text, mean_and_spread(claim.left, left), sign + shown(claim.left, bound), verdict))
        return Table(("claim", "recorded", "needs", "verdict"), tuple(rows), lead=4)

    def provenance(self) -> str:
        """One sentence on what stands behind the numbers."""
        run = self.runs[0]
        seeds = ", ".join(str(entry["seed"]) for entry in self.runs)
        minutes = statistics.fmean(entry["seconds"] for entry in self.runs) / 60
        machine = run["environment"]
        device = ", ".join(machine.get("gpus") or []) or f"{machine['cpu']}, {machine['cores']} cores"
        kinds = {"embedded": "synthetic data", "real": "real images", "paper-scale": "paper scale"}
        stages = [stage for entry in self.runs for stage in entry["stages"].values()]
        commits = sorted({str(stage["commit"])[:10] + (" (changed)" if stage["dirty"] else "") for stage in stages})
        word = "commits" if len(commits) > 1 else "commit"
        threads = "/".join(sorted({str(stage["threads"]) for stage in stages}))
        return (
            f"{kinds.get(self.kind, self.kind)}; seeds {seeds}; {minutes:.0f} minutes a seed on {device}, "
            f"threads used: {threads}; stages computed at {word} {', '.join(commits)}"
        )


def mean_and_spread(name: str, values: Sequence[float]) -> str:
    """`62.1 ± 0.8 %`; the spread is the standard deviation over runs, left out of a single one."""
    if not values:
        return EMPTY
    mean = statistics.fmean(values)
    if len(values) == 1:
        return shown(name, mean)
    spread = statistics.stdev(values)
    return f"{100 * mean:.1f} ± {100 * spread:.1f} %" if is_share(name) else f"{mean:.4g} ± {spread:.2g}"
