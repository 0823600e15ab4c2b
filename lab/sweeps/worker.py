"""A process that computes stages, one after the other, so that torch is loaded once and not for every stage."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import NamedTemporaryFile

from lab import env
from lab.errors import Interrupted, LabError
from lab.stages.artefact import Artefact
from lab.stages.interruption import STOP
from lab.stages.store import Store
from lab.stages.world import end_with_parent, launch
from lab.sweeps.board import Task
from lab.sweeps.executors import Outcome, one_line
from lab.sweeps.machine import Slot


def compute(task: Task, store: Store, slot: Slot | None = None) -> None:
    """Have the artefact of a stage in the store.

    slot: where; its threads are not exceeded. Under a launcher this is called on every rank.
    """
    from lab.stages.execute import ensure, set_threads
    from lab.stages.world import join

    trainer = task.node.stage.trainer
    assert trainer is not None
    if slot is not None:
        # What a slot has is its share of the machine; loading processes are part of it.
        share = max(1, slot.threads // trainer.devices)
        trainer = replace(
            trainer, threads=min(trainer.threads or share, share), workers=min(trainer.workers, share - 1)
        )
    world = join(trainer.devices, trainer.nodes)
    set_threads(trainer, world)
    node = replace(task.node, stage=replace(task.node.stage, trainer=trainer))
    inputs = {role: Artefact(store.path(key)) for role, key in node.material["inputs"].items()}
    with STOP:
        ensure(node, inputs, store, world, task.label, tracking=task.tracking)


def main(connection: Connection, slot: Slot, root: Path, general_log: Path) -> None:
    """Serve tasks (each with the path of its log and the slots it takes) until the connection closes."""
    parent = os.getppid()
    end_with_parent()
    if os.getppid() != parent:  # it died before that took effect
        return
    os.setpgid(0, 0)  # Ctrl-C is for the front process, which asks its workers to stop
    signal.signal(signal.SIGTERM, _leave)
    _environment(slot)
    store = Store(root)
    with general_log.open("ab") as handle:
        os.dup2(handle.fileno(), 1)
        os.dup2(handle.fileno(), 2)
    while True:
        try:
            task, log, taken = connection.recv()
        except EOFError:
            return
        with _output(log):
            outcome = _outcome(task, store, taken)
        try:
            connection.send((outcome, _resident_mib()))
        except OSError:  # the front process is gone
            return


def _outcome(task: Task, store: Store, slots: list[Slot]) -> Outcome:
    share = replace(slots[0], threads=sum(slot.threads for slot in slots))
    try:
        if task.devices > 1:
            return _launched(task, store, slots, share)
        compute(task, store, share)
    except Interrupted as stop:
        return Outcome(task.key, "interrupted", str(stop))
    except Exception as error:
        if not isinstance(error, LabError) or env.TRACEBACK.get():
            traceback.print_exc()
        print(f"lab: error: {error}", file=sys.stderr, flush=True)
        return Outcome(task.key, "failed", one_line(error))
    return Outcome(task.key, "done")


def _launched(task: Task, store: Store, slots: list[Slot], share: Slot) -> Outcome:
    """Compute a stage on several devices, in processes of their own."""
    if slots[0].gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(str(slot.gpu) for slot in slots)
    try:
        with NamedTemporaryFile(suffix=".task") as handle:
            handle.write(pickle.dumps((task, store.root, share)))
            handle.flush()
            status = launch(task.devices, [sys.executable, "-m", "lab.sweeps.worker", handle.name])
    finally:
        _environment(slots[0])
    if status in (128 + signal.SIGTERM, 128 + signal.SIGINT):
        return Outcome(task.key, "interrupted", "stopped")
    return Outcome(task.key, "failed", f"exit status {status}, see the log") if status else Outcome(task.key, "done")


def _environment(slot: Slot) -> None:
    os.environ["OMP_NUM_THREADS"] = str(slot.threads)  # before torch is loaded
    if slot.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = slot.gpu


def _leave(signum: int, _: object) -> None:
    raise SystemExit(128 + signum)


@contextmanager
def _output(log: Path) -> Iterator[None]:
    """Send what is printed, by whatever means, to a file."""
    kept = os.dup(1), os.dup(2)
    with log.open("ab") as handle:
        os.dup2(handle.fileno(), 1)
        os.dup2(handle.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)


def _resident_mib() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def rank(path: str) -> int:
    """One process of a stage on several devices."""
    task, root, share = pickle.loads(Path(path).read_bytes())
    try:
        compute(task, Store(root), share)
    except Interrupted as stop:
        print(f"lab: {stop}", file=sys.stderr)
        return stop.exit_status
    except LabError as error:
        print(f"lab: error: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(rank(sys.argv[1]))
