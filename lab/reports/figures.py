"""Training curves as small SVG pictures, each in a light and a dark version, and PNG files as they are."""

from __future__ import annotations

import base64
import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.reports.run import Run, Stage
from lab.stages.artefact import CURVES

Points = tuple[list[float], list[float]]

# Drawn in the light colours; the dark version is the same file with these exchanged. All have a contrast of at
# least 4.5 (text) or 3 (lines) on the page's background of their theme.
INK = ("#3b4351", "#c3c9d3")
GRID = ("#d9dde3", "#363c46")
LINES = (("#1f5fae", "#6ea8f0"), ("#b4480f", "#f0955e"), ("#1b7a43", "#62c48c"), ("#7a3ea8", "#c195ea"))


@dataclass(frozen=True)
class Picture:
    """An image as data URIs; `dark` is empty when there is one version only. width, height in CSS pixels."""

    alt: str
    caption: str
    light: str
    dark: str
    width: int
    height: int


def curves(run: Run) -> list[tuple[Stage, list[Picture]]]:
    """For each stage that was fitted: its loss, and its accuracies where it logged some."""
    found = []
    for stage in run.with_verb("fit"):
        path = stage.artefact.path / CURVES if stage.artefact else None
        if path is not None and path.exists():
            pictures = list(_panels(stage.title, read_curves(path)))
            if pictures:
                found.append((stage, pictures))
    return found


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


def picture_files(run: Run) -> list[tuple[Stage, list[Path]]]:
    """Pictures that stages made: of those that predict first, since they show what was generated."""
    stages = sorted((stage for stage in run.stages.values() if stage.artefact), key=lambda s: s.verb != "predict")
    found = [(stage, stage.artefact.pictures()) for stage in stages if stage.artefact]
    return [(stage, paths) for stage, paths in found if paths]


def pictures(run: Run) -> list[tuple[Stage, list[Picture]]]:
    """`picture_files`, read."""
    return [(stage, [_png(stage.title, path) for path in paths]) for stage, paths in picture_files(run)]


def caption(path: Path) -> str:
    return path.stem.replace("_", " ")


def _png(title: str, path: Path) -> Picture:
    data = path.read_bytes()
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])  # the first chunk of a PNG, IHDR
    return Picture(f"{title}: {caption(path)}", caption(path), _uri("image/png", data), "", width, height)


def _panels(title: str, series: Mapping[str, Points]) -> Iterator[Picture]:
    losses = {name: points for name, points in series.items() if name.endswith("loss")}
    accuracies = {name: points for name, points in series.items() if name.endswith("accuracy")}
    for what, chosen in (("loss", losses), ("accuracy", accuracies)):
        if chosen:
            ends = ", ".join(f"{name} ends at {values[-1]:.4g}" for name, (_, values) in chosen.items())
            light, dark = _draw(chosen)
            yield Picture(f"{what} of {title} by optimiser step: {ends}", what, light, dark, 340, 220)


def _draw(series: Mapping[str, Points]) -> tuple[str, str]:
    """One panel of 340 x 220 CSS pixels, as data URIs for a light and for a dark page."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    ink, grid = INK[0], GRID[0]
    style: dict[Any, Any] = {
        "svg.fonttype": "none", "svg.hashsalt": "lab", "font.family": "sans-serif", "font.size": 11, "text.color": ink,
        "axes.edgecolor": grid, "axes.labelcolor": ink, "xtick.color": ink, "ytick.color": ink, "grid.color": grid,
    }  # fmt: skip
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(340 / 72, 220 / 72), layout="constrained")
        axes = figure.add_subplot()
        for (name, (steps, values)), (colour, _) in zip(series.items(), LINES * len(series), strict=False):
            axes.plot(steps, values, color=colour, linewidth=1.5, label=name, marker="." if len(steps) < 3 else "")
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.grid(linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="best", labelcolor="linecolor")
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None})
    light = drawn.getvalue()
    dark = light
    for ours, theirs in (INK, GRID, *LINES):
        dark = dark.replace(ours, theirs)
    return _uri("image/svg+xml", light.encode()), _uri("image/svg+xml", dark.encode())


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
