"""Worker processes on this machine, one a slot."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from lab.stages.store import Store
from lab.sweeps.board import Task
from lab.sweeps.executors import Outcome
from lab.sweeps.machine import Slot
from lab.sweeps.worker import main

ROOM = 0.5
"""Share of a slot's memory after which its process is replaced: what torch once took it seldom gives back."""


@dataclass
class _Worker:
    process: SpawnProcess
    connection: Connection
    slots: list[Slot]
    task: Task | None = None


class Local:
    """Processes that live as long as the sweep. One that dies is replaced; its stage is reported as lost.

    A stage on several devices takes as many slots and runs in processes of its own, started by the first slot's.
    """

    def __init__(self, slots: list[Slot], store: Store):
        self.slots, self.store = slots, store
        self._workers: dict[int, _Worker] = {}
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
        self._most = ROOM * memory / len(slots)

    def free(self) -> int:
        return len(self._free())

    def _free(self) -> list[Slot]:
        taken = {slot.index for worker in self._workers.values() if worker.task for slot in worker.slots}
        return [slot for slot in self.slots if slot.index not in taken]

    def start(self, task: Task, log: Path) -> None:
        slots = self._free()[: task.devices]
        assert len(slots) == task.devices
        first = slots[0].index
        if first not in self._workers:
            self._workers[first] = self._spawn(slots[0], log.parent / f"worker-{first}.log")
        worker = self._workers[first]
        worker.task, worker.slots = task, slots
        with suppress(OSError):  # it died between two stages; `wait` finds that out
            worker.connection.send((task, log, slots))

    def _spawn(self, slot: Slot, log: Path) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=main, args=(theirs, slot, self.store.root, log), name=f"slot {slot.index}")
        process.start()
        theirs.close()
        return _Worker(process, ours, [slot])

    def wait(self, seconds: float) -> list[Outcome]:
        busy = {worker.connection: worker for worker in self._workers.values() if worker.task}
        found = []
        for ready in wait(list(busy), timeout=seconds):
            worker = busy[ready]  # type: ignore[index]
            task = worker.task
            assert task is not None
            try:
                outcome, resident = worker.connection.recv()
            except (EOFError, OSError):
                outcome, resident = self._lost(worker, task), 0.0
            worker.task = None
            if outcome.state == "lost" or resident > self._most:
                self._end(worker)
            found.append(outcome)
        return found

    def _lost(self, worker: _Worker, task: Task) -> Outcome:
        worker.process.join(10)
        code = worker.process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            hint = ", probably for want of memory" if name == "SIGKILL" else ""
            return Outcome(task.key, "lost", f"its process was ended by {name}{hint}")
        return Outcome(task.key, "lost", f"its process ended with status {code}")

    def _end(self, worker: _Worker) -> None:
        worker.connection.close()
        worker.process.join(10)
        if worker.process.is_alive():
            worker.process.kill()
        self._workers = {index: other for index, other in self._workers.items() if other is not worker}

    def stop(self, key: str) -> None:
        for worker in self._workers.values():
            if worker.task and worker.task.key == key:
                self._signal(worker, signal.SIGTERM)

    def close(self, patience: float) -> None:
        for worker in self._workers.values():
            if worker.task:
                self._signal(worker, signal.SIGTERM)
            else:
                worker.connection.close()
        deadline = time.monotonic() + patience
        for worker in self._workers.values():
            if worker.task and worker.connection.poll(max(0.0, deadline - time.monotonic())):
                worker.connection.close()
        for worker in self._workers.values():
            worker.connection.close()
            worker.process.join(max(0.5, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._workers = {}

    @staticmethod
    def _signal(worker: _Worker, signum: int) -> None:
        if worker.process.pid is not None and worker.process.is_alive():
            os.kill(worker.process.pid, signum)
