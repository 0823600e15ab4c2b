"""Metrics as tables, for a terminal, for Markdown and for HTML."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.reports.groups import as_results
from lab.reports.results import Entry, Results, spelt
from lab.reports.run import Run, Stage
from lab.reports.statistics import Estimate, estimate, paired

EMPTY = "-"
"""Shown for a cell without a recorded number."""

heading = spelt
"""`conflicting_accuracy` -> `conflicting accuracy`."""


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


def results_table(results: Results | Run | Path) -> Table:
    """One row a test stage, finished or not, one column a metric, the headline's first: mean ± standard deviation.

    Of several runs, a column says how many the numbers are of; a cell that is of fewer says so itself. `time` is that
    of all stages that a method needs (see `Results.spent`), shared ones included: mean over the runs.

    Raises:
        UserError: the folder is not a run.
    """
    results = as_results(results)
    stages = results.with_verb("test")
    names = list(dict.fromkeys([*results.headline, *(name for stage in stages for name in results.metrics(stage))]))
    several = len(results.seeds) > 1
    rows = []
    for stage, title in stages.items():
        n = len(results.entries(stage))
        cells = [_mean(name, results.values(f"{stage}/{name}"), n) for name in names]
        lead = len(results.headline) or len(names)
        rows.append((title, *cells[:lead], *([str(n)] if several else []), _spent(results.spent(stage)), *cells[lead:]))
    columns = [heading(name) for name in names]
    lead = len(results.headline) or len(names)
    columns[lead:lead] = ["n", "time"] if several else ["time"]
    return Table(("method", *columns), tuple(rows), lead=2 + lead + several)


def metrics_table(rows: Mapping[str, Mapping[str, float]], headline: Sequence[str]) -> Table:
    """Metrics of test stages by title: the headline's columns first, accuracies in percent, `test/` left out."""
    named = {title: {name.removeprefix("test/"): value for name, value in row.items()} for title, row in rows.items()}
    columns = list(dict.fromkeys([*headline, *(name for row in named.values() for name in row)]))
    cells = tuple((title, *(shown(name, row.get(name)) for name in columns)) for title, row in named.items())
    return Table(("method", *map(heading, columns)), cells, lead=1 + (len(headline) or len(columns)))


def signal_table(results: Results | Run | Path) -> Table | None:
    """Metrics of the stages that predict (samples, amplifier, features): one row a metric, one column a stage."""
    results = as_results(results)
    stages = {name: title for name, title in results.with_verb("predict", "validate").items() if results.metrics(name)}
    names = list(dict.fromkeys(name for stage in stages for name in results.metrics(stage)))
    if not names:
        return None
    rows = []
    for name in names:
        cells = (_mean(name, results.values(f"{stage}/{name}"), len(results.seeds)) for stage in stages)
        rows.append((heading(name), *cells))
    return Table(("metric", *stages.values()), tuple(rows), lead=1 + len(stages))


def comparison_table(results: Results) -> Table:
    """Each test stage minus the first one, the baseline, on the seeds that both have, for each headline metric.

    Cells hold the mean difference and its 95 % interval, `+60.6 points [+49.1, +72.0]`; the last column says of how
    many seeds.
    """
    columns = [_against_baseline(results, metric) for metric in results.headline]
    shares = [is_share(metric) for metric in results.headline]
    rows = []
    for place, title in enumerate(list(results.with_verb("test").values())[1:]):
        found = [column[place][1] for column in columns]
        cells = (EMPTY if f is None else difference(share, f) for share, f in zip(shares, found, strict=True))
        rows.append((title, *cells, str(max((f.n for f in found if f is not None), default=0))))
    heads = (f"against {_baseline(results)}", *map(heading, results.headline), "n")
    return Table(heads, tuple(rows), lead=len(heads))


