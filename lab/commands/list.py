"""`lab list`: what there is, and which of it can run here."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lab import registry
from lab.config import experiments, outline
from lab.errors import DataError, LabError

Row = tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("section", nargs="?", choices=list(SECTIONS), help="default: all of them")


def run(args: argparse.Namespace) -> int:
    missing = False
    for section in [args.section] if args.section else SECTIONS:
        rows = list(SECTIONS[section]())
        missing = missing or any("missing" in row for row in rows)
        print(section)
        for line in columns(rows):
            print(f"  {line}")
    if missing:
        print("missing: `lab data get NAME` says how to get a data set; `--profile smoke` needs none")
    return 0


def columns(rows: Sequence[Row]) -> Iterator[str]:
    """Rows as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _papers() -> Iterator[Row]:
    for plugin in registry.plugins():
        yield plugin.name, plugin.summary


def _experiments() -> Iterator[Row]:
    for name, path in experiments().items():
        try:
            found = outline(path)
        except LabError as error:
            yield name, "broken", "", str(error).splitlines()[0]
        else:
            description = found.description.strip().partition("\n")[0]
            yield name, found.kind, _state(found.data.name, found.data.options), description


def _data() -> Iterator[Row]:
    for component in registry.components("data"):
        if component.dataset is not None:
            yield component.name, _state(component.name, component.config_class()()), component.summary


def _modules() -> Iterator[Row]:
    for component in registry.components("module"):
        yield component.name, component.summary


def _state(name: str, options: Any) -> str:
    """Whether the files of a data set are here."""
    dataset = registry.get("data", name).dataset
    try:
        if dataset is not None and not options.stand_in:
            registry.load(dataset).locate(options)
    except DataError:
        return "missing"
    return "ready"


SECTIONS: dict[str, Callable[[], Iterator[Row]]] = {
    "papers": _papers,
    "experiments": _experiments,
    "data": _data,
    "modules": _modules,
}
