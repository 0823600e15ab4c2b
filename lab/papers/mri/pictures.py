"""Pictures of slices: before, after, what changed, how sure; and curves over the noise level. Uint8 (h, w, 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 1.5
"""Inches of one slice."""
DIFFERENCE = 0.3
"""Largest difference that the colours tell apart, as a share of the scale."""
SPREAD = 0.15


def corrections(shown: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """A row for each slice: input, corrected, target, both differences to it, and the spread over draws.

    shown: `input`, `corrected`, `target` and where there is one `spread`, each float (h, w).
    """
    parts = [{name: np.asarray(part) for name, part in slices.items()} for slices in shown]
    columns: dict[str, np.ndarray] = {
        title: np.stack([part[name] for part in parts])
        for title, name in (("input", "input"), ("corrected", "corrected"), ("clean twin", "target"))
    }
    columns["input - twin"] = columns["input"] - columns["clean twin"]
    columns["corrected - twin"] = columns["corrected"] - columns["clean twin"]
    if "spread" in parts[0]:
        columns["spread of draws"] = np.stack([part["spread"] for part in parts])
    return rows_of_images(columns)


def rows_of_images(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Columns of slices float (n, h, w) by title. Titles with ` - ` are differences, with `spread` spreads."""
    from matplotlib.figure import Figure

    count = len(next(iter(columns.values())))
    figure = Figure(figsize=(SIDE * len(columns), SIDE * count + 0.5), dpi=110, layout="constrained")
    panels = figure.subplots(1, len(columns), squeeze=False)[0]
    for panel, (title, images) in zip(panels, columns.items(), strict=True):
        difference, spread = " - " in title, "spread" in title
        scale: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 1}
        if difference:
            scale = {"cmap": "RdBu_r", "vmin": -DIFFERENCE, "vmax": DIFFERENCE}
        elif spread:
            scale = {"cmap": "magma", "vmin": 0, "vmax": SPREAD}
        # One picture a column: a panel for each slice would take a second more.
        gap = np.full((1, images.shape[2]), np.nan)
        stacked = np.concatenate([part for image in images for part in (image, gap)][:-1])
        drawn = panel.imshow(stacked, interpolation="nearest", **scale)
        panel.set_axis_off()
        panel.set_title(title, fontsize=8)
        bar = figure.colorbar(drawn, ax=panel, location="bottom", shrink=0.9, pad=0.02)
        bar.ax.tick_params(labelsize=6)
        bar.ax.set_visible(difference or spread)  # the space is kept, so that all columns are of one size
    return pixels(figure)


def curves(
    x: Sequence[float], panels: Mapping[str, Mapping[str, Sequence[float]]], xlabel: str, marked: float | None = None
) -> np.ndarray:
    """Line plots beside each other: panel -> line -> values at `x`, on a logarithmic axis; `marked` is a dashed line.

    A line of one value is drawn across.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.1 * len(panels), 2.6), dpi=110, layout="constrained")
    for panel, (title, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        dashes = iter((":", "-.", "--"))
        for name, values in lines.items():
            if len(values) == 1:
                panel.axhline(values[0], linestyle=next(dashes), color="#4a5568", label=name)
            else:
                panel.plot(x, values, marker=".", label=name)
        if marked is not None:
            panel.axvline(marked, color="black", linewidth=1, linestyle="--")
        panel.set_xscale("log")
        panel.set_xticks(list(x), [f"{value:.2g}" for value in x])
        panel.minorticks_off()
        panel.set_title(title, fontsize=8, loc="left")
        panel.set_xlabel(xlabel, fontsize=8)
        panel.tick_params(labelsize=6)
        panel.legend(fontsize=6)
        panel.spines[["top", "right"]].set_visible(False)
    return pixels(figure)


def pixels(figure: Figure) -> np.ndarray:
    """A figure as uint8 (h, w, 3)."""
    from PIL import Image

    png = BytesIO()
    figure.savefig(png, format="png")
    return np.asarray(Image.open(png).convert("RGB"))
