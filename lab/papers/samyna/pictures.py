"""Pictures of what was found: sheets of representatives with their captions, and the ranked words of each class."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lab.papers.samyna.naming import Word

COLUMNS, TILE, CELL, HEAD, SAID = 5, 112, 160, 24, 46
"""Of a contact sheet: images a row, then pixels of an image, of a column, of a heading, of a caption."""
MOST_WORDS = 8
DPI = 100
BIAS, TASK, OTHER = "#c2410c", "#2563eb", "#9ca3af"


def contact_sheet(title: str, pools: Mapping[str, tuple[np.ndarray | None, Sequence[str]]]) -> np.ndarray:
    """uint8 (h, w, 3): the images of each pool with their captions below, a heading a pool.

    pools: heading -> (uint8 (n, h, w, 1 or 3) or None, n captions).
    """
    rows = {kind: -(-len(captions) // COLUMNS) for kind, (_, captions) in pools.items()}
    sheet = Image.new("RGB", (COLUMNS * CELL, HEAD + sum(HEAD + (TILE + SAID) * n for n in rows.values())), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=11)
    pen.text((6, 4), title, fill="black", font=ImageFont.load_default(size=14))
    top = HEAD
    for kind, (images, captions) in pools.items():
        pen.text((6, top + 6), f"{kind}: {len(captions) or 'none'}", fill="black", font=font)
        top += HEAD
        for place, (image, caption) in enumerate(zip(() if images is None else images, captions, strict=True)):
            left, low = 6 + place % COLUMNS * CELL, top + place // COLUMNS * (TILE + SAID)
            pixels = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
            sheet.paste(pixels.resize((TILE, TILE), Image.Resampling.NEAREST), (left, low))
            said = textwrap.wrap(textwrap.shorten(caption, 72, placeholder="…"), 26)
            pen.multiline_text((left, low + TILE + 2), "\n".join(said), fill="black", font=font, spacing=2)
        top += rows[kind] * (TILE + SAID)
    return np.asarray(sheet)


def word_chart(words: Sequence[Sequence[Word]], class_names: Sequence[str], threshold: float) -> np.ndarray:
    """uint8 (h, w, 3): for each class its best words as bars of their scores, and the threshold of the verdict."""
    from matplotlib.patches import Patch

    columns = min(len(class_names), 5)
    lines = -(-len(class_names) // columns)
    figure = _figure(2.6 * columns, 2.1 * lines + 0.5)
    grid = figure.subplots(lines, columns, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place >= len(class_names):
            axes.set_axis_off()
            continue
        shown = words[place][:MOST_WORDS]
        verdict = ", ".join(word.word for word in words[place] if word.flagged) or "no bias found"
        axes.set_title(textwrap.shorten(f"{class_names[place]}: {verdict}", 34, placeholder="…"), fontsize=8)
        colours = [BIAS if word.flagged else TASK if word.task else OTHER for word in shown]
        axes.barh([word.word for word in shown], [word.score for word in shown], color=colours)
        axes.axvline(threshold, color="black", linewidth=0.8, linestyle=":")
        axes.set_xlim(min(0.0, *(word.score for word in shown), 0.0), 1)
        axes.invert_yaxis()
        axes.tick_params(labelsize=7)
    named = {"names a bias": BIAS, "about the task": TASK, "other": OTHER}
    figure.subplots_adjust(0.36 / columns, 0.12 if lines > 1 else 0.25, 1 - 0.06 / columns, 0.9, wspace=0.5, hspace=0.4)
    figure.legend(handles=[Patch(color=colour, label=label) for label, colour in named.items()], fontsize=7, ncols=3,
                  loc="lower center")  # fmt: skip
    return _pixels(figure)


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI)


def _pixels(figure: Any) -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