def costs_table(results: Results) -> Table:
    """What each stage cost over the seeds: time (mean ± standard deviation), share of the whole, largest peak memory.

    The time is that of computing the stage, whichever run did; the last row adds up the stages of each seed.
    """
    entries = {name: results.entries(name) for name in results.stages}
    totals: dict[int, float] = {}
    for of_stage in entries.values():
        for seed, entry in of_stage.items():
            totals[seed] = totals.get(seed, 0.0) + entry.seconds
    whole = sum(totals.values())

    def row(title: str, verb: str, seconds: Iterable[float], made: Iterable[Entry], n: int) -> tuple[str, ...]:
        times, memory = list(seconds), [entry.peak_memory_mib for entry in made if entry.peak_memory_mib is not None]
        share = f"{100 * sum(times) / whole:.1f} %" if times and whole else EMPTY
        return title, verb, _time(times), share, f"{max(memory):,.0f} MiB" if memory else EMPTY, str(n)

    rows = []
    for name, stage in results.stages.items():
        made = entries[name].values()
        rows.append(row(stage.title, stage.verb, (entry.seconds for entry in made), made, len(made)))
    every = [entry for of_stage in entries.values() for entry in of_stage.values()]
    rows.append(row("all stages", "", totals.values(), every, len(totals)))
    return Table(("stage", "verb", "time", "share", "peak memory", "n"), tuple(rows), lead=6)


def _mean(name: str, values: Mapping[int, float], n: int) -> str:
    found = estimate(values.values())
    return mean_and_spread(is_share(name), found) + (f" ({found.n})" if found and found.n < n else "")


def _spent(seconds: Mapping[int, float]) -> str:
    found = estimate(seconds.values())
    return EMPTY if found is None else duration(found.mean)


def _baseline(results: Results) -> str:
    return next(iter(results.with_verb("test").values()), EMPTY)


def _against_baseline(results: Results, metric: str) -> list[tuple[str, Estimate | None]]:
    """Titles of the test stages but the first, each with its differences from that one."""
    stages = results.with_verb("test")
    values = [results.values(f"{stage}/{metric}") for stage in stages]
    return [(title, paired(own, values[0])) for title, own in zip(stages.values(), values, strict=True)][1:]


def _time(seconds: Iterable[float]) -> str:
    found = estimate(seconds)
    if found is None:
        return EMPTY
    return duration(found.mean) + (f" ± {duration(found.std)}" if found.std is not None else "")


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
    if (value == int(value) or abs(value) >= 1000) and abs(value) < 1e9:
        return f"{value:.0f}"
    return f"{value:.4g}"


def amount(share: bool, value: float) -> str:
    """A number for people: of a share of images in percent, else four digits."""
    return shown("share" if share else "", value)


def mean_and_spread(share: bool, found: Estimate | None) -> str:
    """`62.1 ± 0.8 %`; the spread is the standard deviation over runs, which a single one has not."""
    return EMPTY if found is None else spread(share, found.mean, found.std)


def spread(share: bool, value: float, std: float | None) -> str:
    """`62.1 ± 0.8 %`, or `62.1 %` where no spread is known."""
    if std is None:
        return amount(share, value)
    return f"{100 * value:.1f} ± {100 * std:.1f} %" if share else f"{shown('', value)} ± {std:.2g}"


def difference(share: bool, found: Estimate, *, signed: bool = True) -> str:
    """`+60.6 points [+49.1, +72.0]`, shares in percentage points; in brackets the 95 % interval, if there is one."""

    def number(value: float) -> str:
        return format(100 * value if share else value, ("+" if signed else "") + (".1f" if share else ".4g"))

    text = number(found.mean) + (" points" if share else "")
    if found.low is None or found.high is None:
        return text
    return f"{text} [{number(found.low)}, {number(found.high)}]"


def seeds_of(n: int) -> str:
    return "1 seed" if n == 1 else f"{n} seeds"


def is_share(name: str) -> bool:
    """Whether a metric of that name is a share of images in [0, 1]: `test/accuracy`, `aligned_share/disc`."""
    return any(part == "group" or part.endswith(("accuracy", "share", "gap")) for part in name.split("/"))


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
