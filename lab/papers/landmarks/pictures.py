"""What a predict stage of landmarks shows: places on images, and the errors of each landmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOUND, TRUE = "#ff5a36", "#31d07c"
COLUMNS = 4


def overlays(table: Mapping[str, Tensor], names: Sequence[str], unit: str, most: int) -> np.ndarray:
    """Up to `most` images with the landmarks found and true, as uint8 (h, w, 3): from the best to the worst where the
    errors are known, else the first ones.

    table: columns `image`, `point`, `truth`, `error` and `size` of `LandmarkModule.predict_step`.
    """
    from matplotlib.figure import Figure

    errors = table["error"].numpy()
    known = np.isfinite(errors).any(1)
    means = np.array([np.nanmean(row) if some else np.inf for row, some in zip(errors, known, strict=True)])
    order = np.argsort(means, kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, min(most, len(order))).round().astype(int))]
    columns = min(COLUMNS, len(chosen))
    lines = -(-len(chosen) // columns)
    figure = Figure(figsize=(2.6 * columns, 3.0 * lines + 0.3), dpi=100, layout="constrained")
    axes = np.atleast_1d(figure.subplots(lines, columns, squeeze=False)).ravel()
    for panel in axes:
        panel.set_axis_off()
    for panel, row in zip(axes, chosen, strict=False):
        width, height = table["size"][row].tolist()
        point, truth = table["point"][row].numpy(), table["truth"][row].numpy()
        whole = (-0.5, width - 0.5, height - 0.5, -0.5)
        panel.imshow(table["image"][row].numpy(), cmap="gray", vmin=0, vmax=255, extent=whole)
        panel.plot(*np.stack([truth, point]).transpose(2, 0, 1), color=FOUND, linewidth=0.8)
        panel.scatter(*truth.T, s=16, facecolors="none", edgecolors=TRUE, linewidths=0.9, label="true")
        panel.scatter(*point.T, s=5, color=FOUND, linewidths=0, label="found")
        name = PurePosixPath(names[row]).name if len(names) else str(row)
        lost = int(np.isnan(point).any(1).sum())
        said = f"{means[row]:.2f} {unit}" if known[row] else "no labels"
        panel.set_title(f"{name}: {said}{f', {lost} not found' if lost else ''}", fontsize=8)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return _pixels(figure)


def error_chart(errors: np.ndarray, names: Sequence[str], unit: str, radii: Sequence[float]) -> np.ndarray:
    """Distribution of the errors of each landmark as uint8 (h, w, 3): box from quarter to quarter, whiskers to 5 and
    95 %, and the radii as lines. errors: (n, L), NaN where not known or not found.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 0.9 + 0.19 * len(names)), dpi=100, layout="constrained")
    panel: Any = figure.subplots()
    columns = [column[np.isfinite(column)] for column in errors.T]
    places = np.arange(len(names))
    panel.boxplot(
        columns,
        positions=places,
        orientation="horizontal",
        whis=(5, 95),
        widths=0.6,
        showfliers=False,
        medianprops={"color": FOUND, "linewidth": 1.4},
    )
    for radius in radii:
        panel.axvline(radius, color="0.6", linewidth=0.8, linestyle=":")
    panel.set_yticks(places, [name.replace("_", " ") for name in names], fontsize=7)
    panel.invert_yaxis()
    panel.set_xlim(left=0)
    panel.tick_params(axis="x", labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)
    panel.set_xlabel(f"radial error, {unit}; dotted: radii of the detection rates", fontsize=8)
    return _pixels(figure)


def _pixels(figure: Figure) -> np.ndarray:
    from PIL import Image

    png = BytesIO()
    figure.savefig(png, format="png")
    return np.asarray(Image.open(png).convert("RGB"))
