"""Where the stages of a sweep are computed. An executor has slots; a slot computes one stage at a time."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal, Protocol

from lab.errors import Interrupted, LabError, UserError, did_you_mean
from lab.stages.store import Store
from lab.sweeps.board import Task
from lab.sweeps.machine import Slot

EXECUTORS = {
    "debug": ("lab.sweeps.executors:Debug", "in this process, one stage after the other, with tracebacks"),
    "local": ("lab.sweeps.local:Local", "processes on this machine: one a GPU, or as many as the cores allow"),
}
"""name -> (class, a line of explanation)."""


@dataclass(frozen=True)
class Outcome:
    """What became of a stage. `lost`: its process died under it; `interrupted`: it stopped where it can go on."""

    key: str
    state: Literal["done", "failed", "interrupted", "lost"]
    error: str = ""


class Executor(Protocol):
    """Computes stages in slots of a kind. Made from the slots and the store."""

    def free(self) -> int:
        """Slots that could take a stage now."""
        ...

    def start(self, task: Task, log: Path) -> None:
        """Begin to compute a stage whose inputs are in the store; what it prints goes to `log`."""
        ...

    def wait(self, seconds: float) -> list[Outcome]:
        """What became of stages that were started; returns as soon as there is something to tell."""
        ...

    def stop(self, key: str) -> None:
        """Ask a stage to stop at the next safe place."""
        ...

    def close(self, patience: float) -> None:
        """Stop everything; what has not stopped after `patience` seconds is killed."""
        ...


def executor(name: str, slots: list[Slot], store: Store) -> Executor:
    """The executor of that name.

    Raises:
        UserError: there is none.
    """
    if name not in EXECUTORS:
        raise UserError(f"unknown executor '{name}'{did_you_mean(name, list(EXECUTORS))}")
    module, _, cls = EXECUTORS[name][0].partition(":")
    made: Executor = getattr(import_module(module), cls)(slots, store)
    return made


class Debug:
    """One stage after the other in this process, so that a debugger sees them; tracebacks go to the terminal."""

    def __init__(self, slots: list[Slot], store: Store):
        self.store = store
        self._outcomes: list[Outcome] = []

    def free(self) -> int:
        return 0 if self._outcomes else 1

    def start(self, task: Task, log: Path) -> None:
        from lab.sweeps.worker import compute

        try:
            compute(task, self.store)
        except Interrupted:
            raise
        except Exception as error:
            traceback.print_exc()
            log.write_text(traceback.format_exc())
            self._outcomes.append(Outcome(task.key, "failed", one_line(error)))
        else:
            self._outcomes.append(Outcome(task.key, "done"))

    def wait(self, seconds: float) -> list[Outcome]:
        found, self._outcomes = self._outcomes, []
        return found

    def stop(self, key: str) -> None:
        """Nothing runs while this could be called."""

    def close(self, patience: float) -> None:
        """Nothing to close."""


def one_line(error: BaseException) -> str:
    """What a table says of an error; the log has the rest."""
    first = str(error).strip().partition("\n")[0]
    return first if isinstance(error, LabError) and first else f"{type(error).__name__}: {first}"
