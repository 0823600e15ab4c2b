"""What a report shows of a group of runs: plots over its seeds, and the pictures that its stages made."""

from __future__ import annotations

import base64
import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.reports.drawing import BACK, INK, LINES, SOFT, Drawing, canvas, colour, extent, share_axis
from lab.reports.run import Run, Stage
from lab.reports.statistics import Estimate
from lab.reports.tables import heading, is_share, shown
from lab.stages.artefact import CURVES, Artefact

Points = tuple[list[float], list[float]]

MOST_POINTS = 300
"""Points of one curve in a plot that is 340 pixels wide; a longer one is thinned evenly."""


@dataclass(frozen=True)
class Picture:
    """A PNG file of a stage, and its content as a data URI; width, height in its own pixels."""

    path: Path
    alt: str
    uri: str
    width: int
    height: int


def intervals(metric: str, rows: Sequence[tuple[str, Estimate]], *, what: str, zero: bool = False) -> Drawing:
    """A row for each method, its name above it: every seed a faint dot, the mean a full one, the interval a line.

    what: what is drawn, for the words above the plot. zero: draw differences around a line at 0.
    """
    with canvas(44 + 34 * len(rows)) as panel:
        axes = panel.axes
        for place, (title, found) in enumerate(rows):
            if found.low is not None and found.high is not None:
                axes.plot((found.low, found.high), (place, place), color=LINES[0], linewidth=3, alpha=0.55)
                axes.plot(found.values, [place] * found.n, "o", color=SOFT, markersize=4.5, alpha=0.55, mew=0)
            axes.plot([found.mean], [place], "o", color=LINES[0], markersize=8, mew=0)
            axes.annotate(
                _short(title), (0, place), (2, 7), ("axes fraction", "data"), "offset pixels", va="bottom", color=INK,
                bbox={"facecolor": BACK, "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip
        drawn = [v for _, found in rows for v in (*found.values, found.low, found.high) if v is not None]
        if zero:
            axes.axvline(0, color=INK, linewidth=1)
            drawn.append(0.0)
        low, high = extent(drawn)
        if is_share(metric) and not zero:  # an interval may reach beyond what a share can be
            low, high = max(low, -0.03), min(high, 1.03)
        axes.set_xlim(low, high)
        axes.set_ylim(len(rows) - 0.6, -0.85)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(axis="y", visible=False)
        share_axis(axes.xaxis, metric, points=zero)
    said = "; ".join(f"{title} {_said(metric, found)}" for title, found in rows)
    return panel.drawing(f"{what}: {said}", what)


def along(
    key: str, metric: str, lines: Sequence[tuple[str, Sequence[tuple[float, Estimate]]]], *, held: str = ""
) -> Drawing:
    """A metric over the values of a numeric setting: for each method its mean, and the interval as a band.

    The bands may leave the plot: its height is that of the means, so that they stay apart.
    """
    with canvas(236 + 17 * len(lines)) as panel:
        axes = panel.axes
        for place, (title, points) in enumerate(lines):
            at = [x for x, _ in points]
            axes.plot(at, [e.mean for _, e in points], **colour(place), marker="o", markersize=4, label=_short(title))
            band = [(x, e.low, e.high) for x, e in points if e.low is not None and e.high is not None]
            where, low, high = zip(*band, strict=True) if band else ((), (), ())
            axes.fill_between(where, low, high, color=colour(place)["color"], alpha=0.13, linewidth=0)
        every = sorted({x for _, points in lines for x, _ in points})
        if every[0] > 0 and every[-1] / every[0] >= 50:
            axes.set_xscale("log")
        else:
            axes.set_xticks(every if len(every) <= 6 else every[:: math.ceil(len(every) / 6)])
        axes.set_ylim(*extent([e.mean for _, points in lines for _, e in points], 0.15))
        axes.set_xlabel(key)
        share_axis(axes.yaxis, metric)
        axes.figure.legend(loc="outside lower left", labelcolor=INK)
    what = f"{heading(metric)} over {key}{f', {held}' if held else ''}"
    said = "; ".join(f"{t} from {shown(metric, p[0][1].mean)} to {shown(metric, p[-1][1].mean)}" for t, p in lines)
    return panel.drawing(f"{what}: {said}", what)


def scatter(
    title: str, labels: tuple[str, str], shares: tuple[bool, bool], points: Sequence[tuple[Estimate, Estimate]]
) -> Drawing:
    """A numbered point for each pair of estimates, with their 95 % intervals as lines; shares in percent.

    Numbers that are all above 0 and far apart stand on a logarithmic axis.
    """
    with canvas(300) as panel:
        axes = panel.axes
        for number, (x, y) in enumerate(points, start=1):
            for (low, high), along in (((x.low, x.high), "x"), ((y.low, y.high), "y")):
                if low is not None and high is not None:
                    across = (y.mean, y.mean) if along == "x" else (x.mean, x.mean)
                    line = ((low, high), across) if along == "x" else (across, (low, high))
                    axes.plot(*line, color=LINES[0], linewidth=1.5, alpha=0.4)
            axes.plot([x.mean], [y.mean], "o", color=LINES[0], markersize=6, mew=0)
            axes.annotate(str(number), (x.mean, y.mean), (5, 3), textcoords="offset pixels", color=INK)
        for place, (axis, share) in enumerate(zip((axes.xaxis, axes.yaxis), shares, strict=True)):
            means = [point[place].mean for point in points]
            wide = min(means) > 0 and max(means) / min(means) >= 20
            if wide and place == 0:
                axes.set_xscale("log")
            elif wide:
                axes.set_yscale("log")
            else:
                share_axis(axis, "share" if share else "")
        low, high = extent([y.mean for _, y in points], 0.15)
        if axes.get_yscale() == "linear":
            axes.set_ylim(low, high)
        if low < 0 < high:
            axes.axhline(0, color=INK, linewidth=1)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
    names = ("share" if shares[0] else "", "share" if shares[1] else "")
    said = "; ".join(f"{k}: {shown(names[0], x.mean)}, {shown(names[1], y.mean)}" for k, (x, y) in enumerate(points, 1))
    return panel.drawing(f"{title}, {labels[0]} and {labels[1]}: {said}", title)


def curves(title: str, artefacts: Iterable[Artefact]) -> Iterator[Drawing]:
    """What one stage logged, over all its seeds: all losses, all accuracies, then a plot for each other metric."""
    paths = [artefact.path / CURVES for artefact in artefacts]
    panels: dict[str, dict[str, list[Points]]] = {"loss": {}, "accuracy": {}}
    for path in paths:
        for name, points in read_curves(path).items() if path.exists() else ():
            what = next((w for w in ("loss", "accuracy") if name.endswith(w)), name.partition("/")[2] or name)
            panels.setdefault(what, {}).setdefault(name, []).append(points)
    yield from (_curves(title, what, chosen) for what, chosen in panels.items() if chosen)


def read_curves(path: Path) -> dict[str, Points]:
    """Steps and values by name from a `curves.csv` (step, name, value); values that are not finite are left out."""
    series: dict[str, Points] = {}
    with path.open(newline="") as handle:
        for row in csv.DictReader(handle):
            value = float(row["value"])
            if math.isfinite(value):
                steps, values = series.setdefault(row["name"], ([], []))
                steps.append(float(row["step"]))
                values.append(value)
    return series


def mean_curve(curves: Sequence[Points]) -> Points:
    """The mean over several runs, at the steps that all of them have."""
    tables = [dict(zip(*points, strict=True)) for points in curves]
    steps = sorted(set.intersection(*map(set, tables)))
    return steps, [math.fsum(table[step] for table in tables) / len(tables) for step in steps]


def picture_files(run: Run) -> list[tuple[Stage, list[Path]]]:
    """Pictures that stages made: of those that predict first, since they show what was generated."""
    stages = sorted((stage for stage in run.stages.values() if stage.artefact), key=lambda s: s.verb != "predict")
    found = [(stage, stage.artefact.pictures()) for stage in stages if stage.artefact]
    return [(stage, paths) for stage, paths in found if paths]


def picture(stage: Stage, path: Path) -> Picture:
    """A PNG file, read."""
    data = path.read_bytes()
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])  # the first chunk of a PNG, IHDR
    uri = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return Picture(path, f"{stage.title}: {path.stem.replace('_', ' ')}", uri, width, height)


