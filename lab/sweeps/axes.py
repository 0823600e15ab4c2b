"""The axes of a sweep: what `--grid a=1,2 lr=1e-5..1e-2:log` says, and the settings that it stands for.

A setting is what distinguishes the jobs of a sweep besides the seed: dotted key -> value as YAML text, just as
`key=value` takes it. The key `profile` stands for `--profile`; its value `none` for no profile.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product as combinations
from typing import TypeAlias

from lab.config.reader import COMMAND_LINE, read_value, to_plain
from lab.errors import ConfigError, Problem, UserError
from lab.stages.seeds import derive

Setting: TypeAlias = dict[str, str]

PROFILE = "profile"


@dataclass(frozen=True)
class Choices:
    """`key=a,b,c`: one of these values."""

    key: str
    values: tuple[str, ...]

    def at(self, u: float) -> str:
        """The value at `u` in [0, 1); all are equally likely."""
        return self.values[int(u * len(self.values))]

    def __str__(self) -> str:
        return f"{self.key}={','.join(self.values)}"


@dataclass(frozen=True)
class Range:
    """`key=low..high`, both ends included; `:log` spreads evenly over the logarithm.

    integer: both ends were written as integers, and so are the values.
    """

    key: str
    low: float
    high: float
    log: bool = False
    integer: bool = False

    def at(self, u: float) -> str:
        """The value at `u` in [0, 1): uniform, or uniform in the logarithm; an integer stands for all that rounds to
        it."""
        low, high = (self.low - 0.5, self.high + 0.5) if self.integer else (self.low, self.high)
        value = math.exp(math.log(low) + u * math.log(high / low)) if self.log else low + u * (high - low)
        value = min(max(value, self.low), self.high)
        return number(round(value) if self.integer else value)

    def __str__(self) -> str:
        return f"{self.key}={number(self.low)}..{number(self.high)}{':log' if self.log else ''}"


Axis: TypeAlias = Choices | Range


def number(value: float) -> str:
    """The shortest text that reads back as exactly this number, as Python and as YAML.

    >>> number(1e-05), number(16)
    ('1e-05', '16')
    """
    return repr(value)


def parse(texts: Sequence[str]) -> list[Axis]:
    """The axes of `key=a,b` and `key=low..high[:log]`, in the order given.

    Commas inside brackets, braces and quotes belong to a value. A value that only looks like a range goes in quotes.

    Raises:
        ConfigError: with every axis that is malformed, empty or given twice.
    """
    axes: list[Axis] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    for text in texts:
        key, equals, values = text.partition("=")
        if not equals or key != key.strip() or not all(key.split(".")):
            problems.append(Problem(COMMAND_LINE, "", f"expected key=a,b or key=low..high, got '{text}'"))
            continue
        if key in seen:
            problems.append(Problem(COMMAND_LINE, key, "given twice; put all its values into one list"))
            continue
        seen.add(key)
        try:
            axes.append(_axis(key, _split(values)))
        except ConfigError as error:
            problems += error.problems
        except ValueError as error:
            problems.append(Problem(COMMAND_LINE, key, str(error)))
    if problems:
        raise ConfigError(problems)
    return axes


# A quoted text, which a value or a part of it begins with, or any one character.
_TOKEN = re.compile(r"""(?<![^\s,\[{:])(?:"(?:\\.|[^"\\])*"|'(?:''|[^'])*')|.""", re.DOTALL)


def _split(text: str) -> list[str]:
    """The pieces between the commas that stand outside brackets, braces and quotes."""
    pieces, depth = [""], 0
    for token in _TOKEN.findall(text):
        depth = max(0, depth + (token in ("[", "{")) - (token in ("]", "}")))
        if token == "," and not depth:
            pieces.append("")
        else:
            pieces[-1] += token
    return [piece.strip() for piece in pieces]


_NUMBER = r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
_LIKE_A_RANGE = re.compile(rf"{_NUMBER}\.\.")
_RANGE = re.compile(rf"(?P<low>{_NUMBER})\.\.(?P<high>{_NUMBER})(?P<log>:log)?")


