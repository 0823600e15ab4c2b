"""Names -> components, imported late.

A plugin is a tuple of `Component` records; a record names its classes as `"package.module:Class"`, so listing and
checking an experiment never imports torch. Built-in plugins are listed here; anybody else's are found through the
entry-point group `lab.plugins`, whose value points to a `Plugin` object:

    [project.entry-points."lab.plugins"]
    my_paper = "my_package.plugin:PLUGIN"
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal

from lab.errors import LabError, UnknownName

Kind = Literal["module", "data"]

BUILTIN = (
    "lab.data:PLUGIN",
    "lab.papers.debiasing:PLUGIN",
    "lab.papers.ddb:PLUGIN",
    "lab.papers.modad:PLUGIN",
    "lab.papers.samyna:PLUGIN",
    "lab.papers.mri:PLUGIN",
    "lab.papers.dima:PLUGIN",
    "lab.papers.mri_diffusion:PLUGIN",
    "lab.papers.features:PLUGIN",
    "lab.papers.top_tuning:PLUGIN",
    "lab.papers.landmarks:PLUGIN",
)


@dataclass(frozen=True)
class Component:
    """One registered module (a `StageModule`) or data module (a `LabDataModule`).

    `config` points to its dataclass of options, in a file that imports neither torch nor Lightning; `target` to the
    class itself. `dataset`, for a data set with files, points to its torch-free class with `locate(config)` and
    `fingerprint()`; a `target` whose `dataset_class` is None, such as `ImageDataModule`, reads that one. `version` is
    part of the key of every artefact it makes: raise it when the same options would now give another result. A module
    that `learns` nothing may be tested without weights.
    """

    kind: Kind
    name: str
    config: str
    target: str
    summary: str
    version: int = 1
    dataset: str | None = None
    learns: bool = True

    def config_class(self) -> type[Any]:
        return load(self.config)  # type: ignore[no-any-return]

    def target_class(self) -> type[Any]:
        target: type[Any] = load(self.target)
        if self.dataset is not None and getattr(target, "dataset_class", target) is None:
            content = {"dataset_class": load(self.dataset), "__module__": target.__module__}
            target = type(target.__name__, (target,), content)
        return target


@dataclass(frozen=True)
class Plugin:
    """What one package adds: components, and optionally a folder of experiments inside that package."""

    name: str
    components: tuple[Component, ...]
    experiments: Path | None = None
    summary: str = ""


def load(path: str) -> Any:
    """Import `"package.module:attribute"`."""
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)


@cache
def plugins() -> tuple[Plugin, ...]:
    """Built-in plugins, then the installed ones by name. A plugin that can't be imported is an error that names it."""
    found = [load(path) for path in BUILTIN]
    for point in sorted(entry_points(group="lab.plugins"), key=lambda p: p.name):
        try:
            plugin = point.load()
        except Exception as error:
            raise LabError(f"plugin '{point.name}' ({point.value}) can't be imported: {error}") from error
        if not isinstance(plugin, Plugin):
            raise LabError(f"plugin '{point.name}' ({point.value}) is a {type(plugin).__name__}, not a lab Plugin")
        found.append(plugin)
    return tuple(found)


@cache
def _table() -> dict[tuple[Kind, str], Component]:
    table: dict[tuple[Kind, str], Component] = {}
    for plugin in plugins():
        for component in plugin.components:
            key = (component.kind, component.name)
            if key in table:
                raise LabError(f"plugin '{plugin.name}' registers {component.kind} '{component.name}' a second time")
            table[key] = component
    return table


def components(kind: Kind) -> Iterator[Component]:
    """All components of a kind, by name."""
    return (c for (k, _), c in sorted(_table().items()) if k == kind)


def get(kind: Kind, name: str) -> Component:
    """The component of that name.

    Raises:
        UnknownName: with the nearest registered names.
    """
    try:
        return _table()[kind, name]
    except KeyError:
        raise UnknownName(kind, name, [c.name for c in components(kind)]) from None
