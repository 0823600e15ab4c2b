"""Fill the generated parts of README.md and of the papers' pages from the recorded results (`make pages`)."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from lab.config import resolve
from lab.config.resolve import plain
from lab.reports.ledger import verdicts
from lab.reports.recorded import RESULTS, Recorded
from lab.reports.results import Results
from lab.reports.tables import Table, comparison_table, heading, results_table

CHECKOUT = Path(__file__).resolve().parents[2]

KINDS = {"embedded": "synthetic", "stand-in": "stand-in", "real": "**real images**", "paper-scale": "**PAPER SCALE**"}

_PART = re.compile(r"(<!-- results:start(?P<papers>[^>]*?) -->\n).*?(<!-- results:end -->)", re.DOTALL)


def pages(checkout: Path = CHECKOUT) -> Iterator[tuple[Path, str]]:
    """Every page with a generated part, and what it should say.

    A part that names papers holds all that is known of them; one that names none a single table of everything.
    """
    recorded = [Recorded.load(path) for path in sorted((checkout / RESULTS).glob("*.json"))]
    for page in [checkout / "README.md", *sorted((checkout / "lab" / "papers").glob("*/README.md"))]:
        text = page.read_text() if page.exists() else ""
        if _PART.search(text):
            yield page, _PART.sub(lambda m: m[1] + _filled(m["papers"].split(), recorded, checkout) + m[3], text)


def _filled(papers: Sequence[str], recorded: Sequence[Recorded], checkout: Path) -> str:
    if not papers:
        return f"{overview(recorded)}\n" if recorded else "Nothing is recorded yet.\n"
    parts = [_section(results) for results in recorded if results.paper in papers]
    known = {results.name for results in recorded}
    parts += [_not_run(each) for each in _published(checkout) if each.paper in papers and each.name not in known]
    return "\n\n".join(parts) + "\n" if parts else "Nothing is recorded yet.\n"


def overview(recorded: Sequence[Results]) -> str:
    """One Markdown table: for each setting a line that names it and its metrics, then a line a method."""
    width = max(len(results.headline) for results in recorded)
    lines = [
        "| experiment, data, method |" + " |" * width + " n |",
        "|---|" + "--:|" * (width + 1),
    ]
    for results in recorded:
        table = results_table(results)
        names = [f"*{heading(metric)}*" for metric in results.headline]
        rows = [(_title(results), *names)]
        rows += [row[: 1 + len(names)] for row in table.rows]
        counts = ["", *(str(len(results.entries(stage))) for stage in results.with_verb("test"))]
        for row, count in zip(rows, counts, strict=True):
            lines.append(f"| {' | '.join([*row, *[''] * (width + 1 - len(row)), count])} |")
    return "\n".join(lines)


def _title(results: Results) -> str:
    return f"`{results.name}`{f' {results.label}' if results.label else ''}, {KINDS[results.kind]}"


def _section(results: Recorded) -> str:
    """Everything of one setting: where it comes from, results, comparison with the baseline, ledger."""
    parts = [f"{_title(results)}: {results.description}. {results.provenance()}."]
    parts.append(_headline(results_table(results)).markdown())
    if len(results.with_verb("test")) > 1:
        parts.append("Differences on shared seeds, with 95 % intervals:")
        parts.append(comparison_table(results).markdown())
    return "\n\n".join([*parts, *_ledger(results)])


def _not_run(results: Results) -> str:
    """An experiment of which nothing is recorded: what was published stays visibly without a number of ours."""
    return "\n\n".join([f"{_title(results)}: {results.description}. Not run.", *_ledger(results)])


def _ledger(results: Results) -> Iterator[str]:
    found = verdicts(results)
    if found:
        rows = tuple((verdict.text, f"**{verdict.outcome}**", verdict.compared, verdict.origin) for verdict in found)
        heads = ("claim or published number", "verdict", "recorded", "from")
        yield Table(heads, rows, lead=len(heads)).markdown().replace("--:", "---")


def _headline(table: Table) -> Table:
    """The leading columns alone."""
    return Table(table.columns[: table.lead], tuple(row[: table.lead] for row in table.rows), table.lead)


def _published(checkout: Path) -> Iterator[Results]:
    """The experiments of a checkout that carry published numbers."""
    for path in sorted((checkout / "experiments").glob("*.yaml")):
        experiment = resolve(path).experiment
        if experiment.cells:
            yield Results(plain(experiment))


def main() -> int:
    for page, text in pages():
        if page.read_text() != text:
            page.write_text(text)
            print(f"{page.relative_to(CHECKOUT)}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
