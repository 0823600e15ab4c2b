"""The errors that users meet. Each prints as one clear line (or one line a problem) and has an exit status.

Import-light on purpose: the CLI loads this module before anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches


class LabError(Exception):
    """Base of all errors that `lab` raises on purpose; the CLI prints them without a traceback."""

    exit_status = 1


class UserError(LabError):
    """Something the user gave is wrong (an option, a name, a file): says what, where and what to do."""

    exit_status = 2


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a configuration.

    `where` is `file:line` or `command line`; `key` the dotted key; `message` what is wrong and what would be right.
    """

    where: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key}: {self.message}" if self.key else f"{self.where}: {self.message}"


class ConfigError(UserError):
    """Every problem of a configuration at once, one line each."""

    def __init__(self, problems: Sequence[Problem]):
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UnknownName(UserError):
    """A name that nothing is registered under."""

    def __init__(self, kind: str, name: str, known: Sequence[str]):
        self.kind, self.name, self.known = kind, name, tuple(known)
        super().__init__(f"unknown {kind} '{name}'{did_you_mean(name, known)}")


class DataError(UserError):
    """A data set that is absent, incomplete or damaged: which file or column, and what to do."""


class KernelError(UserError, ValueError):
    """An option or an array that a kernel method can't work with; a `ValueError` too, as scikit-learn asks."""


class StageFailed(UserError):
    """A stage stopped for a reason the user can act on (diverged loss, disk full)."""


class Interrupted(LabError):
    """SIGINT or SIGTERM ended the run cleanly; the same command resumes it."""

    def __init__(self, signum: int, message: str):
        self.exit_status = 128 + signum
        super().__init__(message)


def did_you_mean(name: str, known: Sequence[str], most: int = 3) -> str:
    """`'; did you mean …?'` with the nearest names, or the whole list when it is short, or nothing."""
    near = get_close_matches(name, known, n=most, cutoff=0.5)
    if near:
        return "; did you mean " + " or ".join(f"'{n}'" for n in near) + "?"
    if 0 < len(known) <= 12:
        return "; known: " + ", ".join(sorted(known))
    return ""
