"""From a request to jobs, each with its stages and their artefact keys. No torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lab.config import Resolved
from lab.errors import UserError
from lab.stages.graph import Node, hash_of, plan, runs_dir
from lab.stages.loggers import NOBODY, Tracking
from lab.stages.record import identify
from lab.sweeps import axes
from lab.sweeps.family import Family
from lab.sweeps.plan import SWEEPS, Job, Request, Sweep


@dataclass(frozen=True)
class Planned:
    """A job; its stages, inputs first; the metrics that lead its results; who else hears of it; a hash of its texts."""

    job: Job
    nodes: Sequence[Node]
    headline: Sequence[str] = ()
    tracking: Tracking = NOBODY
    wording: str = ""


class Planner:
    """Turns the settings and seeds of a request into jobs.

    Raises:
        ConfigError: an experiment, or one of its settings, is wrong.
    """

    def __init__(self, request: Request):
        self.request = request
        self.axes = axes.parse(request.grid)
        own = [*(axis.key for axis in self.axes), *(override.partition("=")[0] for override in request.overrides)]
        if request.seeds and "seed" in own:
            raise UserError("--seeds and seed= contradict each other; leave one out")
        self._families: dict[str, Family] = {}
        self._fingerprints: dict[str, str | None] = {}
        self.runs: Path | None = None
        """The folder of runs; known once a job was planned."""

    def settings(self) -> list[dict[str, str]]:
        """The settings that are known beforehand: of a grid or of random draws; of a search none."""
        if self.request.search:
            return []
        if self.request.random:
            return axes.draw(self.axes, self.request.random, seed=0)
        return axes.product(self.axes)

    def plan(
        self, settings: Sequence[Mapping[str, str]], seeds: Sequence[int], trial: int | None = None
    ) -> list[Planned]:
        """Every experiment at every setting with every seed, seed by seed, so that pairs are complete early.

        Raises:
            DataError: a data set is absent or damaged. ConfigError: a setting is wrong.
        """
        rounds: list[dict[str, str]] = [{"seed": str(seed)} for seed in seeds] or [{}]
        asked = [{**setting, **seed} for seed in rounds for setting in settings]
        found: dict[str, Planned] = {}
        for row in zip(*(self._of(config, asked, trial) for config in self.request.configs), strict=True):
            for planned in row:
                found.setdefault(planned.job.id, planned)
        return list(found.values())

    def resolve(self, job: Job) -> Resolved:
        """The job's experiment with the origins of its values."""
        asked = {**job.setting, **({"seed": str(job.seed)} if self.request.seeds else {})}
        return self._family(job.config, asked).resolve(asked)

    def _family(self, config: str, first: Mapping[str, str]) -> Family:
        if config not in self._families:
            self._families[config] = Family(config, self.request.profiles, self.request.overrides, first)
        return self._families[config]

    def _of(self, config: str, asked: Sequence[Mapping[str, str]], trial: int | None) -> list[Planned]:
        made = []
        tracking = NOBODY
        for setting, experiment in zip(asked, self._family(config, asked[0]).members(asked), strict=True):
            if tuple(dict.fromkeys(experiment.loggers)) != tracking.loggers:
                tracking = Tracking.of(experiment)
            nodes = plan(experiment, prepare=True, fingerprints=self._fingerprints)
            self.runs = runs_dir(experiment)
            own = {key: value for key, value in setting.items() if key != "seed" or not self.request.seeds}
            keys = {node.name: str(node.key) for node in nodes}
            identity, wording = identify(experiment)
            job = Job(identity, config, experiment.name, own, experiment.seed, keys, trial)
            heard = replace(tracking, run=job.id)
            made.append(Planned(job, nodes, experiment.report.headline, heard, wording))
        return made


def sweep_of(request: Request, planned: Iterable[Planned], runs: Path) -> Sweep:
    """The folder of that request: the same request for the same experiments is the same sweep."""
    jobs = [each.job for each in planned]
    names = list(dict.fromkeys(job.name for job in jobs))
    name = names[0] if len(names) == 1 else f"{names[0]}+{len(names) - 1}"
    asked = {**asdict(request), "configs": names}
    digest = hash_of(json.loads(json.dumps({"request": asked, "jobs": [job.id for job in jobs]})))[:8]
    return Sweep((runs / SWEEPS / f"{name}-{digest}").resolve())
