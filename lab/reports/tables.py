"""Metrics as tables, for a terminal, for Markdown and for HTML."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.reports.run import Run, Stage

EMPTY = "-"
"""Shown for a cell without a recorded number."""


@dataclass(frozen=True)
class Table:
    """Formatted cells under a heading each; the first column names the row.

    `lead` columns, the first included, are enough where space is short (a terminal); the rest is detail.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lead: int

    def text(self) -> str:
        """Aligned columns, the leading ones; headings are broken at their spaces to keep the columns narrow."""
        headings = [column.split(" ") for column in self.columns[: self.lead]]
        headings[0] = [self.columns[0]]
        height = max(len(words) for words in headings)
        lines = [[""] * (height - len(words)) + words for words in headings]
        rows = [row[: self.lead] for row in self.rows]
        widths = [max(map(len, [*line, *(row[i] for row in rows)])) for i, line in enumerate(lines)]

        def aligned(cells: Sequence[str]) -> str:
            rest = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
            return "  ".join([cells[0].ljust(widths[0]), *rest]).rstrip()

        rule = "  ".join("-" * width for width in widths)
        return "\n".join([*(aligned(words) for words in zip(*lines, strict=True)), rule, *map(aligned, rows)])

    def markdown(self) -> str:
        def line(cells: Iterable[str]) -> str:
            return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

        rule = "|---" + "|--:" * (len(self.columns) - 1) + "|"
        return "\n".join([line(self.columns), rule, *map(line, self.rows)])

    def html(self) -> str:
        """A `<table>`, every cell escaped."""
        head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in self.columns)
        body = "".join(
            f'<tr><th scope="row">{html.escape(row[0])}</th>'
            + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
            + "</tr>"
            for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def results_table(run: Run | Path) -> Table:
    """One row a test stage, finished or not, and one column a metric; see `metrics_table`.

    Raises:
        UserError: the folder is not a run.
    """
    run = run if isinstance(run, Run) else Run(run)
    return _metrics([(stage.title, stage.metrics) for stage in run.with_verb("test")], run.headline)


def metrics_table(rows: Mapping[str, Mapping[str, float]], headline: Sequence[str]) -> Table:
    """Metrics of test stages by title: the headline's columns first, accuracies in percent, `test/` left out."""
    return _metrics(list(rows.items()), headline)


def _metrics(rows: Sequence[tuple[str, Mapping[str, float]]], headline: Sequence[str]) -> Table:
    named = [(title, {name.removeprefix("test/"): value for name, value in row.items()}) for title, row in rows]
    columns = list(dict.fromkeys([*headline, *(name for _, row in named for name in row)]))
    cells = tuple((title, *(shown(name, row.get(name)) for name in columns)) for title, row in named)
    return Table(("method", *map(heading, columns)), cells, lead=1 + (len(headline) or len(columns)))


def signal_table(run: Run) -> Table | None:
    """Metrics of the stages that predict (samples, amplifier, features): one row a metric, one column a stage."""
    stages = [stage for stage in run.with_verb("predict", "validate") if stage.metrics]
    names = list(dict.fromkeys(stage.short(name) for stage in stages for name in stage.metrics))
    if not names:
        return None
    rows = tuple((heading(name), *(shown(name, stage.metric(name)) for stage in stages)) for name in names)
    return Table(("metric", *(stage.title for stage in stages)), rows, lead=1 + len(stages))


def costs(stages: Iterable[Stage]) -> Table:
    """What each stage cost: time and peak memory of the run that made it, and whether this run had to."""
    rows = []
    for stage in stages:
        entry = stage.entry
        memory = entry.get("peak_memory_mib")
        rows.append(
            (
                stage.title,
                stage.verb,
                {"ran": "ran", "cached": "cached"}.get(str(entry.get("state")), "not run"),
                duration(entry.get("seconds")),
                EMPTY if memory is None else f"{memory:,.0f} MiB",
                str(entry.get("key") or EMPTY),
            )
        )
    return Table(("stage", "verb", "state", "time", "peak memory", "artefact"), tuple(rows), lead=4)


def shown(name: str, value: float | None) -> str:
    """A metric for people: percent with one decimal where its name says it is an accuracy, else four digits."""
    if value is None:
        return EMPTY
    if not math.isfinite(value):
        return str(value)
    if is_share(name):
        return f"{100 * value:.1f} %"
    if value == int(value) and abs(value) < 1e9:
        return f"{value:.0f}"
    return f"{value:.4g}"


def is_share(name: str) -> bool:
    """Whether a metric of that name is a share of images in [0, 1]: `test/accuracy`, `aligned_share/disc`."""
    return any(part == "group" or part.endswith(("accuracy", "share")) for part in name.split("/"))


def heading(name: str) -> str:
    """`conflicting_accuracy` -> `conflicting accuracy`."""
    return name.replace("_", " ")


def duration(seconds: float | None) -> str:
    """`0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds is None:
        return EMPTY
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