def _curves(title: str, what: str, chosen: Mapping[str, list[Points]]) -> Drawing:
    ends = []
    with canvas(200 + 17 * len(chosen)) as panel:
        axes = panel.axes
        for place, (name, runs) in enumerate(chosen.items()):
            style, many = colour(place), len(runs) > 1
            for points in runs if many else ():
                axes.plot(*_thinned(points), **style, linewidth=0.7, alpha=0.5)
            steps, values = _thinned(mean_curve(runs))
            axes.plot(steps, values, **style, linewidth=1.8, label=name, marker="." if len(steps) < 3 else "")
            ends += [f"{name} ends at {values[-1]:.4g}"] if values else []
        axes.set_xlabel("step")
        axes.figure.legend(loc="outside lower left", labelcolor=INK)
        share_axis(axes.xaxis, "step")
        share_axis(axes.yaxis, next(iter(chosen)))
    seeds = max(map(len, chosen.values()))
    over = f", mean of {seeds} seeds" if seeds > 1 else ""
    what = f"{title}: {heading(what)}"
    return panel.drawing(f"{what} by optimiser step{over}: {', '.join(ends)}", what)


def _thinned(points: Points) -> Points:
    """At most about `MOST_POINTS`, the last one always."""
    steps, values = points
    every = math.ceil(len(steps) / MOST_POINTS) or 1
    keep = sorted({*range(0, len(steps), every), *([len(steps) - 1] if steps else [])})
    return [steps[i] for i in keep], [values[i] for i in keep]


def _short(title: str, most: int = 48) -> str:
    return title if len(title) <= most else title[: most - 1].rstrip() + "…"


def _said(metric: str, estimate: Estimate) -> str:
    """`62.1 % (58.0 % to 66.2 %)`."""
    if estimate.low is None:
        return shown(metric, estimate.mean)
    return f"{shown(metric, estimate.mean)} ({shown(metric, estimate.low)} to {shown(metric, estimate.high)})"
