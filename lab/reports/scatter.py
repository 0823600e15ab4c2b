"""Two numbers of each setting against each other, over all settings and experiments that say so in their `report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.config.expressions import parse
from lab.reports import figures
from lab.reports.drawing import Drawing
from lab.reports.results import Results
from lab.reports.statistics import Estimate, estimate
from lab.reports.tables import Table, is_share, mean_and_spread


@dataclass(frozen=True)
class Scatter:
    """A plot with a numbered point a setting, and the table that says which is which."""

    title: str
    drawing: Drawing
    table: Table


def scatters(groups: Sequence[Results]) -> list[Scatter]:
    """One for each title that two settings or more have numbers for, in the order of the groups."""
    by_title: dict[str, list[tuple[str, Estimate, Estimate]]] = {}
    said: dict[str, Mapping[str, Any]] = {}
    names = [group.name for group in groups]
    for group in groups:
        config = group.config["report"].get("scatter")
        if not config:
            continue
        x, y = (estimate(group.ratio(config[axis]["of"], config[axis].get("over")).values()) for axis in "xy")
        if x is not None and y is not None:
            title = str(config["title"])
            said.setdefault(title, config)
            label = group.label if names.count(group.name) > 1 else ""
            by_title.setdefault(title, []).append((f"{group.name} {label}".strip(), x, y))
    return [_scatter(title, said[title], points) for title, points in by_title.items() if len(points) > 1]


def _scatter(title: str, config: Mapping[str, Any], points: Sequence[tuple[str, Estimate, Estimate]]) -> Scatter:
    labels = (str(config["x"]["label"]), str(config["y"]["label"]))
    shares = (_is_share(config["x"]), _is_share(config["y"]))
    rows = tuple(
        (str(number), name, mean_and_spread(shares[0], x), mean_and_spread(shares[1], y), str(max(x.n, y.n)))
        for number, (name, x, y) in enumerate(points, start=1)
    )
    table = Table(("", "setting", *labels, "n"), rows, lead=5)
    return Scatter(title, figures.scatter(title, labels, shares, [(x, y) for _, x, y in points]), table)


def _is_share(quantity: Mapping[str, Any]) -> bool:
    """Whether it is a difference of shares, to be told in percent."""
    return quantity.get("over") is None and all(is_share(term.metric) for term in parse(quantity["of"]))
