"""What tells two runs apart: configuration, seeds, data, code, machine, and where their curves part. No torch."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lab.config.deciding import deciding, flatten
from lab.reports.run import Run, Stage
from lab.stages.artefact import CURVES, METRICS, TABLE, WEIGHTS

EVERYWHERE = "everywhere"
THE_RUN = "the run"
"""What `environment.json` describes: the machine that a run was started on."""


@dataclass(frozen=True)
class Difference:
    """Something with another value in each run; None where it is absent.

    where: the origins of a setting, or the stages that it is true of. also: keys that end alike and differ alike.
    """

    what: str
    a: Any
    b: Any
    where: str = ""
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class StagePair:
    """How a stage of one run relates to that of the other: `same` when both are one artefact by construction."""

    stage: str
    verb: str
    same: bool
    relation: str


@dataclass(frozen=True)
class Parting:
    """The first point at which the curves of a fit differ, after `equal` points that both have and that are equal.

    step, name, a and b are None when they don't differ.
    """

    stage: str
    equal: int
    step: int | None = None
    name: str | None = None
    a: float | None = None
    b: float | None = None


@dataclass(frozen=True)
class Differences:
    """Everything in which run `b` differs from run `a`, the most telling first.

    settings and seeds: configuration that decides numbers; aside: that which says where and how fast to run, and texts.
    data: fingerprints, and the content of files that options name. code: commit, and versions of components.
    """

    runs: tuple[str, str]
    settings: tuple[Difference, ...]
    seeds: tuple[Difference, ...]
    data: tuple[Difference, ...]
    code: tuple[Difference, ...]
    packages: tuple[Difference, ...]
    machine: tuple[Difference, ...]
    aside: tuple[Difference, ...]
    stages: tuple[StagePair, ...]
    curves: tuple[Parting, ...]
    metrics: tuple[Difference, ...]

    @property
    def none(self) -> bool:
        """Whether no difference was found, in what was asked for or in what came out."""
        found = (self.settings, self.seeds, self.data, self.code, self.packages, self.machine, self.aside, self.metrics)
        return not any(found) and all(pair.same or not pair.relation for pair in self.stages) and not self._parted

    @property
    def _parted(self) -> bool:
        return any(curve.step is not None for curve in self.curves)

    def to_plain(self) -> dict[str, Any]:
        """JSON-able; NaN and infinite numbers as text."""
        return _finite(asdict(self))  # type: ignore[no-any-return]


def differences(a: Path, b: Path) -> Differences:
    """Compare two run folders.

    Raises:
        UserError: a folder is not a run.
    """
    one, two = Run(a), Run(b)
    config = _folded(_config(one, two))
    decide = {*deciding(one.config), *deciding(two.config)}
    settings = [*_stages_of_one(one, two), *(each for each in config if each.what in decide)]
    pairs = [(stage, two.stages[name]) for name, stage in one.stages.items() if name in two.stages]
    apart = [(x, y) for x, y in pairs if x.artefact and y.artefact and not _one(x, y)]
    made = _where([(x.name, _material(x), _material(y)) for x, y in apart])
    around = _where([(THE_RUN, one.environment, two.environment), *((x.name, _made(x), _made(y)) for x, y in apart)])
    return Differences(
        runs=(a.name, b.name),
        settings=tuple(each for each in settings if not _is_seed(each.what)),
        seeds=tuple(each for each in settings if _is_seed(each.what)),
        data=tuple(each for each in made if not each.what.endswith("version")),
        code=tuple(
            each for each in [*made, *around] if each.what.endswith(" version") or each.what in ("commit", "dirty")
        ),
        packages=tuple(each for each in around if each.what.startswith("packages.")),
        machine=tuple(each for each in around if not each.what.startswith(("packages.", "commit", "dirty"))),
        aside=tuple(each for each in config if each.what not in decide),
        stages=tuple(_pair(x, y) for x, y in pairs),
        curves=tuple(_parting(x, y) for x, y in apart if x.verb == "fit" and _has_curves(x) and _has_curves(y)),
        metrics=tuple(each for x, y in apart if x.verb != "fit" for each in _metrics(x, y)),
    )


def _stages_of_one(a: Run, b: Run) -> Iterator[Difference]:
    for name in dict.fromkeys([*a.stages, *b.stages]):
        ours, theirs = (run.stages[name].verb if name in run.stages else None for run in (a, b))
        if ours is None or theirs is None:
            yield Difference(f"stages.{name}", ours, theirs)


def _config(a: Run, b: Run) -> Iterator[Difference]:
    """Keys with another value, but of stages that only one run has."""
    ours, theirs = dict(flatten(a.config)), dict(flatten(b.config))
    for key in dict.fromkeys([*ours, *theirs]):
        parts = key.split(".")
        shared = parts[0] != "stages" or (parts[1] in a.stages and parts[1] in b.stages)
        if shared and ours.get(key) != theirs.get(key):
            origins = dict.fromkeys(_origin(run, key) for run in (a, b))
            yield Difference(key, ours.get(key), theirs.get(key), " | ".join(origins))


def _origin(run: Run, key: str) -> str:
    """Of a key inside a value that was given whole: that value's origin."""
    while key not in run.origins and "." in key:
        key = key.rpartition(".")[0]
    return run.origins.get(key, "not there")


def _folded(found: Iterable[Difference]) -> list[Difference]:
    """Of keys that end alike and have the same values, as where stages inherit one, the shortest stands for all."""
    alike: dict[tuple[str, str, str], list[Difference]] = {}
    for each in found:
        alike.setdefault((each.what.rpartition(".")[2], repr(each.a), repr(each.b)), []).append(each)
    folded = []
    for group in alike.values():
        first, *others = sorted(group, key=lambda each: each.what.count("."))
        folded.append(replace(first, also=tuple(each.what for each in others)))
    return folded


