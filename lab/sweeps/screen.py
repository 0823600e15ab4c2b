"""What a sweep tells while it runs: a line a finished job, and now and then one of progress with an estimate."""

from __future__ import annotations

import sys
import time
from collections import defaultdict

from lab.reports.tables import duration
from lab.stages.execute import say
from lab.sweeps.board import Board, Task
from lab.sweeps.plan import Job


class Screen:
    """Writes to stderr."""

    def __init__(self, slots: int):
        self.slots = slots
        self.live = sys.stderr.isatty()
        self.every = 0.3 if self.live else 60.0  # seconds; in a log file now and then
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._shown = time.monotonic()

    def took(self, task: Task, seconds: float) -> None:
        """A stage was computed in so many seconds; the estimate learns from it."""
        self._seconds[task.node.name].append(seconds)

    def say(self, text: str) -> None:
        self.clear()
        say(text)

    def finished(self, job: Job, board: Board) -> None:
        self.say(f"{self._counted(board)} {job.label}: done")

    def show(self, board: Board) -> None:
        """One line of progress: rewritten on a terminal, written every minute into a log."""
        if time.monotonic() - self._shown < self.every:
            return
        self._shown = time.monotonic()
        running = ", ".join(sorted(board.tasks[key].label for key in board.running))
        left = self.estimate(board)
        text = f"{self._counted(board)} {left + ' left: ' if left else ''}{running}"
        if self.live:
            print(f"\r\033[K{text[:160]}", end="", file=sys.stderr, flush=True)
        else:
            say(text)

    def clear(self) -> None:
        if self.live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def estimate(self, board: Board) -> str:
        """Time that is left, from what stages of the same name took; empty before the first has finished."""
        known = {name: sum(taken) / len(taken) for name, taken in self._seconds.items()}
        if not known:
            return ""
        usual = sum(known.values()) / len(known)
        total = sum(known.get(task.node.name, usual) for task in board.left())
        return f"about {duration(total / self.slots)}"

    def _counted(self, board: Board) -> str:
        ended = len(board.given_up | board.closed)
        return f"[{ended}/{len(board.jobs)} jobs, {len(board.left())} stages left]"
