"""What of a resolved experiment decides its numbers, read from plain values such as a run's `config.yaml` holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lab import registry
from lab.config.hints import element_class, field_hints, nested_class
from lab.config.schema import ComponentChoice, Experiment
from lab.errors import UnknownName

TEXTS = {"name", "paper", "description", "cells", "claims", "report", "predict"}
"""Blocks of an experiment that only say what it is called, meant to show, or how it is shown."""


def deciding(config: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted key -> value (a list is one value), without texts and without what says only where and how fast to run."""
    settings = {name: value for name, value in config.items() if name not in TEXTS}
    flat = _walk(settings, Experiment, "")
    return {key: value for key, value in flat if not key.endswith((".title", ".enabled"))}


def flatten(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested mappings; a list is one value."""
    yield from _walk(value, None, key)


def _walk(value: Any, cls: Any, key: str, kind: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping) or not value:
        yield key, value
        return
    if cls is ComponentChoice:
        cls = _options(kind, value.get("name"))
    known = {field.name: (field, hint) for field, hint in field_hints(cls)} if cls is not None else {}
    for name, below in value.items():
        field, hint = known.get(name, (None, None))
        if field is not None and field.metadata.get("runtime"):
            continue
        dotted, element = f"{key}.{name}" if key else str(name), element_class(hint)
        if element is not None and isinstance(below, Mapping) and below:
            for item, content in below.items():
                yield from _walk(content, element, f"{dotted}.{item}")
        else:
            yield from _walk(below, nested_class(hint), dotted, str(name))


def _options(kind: str, name: Any) -> Any:
    """The options of a component; None where it is not installed here, and nothing is known of its fields."""
    try:
        return registry.get(kind, str(name)).config_class()  # type: ignore[arg-type]
    except UnknownName:
        return None
