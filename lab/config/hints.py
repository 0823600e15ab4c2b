"""What a type hint of a configuration dataclass accepts, and how a message says it."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def field_hints(cls: Any) -> tuple[tuple[dataclasses.Field[Any], Any], ...]:
    """The fields of a dataclass that its constructor takes, with their evaluated hints."""
    return _field_hints(cls)


@cache
def _field_hints(cls: Any) -> tuple[tuple[dataclasses.Field[Any], Any], ...]:
    hints = get_type_hints(cls)
    return tuple((field, hints[field.name]) for field in dataclasses.fields(cls) if field.init)


def members(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a union; any other hint alone."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def accepts_none(hint: Any) -> bool:
    return hint is Any or type(None) in members(hint)


def nested_class(hint: Any) -> type[Any] | None:
    """The dataclass of a `Config` or `Config | None` hint."""
    some = [member for member in members(hint) if member is not type(None)]
    return some[0] if len(some) == 1 and dataclasses.is_dataclass(some[0]) else None  # type: ignore[return-value]


def element_class(hint: Any) -> type[Any] | None:
    """The dataclass of a `list[Config]` or `dict[str, Config]` hint."""
    if get_origin(hint) in (list, dict) and dataclasses.is_dataclass(get_args(hint)[-1]):
        return get_args(hint)[-1]  # type: ignore[no-any-return]
    return None


def convert(hint: Any, value: Any) -> Any:
    """A YAML value as the hint wants it; strings convert to numbers where OmegaConf converts them.

    Raises:
        ValueError: it doesn't fit. The message is `expected(hint)`.
    """
    some = tuple(member for member in members(hint) if member is not type(None))
    if value is None and accepts_none(hint):
        return None
    if any(value is choice or (type(value) is type(choice) and value == choice) for choice in _choices(some)):
        return value
    if type(value) in some:
        return value
    if len(some) == 1 and get_origin(some[0]) is Literal:
        for choice in _choices(some):  # precision: 32 means the choice '32'
            if str(value) == str(choice) and not isinstance(value, bool):
                return choice
    if type(value) is int and float in some and int not in some:
        return float(value)
    if type(value) is float and some == (int,) and value.is_integer():
        return int(value)  # max_steps: 1e5
    if isinstance(value, (bool, float)) and some == (str,):
        raise ValueError(f"{expected(hint)} in quotes")  # 1.10 has already become 1.1
    from omegaconf import OmegaConf  # late: most values are what they should be
    from omegaconf.errors import OmegaConfBaseException

    try:
        typed = OmegaConf.structured(_slot(hint))
        OmegaConf.update(typed, "value", value)
        return OmegaConf.to_object(typed).value  # type: ignore[union-attr]
    except OmegaConfBaseException:
        raise ValueError(expected(hint)) from None


@cache
def _slot(hint: Any) -> type[Any]:
    """A dataclass of one value, to have OmegaConf check and convert it."""
    return dataclasses.make_dataclass("Slot", [("value", hint, dataclasses.field(default="???"))])


def _choices(hints: tuple[Any, ...]) -> Iterator[Any]:
    for hint in hints:
        if get_origin(hint) is Literal:
            yield from get_args(hint)


def finite(value: Any) -> bool:
    """Whether no number in a value is NaN or infinite."""
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(finite, value))
    return not isinstance(value, float) or math.isfinite(value)


_WORDS: dict[Any, tuple[str, str]] = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("true or false", "true or false"),
    str: ("text", "texts"),
    Path: ("a path", "paths"),
    type(None): ("null", "null"),
}


def expected(hint: Any) -> str:
    """`expected a number`, in the words of somebody who knows no Python."""
    some = [member for member in members(hint) if member is not type(None)]
    return "expected " + " or ".join(_words(member) for member in some)


def _words(hint: Any, plural: bool = False) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if hint in _WORDS:
        return _WORDS[hint][plural]
    if origin is Literal:
        return ("one of " if len(args) > 1 else "") + ", ".join(map(str, args))
    if origin in (list, tuple, dict):
        of = " or ".join(_words(member, plural=True) for member in members(args[-2 if args[-1:] == (...,) else -1]))
        if origin is dict:
            return f"mappings to {of}" if plural else f"a mapping to {of}"
        count = f"{len(args)} " if origin is tuple and args[-1] is not ... else ""
        return f"lists of {count}{of}" if plural else f"a list of {count}{of}"
    return "mappings" if plural else "a mapping"
