"""Fill the generated parts of README.md and of the papers' pages from the recorded results (`make pages`)."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from lab.reports.recorded import Recorded

CHECKOUT = Path(__file__).resolve().parents[2]
RESULTS = Path("experiments") / "results"
_PART = re.compile(r"(<!-- results:start(?P<papers>[^>]*?) -->\n).*?(<!-- results:end -->)", re.DOTALL)


def pages(checkout: Path = CHECKOUT) -> Iterator[tuple[Path, str]]:
    """Every page with a generated part, and what it should say."""
    results = [Recorded.load(path) for path in sorted((checkout / RESULTS).glob("*.json"))]
    for page in [checkout / "README.md", *sorted((checkout / "lab" / "papers").glob("*/README.md"))]:
        text = page.read_text() if page.exists() else ""
        if _PART.search(text):
            yield page, _PART.sub(lambda part: part[1] + _filled(part["papers"].split(), results) + part[3], text)


def _filled(papers: list[str], results: list[Recorded]) -> str:
    """The results of some papers; of all, without their claims, where none is named."""
    wanted = [result for result in results if not papers or result.content["paper"] in papers]
    parts = [_section(result, detail=bool(papers)) for result in wanted]
    return "\n\n".join(parts) + "\n" if parts else "Nothing is recorded yet.\n"


def _section(result: Recorded, *, detail: bool) -> str:
    parts = [f"**{result.name}** ({result.provenance()}): {result.content['description']}", result.table().markdown()]
    if detail and result.content["claims"]:
        parts.append(result.claims().markdown())
    return "\n\n".join(parts)


def main() -> int:
    for page, text in pages():
        if page.read_text() != text:
            page.write_text(text)
            print(f"{page.relative_to(CHECKOUT)}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
