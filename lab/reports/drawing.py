"""Plots as inline SVG: drawn by matplotlib in named colours, which the page's style sheet sets for light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from lab.reports.tables import is_share

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

WIDTH = 340
"""CSS pixels of every plot: fits a phone at full size, and three beside each other on a desk."""

# What matplotlib is told, and the CSS variable that takes its place. The values themselves are never seen.
INK, SOFT, GRID, BACK = "#010101", "#020202", "#030303", "#080808"
LINES = ("#040404", "#050505", "#060606", "#070707")
_VARIABLES = {INK: "--ink", SOFT: "--soft", GRID: "--line", BACK: "--back"} | {
    c: f"--c{i}" for i, c in enumerate(LINES, start=1)
}

_OWN = "own-plot-"
"""Before the ids of a plot, until it has its place on a page."""

STYLES = ("-", (0, (4, 2)), (0, (1, 1.5)))
"""Dashes, for series beyond the number of colours."""


@dataclass(frozen=True)
class Drawing:
    """A plot: `svg` is markup for the page, `alt` says in words what it shows, `caption` stands below it."""

    alt: str
    caption: str
    svg: Markup


class Canvas:
    """One matplotlib axes of `WIDTH` x height CSS pixels, text of 12 pixels; `drawing` once it is filled."""

    def __init__(self, axes: Axes):
        self.axes = axes
        self._svg = ""

    def drawing(self, alt: str, caption: str) -> Drawing:
        svg = self._svg.replace("<svg ", f'<svg role="img" aria-label="{escape(alt)}" ', 1)
        return Drawing(alt, caption, Markup(svg))


@contextmanager
def canvas(height: float) -> Iterator[Canvas]:
    """Axes to draw on; the SVG is made when the block ends."""
    import matplotlib
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 12, "text.color": INK,
        "axes.edgecolor": GRID, "axes.labelcolor": SOFT, "xtick.color": GRID, "ytick.color": GRID,
        "xtick.labelcolor": SOFT, "ytick.labelcolor": SOFT, "grid.color": GRID, "grid.linewidth": 0.7,
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
        "legend.frameon": False, "legend.fontsize": 11, "svg.hashsalt": "lab", "path.simplify_threshold": 0.5,
    }  # fmt: skip
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
        made = Canvas(figure.add_subplot())
        yield made
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None})
    made._svg = _inline(drawn.getvalue(), height)


def colour(place: int) -> dict[str, Any]:
    """Colour and dash of the series at that place, as keyword arguments of `plot`."""
    return {"color": LINES[place % len(LINES)], "linestyle": STYLES[place // len(LINES) % len(STYLES)]}


def share_axis(axis: Axis, name: str, *, points: bool = False) -> None:
    """Few ticks; shares in percent, as the tables show them, their differences in percentage points."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(5))
    if is_share(name):
        style = "+.4g" if points else ".4g"
        unit = "" if points else " %"
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:{style if value else 'g'}}{unit}"))


def extent(values: Sequence[float], around: float = 0.06) -> tuple[float, float]:
    """Limits of an axis that shows all values with some room."""
    low, high = min(values), max(values)
    room = around * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def numbered(page: str) -> str:
    """A page whose plots have ids of their own: a plot may be there twice, folded away or not."""
    numbers = count(1)
    return re.sub("<svg .*?</svg>", lambda plot: plot[0].replace(_OWN, f"plot{next(numbers)}-"), page, flags=re.DOTALL)


def _inline(svg: str, height: float) -> str:
    """The `<svg>` element alone, with the page's colours and font, and ids that begin with `_OWN`."""
    svg = svg[svg.index("<svg ") :]
    svg = re.sub(r" <metadata>.*?</metadata>\n", "", svg, flags=re.DOTALL)
    # Metadata goes; every group has an id, of which only those that something refers to are needed.
    referred = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in referred else "", svg)
    svg = re.sub(r'(\bid="|url\(#|href="#)([^")]+)', rf"\1{_OWN}\2", svg)
    for named, variable in _VARIABLES.items():
        svg = svg.replace(named, f"var({variable})")
    svg = re.sub(r"font: (?:\w+ )*([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    for attribute in ("d", "x", "y", "points", "transform"):
        svg = re.sub(rf'(?<= ){attribute}="[^"]*"', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), svg)
    head = f'<svg class="plot" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}">'
    return re.sub(r"<svg [^>]*>", head, svg, count=1).strip()
