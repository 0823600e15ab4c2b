"""Sums of recorded metrics, as claims write them: `a_test/accuracy`, `a/x - b/x`, `0.5 * a/x + b/y`.

Every stage has two besides what it logs: `STAGE/seconds`, those that computing it took, and `STAGE/time`, the seconds
of everything that had to run for the model that it is or evaluates (see `lab.reports.results.Results.spent`).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

SECONDS, TIME = "seconds", "time"

_NAME = re.compile(r"(?P<stage>[A-Za-z0-9][A-Za-z0-9_-]*)/(?P<metric>[^\s*]+)")


@dataclass(frozen=True)
class Term:
    """`factor` times a metric of a stage."""

    factor: float
    stage: str
    metric: str

    @property
    def name(self) -> str:
        return f"{self.stage}/{self.metric}"


def parse(text: str) -> tuple[Term, ...]:
    """The terms of a linear expression.

    Terms are `stage/metric` or `number * stage/metric`, joined by + and -. Operators stand between spaces, so that
    names may hold hyphens; the first term may have a sign before it.

    Raises:
        ValueError: it is not written so; the message says which word can't be read.
    """
    words = text.split()
    terms: list[Term] = []
    sign, place = 1.0, 0
    if words and words[0] in ("+", "-"):
        sign, place = _sign(words[0]), 1
    while True:
        factor = 1.0
        if place + 1 < len(words) and words[place + 1] == "*":
            factor, place = _number(words[place]), place + 2
        found = _NAME.fullmatch(words[place]) if place < len(words) else None
        if found is None:
            raise ValueError(_refusal(words[place] if place < len(words) else "its end"))
        terms.append(Term(sign * factor, found["stage"], found["metric"]))
        place += 1
        if place == len(words):
            return tuple(terms)
        if words[place] not in ("+", "-"):
            raise ValueError(_refusal(words[place]))
        sign, place = _sign(words[place]), place + 1


def _sign(word: str) -> float:
    return -1.0 if word == "-" else 1.0


def _number(word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        raise ValueError(_refusal(word)) from None
    if not math.isfinite(number):
        raise ValueError(_refusal(word))
    return number


def _refusal(word: str) -> str:
    shown = word if word == "its end" else f"'{word}'"
    return f"can't read {shown}: write `stage/metric` or `0.5 * stage/metric`, joined by + or - with spaces around them"
