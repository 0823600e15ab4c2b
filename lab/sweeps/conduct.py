"""The loop that works a sweep off: start what can start, note what became of it, enter finished jobs in their runs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Literal, Protocol

from lab.errors import UserError
from lab.stages.artefact import Artefact
from lab.stages.interruption import STOP, stopped
from lab.stages.record import RUN, RunRecord, load_run, run_id
from lab.stages.store import Store, now
from lab.sweeps.board import Board, Task
from lab.sweeps.executors import Executor, Outcome
from lab.sweeps.plan import Sweep
from lab.sweeps.planner import Planned, Planner
from lab.sweeps.screen import Screen

ATTEMPTS = 3
"""How often a stage is begun whose process dies under it."""
PATIENCE = 30.0
"""Seconds in which stages that are asked to stop write their recovery checkpoint."""


class Source(Protocol):
    """Where jobs come from while a sweep runs."""

    def more(self, free: int) -> list[Planned]:
        """Jobs to add now that `free` slots have nothing to do; empty when there are none, for now."""
        ...

    def finished(self, planned: Planned, state: Literal["done", "failed"]) -> None:
        """A job has ended."""
        ...

    def watch(self) -> list[Planned]:
        """Jobs to give up now, for what they have shown so far."""
        ...

    @property
    def pending(self) -> bool:
        """Whether more jobs may come without one finishing first."""
        ...


class Conductor:
    """One front process of a sweep."""

    def __init__(
        self,
        sweep: Sweep,
        planner: Planner,
        store: Store,
        executor: Executor,
        source: Source,
        screen: Screen,
        front: str,
    ):
        self.sweep, self.planner, self.store, self.executor = sweep, planner, store, executor
        self.source, self.screen, self.front = source, screen, front
        self.board = Board(lambda key: store.get(key) is not None)
        self._computed: dict[str, str] = {}  # stage -> the job that it was computed for
        self._begun: dict[str, float] = {}
        self._lost: Counter[str] = Counter()
        self._told: set[str] = set()
        self.changed = False
        """Whether there is anything that a report written before does not know."""

    def run(self, planned: Iterable[Planned]) -> None:
        """Work until every job is done, failed or pruned.

        Raises:
            Interrupted: after SIGINT or SIGTERM; stages that ran go on from their recovery checkpoint next time.
        """
        self.board.add(planned)
        for key, entry in self.sweep.entries().items():
            if entry["state"] in ("failed", "pruned") and key in self.board.tasks:
                self.board.fail(key)
        with STOP:
            try:
                while True:
                    self._step()
                    if STOP.signum:
                        raise stopped(STOP.signum, f"sweep {self.sweep.id}")
                    if self.board.idle and not self.board.complete and not self.source.pending:
                        break
            finally:
                self.screen.clear()
                STOP.listen()  # an impatient second Ctrl-C still works while workers stop
                self.executor.close(PATIENCE)
                self._release()

    def _step(self) -> None:
        if self.executor.free() and (new := self.source.more(self.executor.free())):
            self.sweep.add(each.job for each in new)
            self.board.add(new)
            self._told -= {each.job.id for each in new}
        self._start()
        self.screen.show(self.board)
        if self.board.complete:  # while the slots are at work
            self._close(self.board.complete.pop(0))
        for outcome in self.executor.wait(0.0 if self.board.complete else 0.5):
            self._note(outcome)
        for planned in self.source.watch():
            self._prune(planned)
        for job in self.board.given_up - self._told:
            self._told.add(job)
            self.source.finished(self.board.jobs[job], "failed")

    def _close(self, planned: Planned) -> None:
        new = close_job(planned, self.planner, self.store, self._computed)
        self.board.closed.add(planned.job.id)
        self.source.finished(planned, "done")
        if new:
            self.changed = True
            self.screen.finished(planned.job, self.board)

    def _prune(self, planned: Planned) -> None:
        self.changed = True
        self._told.add(planned.job.id)
        for key in self.board.prune(planned.job.id):
            self.executor.stop(key)
        for key in planned.job.stages.values():
            if key in self.board.tasks and key not in self.board.done and not self.board.wanted(key):
                self._enter(self.board.tasks[key], "pruned")
                break
        self.screen.say(f"{planned.job.label}: pruned")

    def _start(self) -> None:
        while self.executor.free():
            task = self.board.next()
            if task is None:
                return
            if task.devices > self.executor.free():  # it is the next; those after it wait with it
                self.board.give_back(task.key)
                return
            self._enter(task, "running")
            self._begun[task.key] = time.monotonic()
            self.executor.start(task, self.sweep.log(task.node.name, task.key))

    def _note(self, outcome: Outcome) -> None:
        task = self.board.tasks[outcome.key]
        if outcome.state == "done":
            self._computed[outcome.key] = task.job.id
            self.board.finish(outcome.key)
            self._enter(task, "done")
            self.screen.took(task, time.monotonic() - self._begun[outcome.key])
        elif outcome.state == "failed":
            self._fail(task, outcome.error)
        elif not self.board.wanted(outcome.key):
            self.board.running.discard(outcome.key)
            self._enter(task, "pruned")
        else:
            self._lost[outcome.key] += outcome.state == "lost"
            if self._lost[outcome.key] >= ATTEMPTS:
                self._fail(task, f"{outcome.error}, {ATTEMPTS} times")
            elif not STOP.signum:
                if outcome.state == "lost":
                    self.screen.say(f"{task.label}: {outcome.error}; it goes on in another one")
                self.board.give_back(outcome.key)

    def _fail(self, task: Task, error: str) -> None:
        self.changed = True
        self.board.fail(task.key)
        self._enter(task, "failed", error)
        self.screen.say(f"{task.label}: failed: {error} (log: {self.sweep.log(task.node.name, task.key)})")

    def _enter(self, task: Task, state: str, error: str = "") -> None:
        log = self.sweep.log(task.node.name, task.key).relative_to(self.sweep.path)
        content = {"stage": task.node.name, "job": task.job.id, "state": state, "error": error}
        self.sweep.enter(task.key, {**content, "log": str(log), "front": self.front, "at": now()})

    def _release(self) -> None:
        """What this process leaves unfinished is nobody's any more."""
        for key in self.board.running:
            with suppress(OSError):
                (self.sweep.path / "stages" / f"{key}.json").unlink(missing_ok=True)


def close_job(planned: Planned, planner: Planner, store: Store, computed: Mapping[str, str]) -> bool:
    """Write the run folder of a job whose artefacts are all there; False when that was done before and says the same.

    computed: artefact key -> id of the job for which it was computed just now.

    Raises:
        UserError: the experiment file was changed since the sweep was planned.
    """
    path = store.root / planned.job.id
    if (path / RUN).exists():
        before = load_run(path)
        if before["status"] == "finished" and before.get("wording") == planned.wording:
            return False
    resolved = planner.resolve(planned.job)
    if run_id(resolved.experiment) != planned.job.id:
        raise UserError(f"{planned.job.config} was changed while its sweep ran: give the same command again")
    artefacts = [Artefact(store.path(str(node.key))) for node in planned.nodes]
    newest = max(artefacts, key=lambda artefact: str(artefact.manifest["made"]["started"]))
    record = RunRecord.open(resolved, store.root, made_in=newest.manifest["made"]["environment"])
    for node, artefact in zip(planned.nodes, artefacts, strict=True):
        record.add(node, artefact, ran=computed.get(str(node.key)) == planned.job.id)
    record.finish("finished")
    return True
