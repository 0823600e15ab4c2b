"""Where the jobs of a sweep come from while it runs: all from the plan, or from what was found so far."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from lab.reports.figures import read_curves
from lab.reports.groups import Group
from lab.reports.statistics import Estimate
from lab.reports.tables import is_share
from lab.stages.artefact import CURVES
from lab.stages.store import Store
from lab.sweeps import axes
from lab.sweeps.plan import Job, Sweep
from lab.sweeps.planner import Planned, Planner
from lab.sweeps.search import Study, Trial

Ended = Literal["done", "failed"]


def value_of(job: Job, metric: str, store: Store) -> float:
    """A metric of a finished job, written `stage/metric`; NaN when the stage has none of that name."""
    return Group.of(store.root / job.id).values(metric).get(job.seed, math.nan)


def study_of(sweep: Sweep) -> Study:
    """The study of a sweep that searches.

    Raises:
        UserError: Optuna is missing, a name is unknown.
    """
    request = sweep.request
    assert request.search is not None
    return Study.open(
        sweep.path,
        axes.parse(request.grid),
        sampler=request.search,
        direction=request.direction,
        trials=request.trials,
        pruner=request.pruner,
    )


class Fixed:
    """Every job is in the plan."""

    pending = False

    def more(self, free: int) -> list[Planned]:
        return []

    def finished(self, planned: Planned, state: Ended) -> None:
        """Nothing follows from it."""

    def watch(self) -> list[Planned]:
        return []


class Until(Fixed):
    """Adds seeds to each setting until the 95 % interval of its metrics is narrow enough.

    half_width: of the interval; of shares (accuracies) in percentage points. That the number of seeds depends on what
    was found makes the interval a little too narrow; the report says how many seeds there are.
    """

    def __init__(self, planner: Planner, store: Store, metrics: Sequence[str], half_width: float, most: int):
        self.planner, self.store, self.metrics = planner, store, tuple(metrics)
        self.half_width, self.most = half_width, most
        self._done: dict[tuple[str, str], list[Job]] = defaultdict(list)
        self._running: dict[tuple[str, str], int] = defaultdict(int)
        self._next: list[Planned] = []

    def expect(self, planned: Sequence[Planned]) -> None:
        """Jobs that are in the plan."""
        for each in planned:
            self._running[_place(each.job)] += 1

    def more(self, free: int) -> list[Planned]:
        found, self._next = self._next, []
        self.expect(found)
        return found

    def finished(self, planned: Planned, state: Ended) -> None:
        place = _place(planned.job)
        self._running[place] -= 1
        if state == "done":
            self._done[place].append(planned.job)
        jobs = self._done[place]
        if self._running[place] or not jobs or len(jobs) >= self.most or self.narrow(jobs):
            return
        seed = max(job.seed for job in jobs) + 1
        added = self.planner.plan([dict(planned.job.setting)], [seed])
        self._next += [each for each in added if _place(each.job) == place]

    def narrow(self, jobs: Sequence[Job]) -> bool:
        """Whether every metric is known well enough."""
        for metric in self.metrics:
            values = [value_of(job, metric, self.store) for job in jobs]
            half = Estimate(tuple(values)).half if all(map(math.isfinite, values)) else None
            if half is None or half * (100 if is_share(metric) else 1) > self.half_width:
                return False
        return True

    @property
    def pending(self) -> bool:  # type: ignore[override]
        return bool(self._next)


class Search(Fixed):
    """Asks a study for settings, runs each with every seed, and tells it the mean of the metric."""

    def __init__(self, planner: Planner, store: Store, study: Study, metric: str, seeds: Sequence[int], parallel: int):
        self.planner, self.store, self.study = planner, store, study
        self.metric, self.seeds, self.parallel = metric, seeds, parallel
        self._trials: dict[int, tuple[Trial, dict[str, Planned]]] = {}
        self._ended: dict[int, dict[str, Ended]] = {}
        self._exhausted = False

    @property
    def pending(self) -> bool:  # type: ignore[override]
        return not self._exhausted

    def more(self, free: int) -> list[Planned]:
        added: list[Planned] = []
        while free > len(added) and len(self._trials) < self.parallel:
            trial = self.study.ask()
            if trial is None:
                self._exhausted = not self._trials
                break
            planned = self.planner.plan([trial.setting], self.seeds, trial=trial.number)
            self._trials[trial.number] = trial, {each.job.id: each for each in planned}
            self._ended[trial.number] = {}
            added += planned
        return added

    def finished(self, planned: Planned, state: Ended) -> None:
        for number, (trial, jobs) in list(self._trials.items()):
            if planned.job.id not in jobs:
                continue
            self._ended[number][planned.job.id] = state
            if len(self._ended[number]) < len(jobs):
                continue
            del self._trials[number]
            if "failed" in self._ended[number].values():
                self.study.failed(trial, "a stage failed")
            else:
                values = [value_of(each.job, self.metric, self.store) for each in jobs.values()]
                self.study.tell(trial, sum(values) / len(values))

    def watch(self) -> list[Planned]:
        """Jobs of trials that look hopeless, by the metric's curve with the first seed."""
        given_up: list[Planned] = []
        stage, _, name = self.metric.partition("/")
        for number, (trial, jobs) in list(self._trials.items()):
            first = next(iter(jobs.values()))
            path = self.store.root / "work" / first.job.stages[stage] / CURVES
            if not path.exists():
                continue
            steps, values = read_curves(path).get(name, ([], []))
            if any(self.study.report(trial, int(s), v) for s, v in zip(steps, values, strict=True)):
                self.study.pruned(trial)
                del self._trials[number]
                given_up += jobs.values()
        return given_up


def _place(job: Job) -> tuple[str, str]:
    return job.config, repr(sorted(job.setting.items()))
