"""SIGINT and SIGTERM ask a run to stop at the next safe place instead of ending it at once."""

from __future__ import annotations

import signal
import time
from typing import Any

from lab.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Remembers the first SIGINT or SIGTERM that comes inside `with STOP:`.

    A second SIGINT is an impatient user's and ends the run at once; within a second it counts as the same one, as a
    terminal and a launcher both hand it to every process.
    """

    def __init__(self) -> None:
        self.signum = 0
        self._heard_at = 0.0
        self._depth = 0

    def __enter__(self) -> None:
        self._depth += 1
        if self._depth > 1:  # a stage of a sweep in one process
            self.listen()
            return
        self.signum = 0
        self._before = {signum: signal.getsignal(signum) for signum in SIGNALS}
        self.listen()

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth:
            return
        for signum, handler in self._before.items():
            signal.signal(signum, handler if handler is not None else signal.SIG_DFL)
        self.signum = 0

    def listen(self) -> None:
        """(Re)install the handlers; Lightning replaces them at the start of every trainer call."""
        for signum in SIGNALS:
            signal.signal(signum, self._heard)

    def obey(self, where: str) -> None:
        """End the run here, if that was asked for.

        Raises:
            Interrupted: after a signal.
        """
        if self.signum:
            raise stopped(self.signum, where)

    def _heard(self, signum: int, _: Any) -> None:
        moment = time.monotonic()
        if self.signum and signum == signal.SIGINT and moment - self._heard_at > 1:
            raise Interrupted(signum, "stopped at once; the same command goes on from the last recovery checkpoint")
        self.signum, self._heard_at = signum, moment


def stopped(signum: int, where: str) -> Interrupted:
    """The error that ends a run after a signal."""
    return Interrupted(signum, f"stopped {where}; the same command goes on from there")


STOP = StopRequest()
"""One a process: signals are the process's, too."""
