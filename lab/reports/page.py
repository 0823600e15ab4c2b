"""The reports of a run, of a sweep, of a folder of runs: one HTML file that opens anywhere, and a Markdown twin."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lab.errors import UserError
from lab.reports.drawing import numbered
from lab.reports.groups import Group, groups
from lab.reports.run import Run
from lab.reports.scatter import scatters
from lab.reports.study import Section, sections, spent
from lab.stages.files import write_atomically
from lab.stages.record import RUN
from lab.stages.store import now

if TYPE_CHECKING:
    from lab.sweeps.plan import Sweep


def write_report(run: Path) -> Path:
    """Write `report.html` and `report.md` into a run folder, from the files in it.

    Returns:
        The HTML page: self-contained, without scripts or anything fetched.

    Raises:
        UserError: the folder is not a run.
    """
    read = Run(run)
    return _write(run, "run", {"run": read, "section": Section([Group.of(read)], "", {})})


def write_sweep_report(sweep: Sweep) -> Path:
    """Write `report.html` and `report.md` into a sweep's folder, over its jobs that have begun."""
    jobs = ", ".join(f"{n} {state}" for state, n in sweep.counts().items())
    failed = [(p.job.label, f"{p.stage}: {p.error}", str(p.log)) for p in sweep.problems()]
    lines = [f"Started {sweep.started}. Jobs: {jobs or 'none'}."]
    return _write_study(sweep.path, f"Sweep {sweep.id}", lines, sweep.run_paths(), failed)


def write_full_report(runs_dir: Path) -> Path:
    """Write `report.html` and `report.md` into a folder of runs, over all of them.

    Raises:
        UserError: there is no run in it.
    """
    paths = sorted(path.parent for path in runs_dir.glob(f"*/{RUN}"))
    if not paths:
        raise UserError(f"no run under {runs_dir}; `lab fit` makes one")
    return _write_study(runs_dir, f"All runs in {runs_dir.resolve().name}", [], paths, [])


def _write_study(
    folder: Path, title: str, lines: Sequence[str], paths: Iterable[Path], problems: Sequence[tuple[str, str, str]]
) -> Path:
    """One page over several runs; a run that can't be read is listed, and the others are reported."""
    runs, unread = [], []
    for run in (Run(path) for path in paths if (path / RUN).exists()):
        try:
            _ = (group := Group.of(run)).claims, group.cells
            runs.append(run)
        except UserError as error:
            unread.append((run.path.name, str(error), ""))
    together = groups(runs)
    found = sections(together)
    facts = {
        "title": title,
        "lines": [*lines, f"Written {now()} from {len(runs)} runs. {spent(together)}"],
        "problems": [*problems, *unread],
        "scatters": scatters(together),
        "sections": found,
        "alone": sum(len(section.parts) for section in found) == 1,
    }
    return _write(folder, "study", facts)


def _write(folder: Path, name: str, facts: dict[str, Any]) -> Path:
    """Render `name.html` and `name.md` to `report.html` and `report.md`."""
    templates = Environment(
        loader=PackageLoader("lab.reports"),
        autoescape=lambda template: bool(template and template.endswith(".html")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals["relative"] = lambda path: os.path.relpath(path, folder)
    for suffix in ("md", "html"):
        text = templates.get_template(f"{name}.{suffix}").render(facts)
        text = numbered(text) if suffix == "html" else text
        write_atomically(folder / f"report.{suffix}", partial(Path.write_text, data=text, encoding="utf-8"))
    return folder / "report.html"
