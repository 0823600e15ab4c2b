"""Which stages of a sweep are left, which of them can start, and which jobs that completes. No torch, no files."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lab.stages.graph import Node
from lab.stages.loggers import NOBODY, Tracking
from lab.sweeps.plan import Job
from lab.sweeps.planner import Planned


@dataclass(frozen=True)
class Task:
    """A stage to compute, once for all jobs that need it. job: the first of these; tracking: that job's loggers."""

    key: str
    node: Node
    job: Job
    tracking: Tracking = NOBODY

    @property
    def devices(self) -> int:
        """Slots that it takes."""
        assert self.node.stage.trainer is not None
        return self.node.stage.trainer.devices

    @property
    def label(self) -> str:
        return f"{self.node.name} of {self.job.label}"


class Board:
    """The distinct stages of many jobs as one graph.

    cached: whether the artefact of a key is in the store already.
    """

    def __init__(self, cached: Callable[[str], bool]):
        self._cached = cached
        self.jobs: dict[str, Planned] = {}
        self.tasks: dict[str, Task] = {}
        """Those that were not cached when their first job came, in the order of the jobs and their stages."""
        self.done: set[str] = set()
        self.failed: set[str] = set()
        self.running: set[str] = set()
        self.given_up: set[str] = set()
        """Ids of jobs that failed or were pruned."""
        self.complete: list[Planned] = []
        """Jobs all of whose stages are there; taken out by whoever enters them into their run's record."""
        self.closed: set[str] = set()
        """Ids of jobs that were taken out of `complete` and are entered."""
        self._left: dict[str, int] = {}  # job -> stages that are missing
        self._wanted_by: dict[str, list[str]] = defaultdict(list)
        self._missing: dict[str, set[str]] = {}  # task -> inputs that are missing
        self._dependents: dict[str, list[str]] = defaultdict(list)
        self._order: dict[str, int] = {}
        self._ready: list[tuple[int, str]] = []

    def add(self, planned: Iterable[Planned]) -> None:
        """Take jobs up. One that is known and complete is complete again, for whoever asked a second time."""
        for each in planned:
            job = each.job
            if job.id in self.jobs:
                if job.id in self.closed:
                    self.complete.append(each)
                continue
            self.jobs[job.id] = each
            left = 0
            for node in each.nodes:
                key = str(node.key)
                if key not in self.tasks and key not in self.done:
                    if self._cached(key):
                        self.done.add(key)
                    else:
                        self._enter(Task(key, node, job, each.tracking))
                if key not in self.done:
                    self._wanted_by[key].append(job.id)
                    left += 1
            self._left[job.id] = left
            if any(key in self.failed for key in job.stages.values()):
                self.given_up.add(job.id)
            elif not left:
                self.complete.append(each)

    def _enter(self, task: Task) -> None:
        self.tasks[task.key] = task
        self._order[task.key] = len(self._order)
        missing = {key for key in task.node.material["inputs"].values() if key not in self.done}
        self._missing[task.key] = missing
        for key in missing:
            self._dependents[key].append(task.key)
        if not missing:
            self._push(task.key)

    def _push(self, key: str) -> None:
        heapq.heappush(self._ready, (self._order[key], key))

    def next(self) -> Task | None:
        """The first stage that can start and that a job still wants; it counts as running from now on."""
        while self._ready:
            _, key = heapq.heappop(self._ready)
            if self.wanted(key):
                self.running.add(key)
                return self.tasks[key]
        return None

    def give_back(self, key: str) -> None:
        """A stage that was started goes back to those that can start."""
        self.running.discard(key)
        self._push(key)

    def finish(self, key: str) -> None:
        """A stage's artefact is in the store."""
        self.running.discard(key)
        self.done.add(key)
        for other in self._dependents.pop(key, ()):
            self._missing[other].discard(key)
            if not self._missing[other]:
                self._push(other)
        for job in self._wanted_by.pop(key, ()):
            self._left[job] -= 1
            if not self._left[job] and job not in self.given_up:
                self.complete.append(self.jobs[job])

    def fail(self, key: str) -> None:
        """A stage can't be computed: the jobs that need it are given up."""
        self.running.discard(key)
        self.failed.add(key)
        self.given_up.update(self._wanted_by.get(key, ()))

    def prune(self, job: str) -> list[str]:
        """Give a job up; returns the running stages that nobody wants any more."""
        self.given_up.add(job)
        return [key for key in self.running if not self.wanted(key)]

    def wanted(self, key: str) -> bool:
        return any(job not in self.given_up for job in self._wanted_by.get(key, ()))

    def left(self) -> list[Task]:
        """The stages that are neither done nor given up."""
        return [task for key, task in self.tasks.items() if key not in self.done and self.wanted(key)]

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing can start."""
        return not self.running and not any(self.wanted(key) for _, key in self._ready)
