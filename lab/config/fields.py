"""What a configuration dataclass can say of its fields, and the checks that read it. Imports nothing heavy."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


def option(default: Any = dataclasses.MISSING, help: str = "", *, factory: Any = dataclasses.MISSING) -> Any:
    """A field with a line of explanation."""
    return dataclasses.field(default=default, default_factory=factory, metadata={"help": help})


def added_option(default: Any, help: str) -> Any:
    """An option that came later. With its default everything is as before, so artefact keys have it only without."""
    return dataclasses.field(default=default, metadata={"help": help, "before": default})


def runtime(default: Any = dataclasses.MISSING, help: str = "", *, factory: Any = dataclasses.MISSING) -> Any:
    """A field that says where or how fast something runs, never what comes out: left out of artefact keys."""
    return dataclasses.field(default=default, default_factory=factory, metadata={"help": help, "runtime": True})


def file_option(default: Any = dataclasses.MISSING, help: str = "") -> Any:
    """A field that may name a file: where it does, the file's content is part of artefact keys, not only its name."""
    return dataclasses.field(default=default, metadata={"help": help, "file": True})


def named_files(config: Any) -> Iterator[Path]:
    """The existing files that the `file_option` fields of a dataclass tree name."""
    for name, metadata in _fields(config.__class__):
        value = getattr(config, name)
        if dataclasses.is_dataclass(value):
            yield from named_files(value)
        elif metadata.get("file") and isinstance(value, str) and Path(value).expanduser().is_file():
            yield Path(value).expanduser()


@runtime_checkable
class Checked(Protocol):
    """A configuration dataclass with rules between its fields."""

    def check(self) -> Iterator[tuple[str, str]]:
        """Yield (dotted field below this object, message) for each broken rule."""
        ...


def as_plain(config: Any, *, keep_runtime: bool = True) -> Any:
    """A dataclass tree as plain dicts, lists and scalars; on request without its run-time-only fields, and without
    options that came later and have their default.
    """
    if type(config) in _SCALARS:  # most of a tree, of which a sweep turns thousands
        return config
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {
            name: value if type(value) in _SCALARS else as_plain(value, keep_runtime=keep_runtime)
            for name, metadata in _fields(type(config), keep_runtime)
            for value in (getattr(config, name),)
            if keep_runtime or "before" not in metadata or metadata["before"] != value
        }
    if isinstance(config, dict):
        return {str(key): as_plain(value, keep_runtime=keep_runtime) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return [as_plain(value, keep_runtime=keep_runtime) for value in config]
    return config


@cache
def _fields(cls: Hashable, keep_runtime: bool = True) -> tuple[tuple[str, Mapping[Any, Any]], ...]:
    """Name and metadata of a dataclass's fields; a sweep asks for them a million times."""
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    return tuple((f.name, f.metadata) for f in fields if keep_runtime or not f.metadata.get("runtime"))


_SCALARS = {str, int, float, bool, type(None)}
