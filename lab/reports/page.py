"""`report.html`, one file that opens anywhere, and `report.md`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lab.reports import figures
from lab.reports.ledger import claims
from lab.reports.run import Run
from lab.reports.tables import Table, costs, duration, results_table, signal_table

KINDS = {
    "embedded": ("Synthetic data", "Images drawn by a program: shows that the method works as claimed, in small."),
    "stand-in": ("Stand-in data", "A generated miniature took the place of the data set: the numbers mean nothing."),
    "real": ("Real images, reduced scale", "Real data with a smaller network or shorter training than the paper's."),
    "paper-scale": ("Paper scale", "The paper's data, network and length of training."),
}


def write_report(run: Path) -> Path:
    """Write `report.html` and `report.md` into a run folder, from the files in it.

    Returns:
        The HTML page: self-contained, without scripts or anything fetched.

    Raises:
        UserError: the folder is not a run.
    """
    read = Run(run)
    facts = _facts(read)
    templates = Environment(
        loader=PackageLoader("lab.reports"),
        autoescape=lambda name: bool(name and name.endswith(".html")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("report.md", "report.html"):
        _replace(run / name, templates.get_template(name).render(facts))
    return run / "report.html"


def _facts(run: Run) -> dict[str, Any]:
    signals = signal_table(run)
    badge, meaning = KINDS[run.kind]
    return {
        "run": run,
        "badge": badge,
        "meaning": meaning,
        "results": _both(results_table(run)),
        "verdicts": claims(run),
        "signals": _both(signals) if signals else None,
        "pictures": figures.pictures(run),
        "files": [(caption, path.relative_to(run.path)) for caption, path in _captioned(run)],
        "curves": figures.curves(run),
        "costs": _both(costs(run.stages.values())),
        "total": duration(run.record.get("seconds")),
        "settings": list(_settings(run.config, run.origins)),
        "environment": list(_flat(run.environment)),
    }


def _both(table: Table) -> dict[str, Any]:
    return {"html": Markup(table.html()), "markdown": table.markdown()}


def _captioned(run: Run) -> Iterator[tuple[str, Path]]:
    for stage, paths in figures.picture_files(run):
        yield from ((f"{stage.title}: {figures.caption(path)}", path) for path in paths)


def _settings(config: Mapping[str, Any], origins: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """(dotted key, value, origin); the origin of a key inside a value that was given whole is that value's."""
    for key, value in _flat(config):
        above = key
        while above not in origins and "." in above:
            above = above.rpartition(".")[0]
        yield key, value, origins.get(above, "")


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for name, below in value.items():
            yield from _flat(below, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for place, below in enumerate(value):
            yield from _flat(below, f"{key}.{place}")
    else:
        yield key, value if isinstance(value, str) else json.dumps(value)


def _replace(path: Path, text: str) -> None:
    """Write a file so that an open page never sees half of it."""
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)
