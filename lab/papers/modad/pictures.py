"""What the anomaly stage shows: how scores are distributed, and which images are at their ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CLASSES = 12
"""Classes that are drawn, the first ones."""
TILE = 64
GAP = 3
BINS = 40

ALIGNED, CONFLICTING, PLAIN = "#2b6cb0", "#c05621", "#4a5568"
FRAMES = {1: (192, 86, 33), 0: (255, 255, 255), -1: (255, 255, 255)}
"""Colour of the frame of a truly conflicting image, of an aligned one, and of one whose bias isn't known."""


def score_histograms(
    label: np.ndarray, score: np.ndarray, flagged: np.ndarray, truth: np.ndarray, class_names: Sequence[str]
) -> np.ndarray:
    """Density of the scores of each class as uint8 (h, w, 3), truly aligned and conflicting rows apart where they are
    known (truth 0, 1, else -1), and the threshold as a line. All (n,).
    """
    from matplotlib.figure import Figure

    names = class_names[:MOST_CLASSES]
    columns = min(len(names), 3)
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(3.2 * columns, 1.9 * lines + 0.4), dpi=100, layout="constrained")
    axes = np.atleast_1d(figure.subplots(lines, columns, squeeze=False)).ravel()
    for panel in axes[len(names) :]:
        panel.set_visible(False)
    kinds = ((0, "aligned", ALIGNED), (1, "conflicting", CONFLICTING), (-1, "true bias unknown", PLAIN))
    shown: dict[str, Any] = {}
    for k, (panel, name) in enumerate(zip(axes, names, strict=False)):
        own = label == k
        panel.set_title(name, fontsize=9, loc="left")
        panel.set_yticks([])
        panel.tick_params(labelsize=8)
        panel.spines[["top", "left", "right"]].set_visible(False)
        if not own.any():
            continue
        edges = np.linspace(score[own].min(), max(score[own].max(), score[own].min() + 1e-6), BINS + 1)
        for value, title, colour in kinds:
            chosen = score[own & (truth == value)]
            if len(chosen):
                *_, drawn = panel.hist(chosen, edges, density=True, color=colour, alpha=0.55, histtype="stepfilled")
                shown.setdefault(f"{title} (each kind's area is 1)" if value >= 0 else title, drawn[0])
        if (own & flagged).any():
            line = panel.axvline(score[own & flagged].min(), color="black", linewidth=1, linestyle="--")
            shown.setdefault("flagged from here on", line)
    figure.supxlabel("anomaly score, standard deviations of the class", fontsize=9)
    if shown:
        figure.legend(list(shown.values()), list(shown), loc="outside upper left", ncols=3, fontsize=8, frameon=False)
    return _pixels(figure)


def contact_sheet(
    images: Callable[[list[int]], np.ndarray],
    label: np.ndarray,
    score: np.ndarray,
    flagged: np.ndarray,
    truth: np.ndarray,
    class_names: Sequence[str],
    most: int,
) -> np.ndarray:
    """A row for each class, its `most` most normal images left and most anomalous right: uint8 (h, w, 3).

    images: pixels uint8 (k, h, w, c) of the rows with these numbers. Images that truly are conflicting have a frame.
    """
    from matplotlib.figure import Figure

    names = class_names[:MOST_CLASSES]
    cell = TILE + 2 * GAP
    sheet = np.full((len(names) * cell, (2 * most + 1) * cell, 3), 255, np.uint8)
    for k in range(len(names)):
        rows = np.flatnonzero(label == k)
        rows = rows[np.argsort(score[rows], kind="stable")]
        half = min(most, len(rows) // 2)
        chosen = [*rows[:half], *rows[len(rows) - half :][::-1]]
        if not chosen:
            continue
        pixels = images([int(row) for row in chosen])
        for place, (row, tile) in enumerate(zip(chosen, pixels, strict=True)):
            column = place if place < half else most + 1 + place - half
            top, left = k * cell, column * cell
            sheet[top : top + cell, left : left + cell] = FRAMES[int(truth[row])]
            sheet[top + GAP : top + GAP + TILE, left + GAP : left + GAP + TILE] = _tile(tile)
    height, width = sheet.shape[0] / 100, sheet.shape[1] / 100
    figure = Figure(figsize=(width + 1.3, height + 0.5), dpi=100, layout="constrained")
    axes = figure.subplots()
    axes.imshow(sheet, interpolation="nearest", aspect="equal")
    axes.set_yticks([(k + 0.5) * cell for k in range(len(names))], names, fontsize=9)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    framed = "; truly conflicting ones framed" if (truth >= 0).any() else ""
    axes.set_title(f"most normal (left) and most anomalous (right) of each class{framed}", fontsize=9, loc="left")
    return _pixels(figure)


def _tile(image: np.ndarray) -> np.ndarray:
    """An image (h, w, c), c 1 or 3, as a uint8 (TILE, TILE, 3) square."""
    from PIL import Image

    rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    how = Image.Resampling.NEAREST if max(rgb.shape[:2]) <= TILE else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(np.ascontiguousarray(rgb)).resize((TILE, TILE), how))


def _pixels(figure: Figure) -> np.ndarray:
    from PIL import Image

    png = BytesIO()
    figure.savefig(png, format="png")
    return np.asarray(Image.open(png).convert("RGB"))