def _is_seed(key: str) -> bool:
    return key.endswith("seed") or key.startswith("seeds.")


def _one(a: Stage, b: Stage) -> bool:
    """Whether two finished stages are the same folder."""
    assert a.artefact is not None and b.artefact is not None
    return a.artefact.path.resolve() == b.artefact.path.resolve()


def _material(stage: Stage) -> dict[str, Any]:
    """What decided an artefact and stands in no configuration."""
    assert stage.artefact is not None
    found = {}
    for part in ("data", "module"):
        component = stage.artefact.manifest["stage"].get(part, {})
        found[f"{part} version"] = component.get("version")
        found[f"{part} fingerprint"] = component.get("fingerprint")
        found[f"{part} files"] = component.get("files")
    return found


def _made(stage: Stage) -> dict[str, Any]:
    assert stage.artefact is not None
    made = stage.artefact.manifest.get("made", {})
    return {**made.get("environment", {}), **{name: made.get(name) for name in ("device", "devices", "threads")}}


def _where(pairs: Sequence[tuple[str, Mapping[str, Any], Mapping[str, Any]]]) -> list[Difference]:
    """The differences between the contents of each pair, each once, with the names of the pairs that have it."""
    found: dict[str, tuple[Difference, list[str]]] = {}
    told = {name: {key for content in both for key, _ in flatten(content)} for name, *both in pairs}
    for name, a, b in pairs:
        ours, theirs = dict(flatten(a)), dict(flatten(b))
        for key in dict.fromkeys([*ours, *theirs]):
            if key and ours.get(key) != theirs.get(key):
                each = Difference(key, ours.get(key), theirs.get(key))
                found.setdefault(repr(each), (each, []))[1].append(name)
    merged = []
    for each, names in found.values():
        able = [name for name, keys in told.items() if each.what in keys]
        where = EVERYWHERE if names == able and len(names) > 1 else ", ".join(names)
        merged.append(replace(each, where=where))
    return merged


def _pair(a: Stage, b: Stage) -> StagePair:
    if not (a.artefact and b.artefact):
        missing = [name for name, stage in (("A", a), ("B", b)) if not stage.artefact]
        relation = "" if len(missing) == 2 else f"not finished in {missing[0]}"
        return StagePair(a.name, a.verb, False, relation)
    if _one(a, b):
        return StagePair(a.name, a.verb, True, f"the same artefact, {a.artefact.key}")
    if a.artefact.key != b.artefact.key:
        return StagePair(a.name, a.verb, False, f"differs in {_reasons(a, b)}")
    files = [stage.artefact.manifest.get("files", {}) for stage in (a, b) if stage.artefact]
    hashes = [{name: each.get(name, {}).get("sha256") for name in (WEIGHTS, TABLE, METRICS, CURVES)} for each in files]
    changed = [name for name in hashes[0] if hashes[0][name] != hashes[1][name]]
    if changed:
        return StagePair(a.name, a.verb, False, f"one key, computed twice, with another {', '.join(changed)}")
    return StagePair(a.name, a.verb, True, "one key, computed twice, with equal files")


def _reasons(a: Stage, b: Stage, most: int = 4) -> str:
    """Why two artefacts have different keys: own options by name, or the stages that they read."""
    assert a.artefact is not None and b.artefact is not None
    ours, theirs = (dict(flatten(stage.artefact.manifest["stage"])) for stage in (a, b) if stage.artefact)
    keys = [key for key in dict.fromkeys([*ours, *theirs]) if ours.get(key) != theirs.get(key)]
    own = [key.replace(".options.", ".") for key in keys if not key.startswith("inputs")]
    read = {**a.entry.get("inputs", {}), **b.entry.get("inputs", {})}
    inputs = sorted({read.get(key.removeprefix("inputs."), key) for key in keys if key.startswith("inputs")})
    words = own[:most] + ([f"{len(own) - most} more"] if len(own) > most else [])
    return ", ".join([*words, *(f"its input {name}" for name in inputs)])


def _has_curves(stage: Stage) -> bool:
    return stage.artefact is not None and (stage.artefact.path / CURVES).exists()


def _parting(a: Stage, b: Stage) -> Parting:
    assert a.artefact is not None and b.artefact is not None
    ours, theirs = _points(a.artefact.path / CURVES), _points(b.artefact.path / CURVES)
    equal = 0
    for (step, name), value in ours.items():  # in the order of the file, which is that of the steps
        other = theirs.get((step, name))
        if other is not None and not _alike(value, other):
            return Parting(a.name, equal, step, name, value, other)
        equal += other is not None
    return Parting(a.name, equal)


def _points(path: Path) -> dict[tuple[int, str], float]:
    """(step, name) -> value of a `curves.csv`, in its order."""
    with path.open(newline="") as handle:
        return {(int(row["step"]), row["name"]): float(row["value"]) for row in csv.DictReader(handle)}


def _alike(a: float | None, b: float | None) -> bool:
    return a == b or (a is not None and b is not None and math.isnan(a) and math.isnan(b))


def _metrics(a: Stage, b: Stage) -> Iterator[Difference]:
    for name in dict.fromkeys([*a.metrics, *b.metrics]):
        ours, theirs = a.metrics.get(name), b.metrics.get(name)
        if not _alike(ours, theirs):
            yield Difference(f"{a.name}/{name.removeprefix(f'{a.verb}/')}", ours, theirs)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
