"""SIGINT and SIGTERM ask a run to stop at the next safe place instead of ending it at once."""

from __future__ import annotations

import signal
from typing import Any


class StopRequest:
    """Remembers the first SIGINT or SIGTERM. A second SIGINT is an impatient user: it ends the run at once."""

    def __init__(self) -> None:
        self.signum = 0

    def listen(self) -> None:
        """(Re)install the handlers; Lightning replaces them at the start of every trainer call."""
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self._heard)

    def _heard(self, signum: int, _: Any) -> None:
        if self.signum and signum == signal.SIGINT:
            raise KeyboardInterrupt
        self.signum = signum


STOP = StopRequest()
"""One a process: signals are the process's, too."""