def _axis(key: str, pieces: list[str]) -> Axis:
    """Raises ValueError or ConfigError with what is wrong."""
    if "" in pieces:
        raise ValueError("no value" if len(pieces) == 1 else "a value is empty: write null, or '' for an empty text")
    if any(_LIKE_A_RANGE.match(piece) for piece in pieces):
        if len(pieces) > 1:
            raise ValueError(f"a range stands alone, not in a list: '{','.join(pieces)}'")
        return _range(key, pieces[0])
    meanings: dict[str, str] = {}
    for piece in pieces:
        meaning = json.dumps(to_plain(read_value(piece, key)), sort_keys=True)
        if meaning in meanings:
            first = meanings[meaning]
            raise ValueError(f"'{piece}' is given twice" if piece == first else f"'{piece}' is the same as '{first}'")
        meanings[meaning] = piece
    return Choices(key, tuple(pieces))


def _range(key: str, text: str) -> Range:
    found = _RANGE.fullmatch(text)
    if not found:
        raise ValueError(f"a range is written low..high or low..high:log, got '{text}'")
    if key == PROFILE:
        raise ValueError(f"expected names of profiles, got the range '{text}'")
    ends, log = (found["low"], found["high"]), found["log"] is not None
    integer = all(re.fullmatch(r"[-+]?\d+", end) for end in ends)
    low, high = (int(end) if integer else float(end) for end in ends)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"'{text}' is larger than a float can be")
    if low >= high:
        raise ValueError(f"the lower end comes first and the ends differ: '{text}'")
    if log and low <= 0:
        raise ValueError(f"a logarithmic range needs a lower end above 0: '{text}'")
    return Range(key, low, high, log, integer)


def product(axes: Sequence[Axis]) -> list[Setting]:
    """All combinations, the last axis fastest; of no axes one empty setting.

    Raises:
        UserError: an axis is a range.
    """
    choices = [axis for axis in axes if isinstance(axis, Choices)]
    if ranges := [axis for axis in axes if isinstance(axis, Range)]:
        raise UserError(f"{ranges[0]}: a range needs --random or --search; a grid needs a list of values")
    return [
        dict(zip((axis.key for axis in choices), values, strict=True))
        for values in combinations(*(axis.values for axis in choices))
    ]


def draw(axes: Sequence[Axis], n: int, seed: int) -> list[Setting]:
    """`n` distinct random settings; all there are, if choices and integers combine to no more than that.

    The i-th draw of an axis depends on the seed, on i and on its key alone: a longer list begins with the shorter
    one, and one more axis leaves the values of the others as they were.
    """
    countable = [listed for axis in axes if (listed := _listed(axis))]
    if len(countable) == len(axes) and math.prod(len(axis.values) for axis in countable) <= n:
        return product(countable)
    found: dict[tuple[str, ...], None] = {}
    for index in range(1000 * n):  # most often n draws; more where few settings are left to find
        found[tuple(axis.at(_uniform(seed, index, axis.key)) for axis in axes)] = None
        if len(found) == n:
            break
    return [dict(zip((axis.key for axis in axes), values, strict=True)) for values in found]


def _listed(axis: Axis) -> Choices | None:
    """The axis as a list of values, unless it is a range of real numbers or a very long one."""
    if isinstance(axis, Choices):
        return axis
    if not axis.integer or axis.high - axis.low > 10**5:
        return None
    return Choices(axis.key, tuple(number(value) for value in range(int(axis.low), int(axis.high) + 1)))


def _uniform(seed: int, index: int, key: str) -> float:
    """A number in [0, 1) with the 53 bits of a float."""
    return (derive(seed, "draw", index, key) >> 10) / 2**53


def label(setting: Setting) -> str:
    """The setting as it would be typed: `data.rho=0.98 stages.erm.module.lr=1e-3`."""
    return " ".join(f"{key}={value}" for key, value in setting.items())


def labels(settings: Sequence[Setting]) -> list[str]:
    """Labels for a table: of each key only the end that no other key of these settings shares."""
    keys = list(dict.fromkeys(key for setting in settings for key in setting))
    names = {key: _short(key, keys) for key in keys}
    return [label({names[key]: value for key, value in setting.items()}) for setting in settings]


def _short(key: str, keys: Sequence[str]) -> str:
    parts = key.split(".")
    ends = [".".join(parts[-length:]) for length in range(1, len(parts))]
    return next((end for end in ends if sum(f".{other}".endswith(f".{end}") for other in keys) == 1), key)
