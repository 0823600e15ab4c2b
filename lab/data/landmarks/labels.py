"""Label files of the three public sets: text in, points out, one clear line for what is wrong. NumPy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lab.errors import DataError

CHEST, CEPHALOMETRIC, HAND = 6, 19, 37
"""Points an image."""


def chest_points(text: str, where: object) -> np.ndarray:
    """float64 (6, 2), shares of width and height in [0, 1]: a line with the count, then a line `x y` for each.

    where: what errors name.

    Raises:
        DataError: another number of points, something that is no number, a point outside the image.
    """
    lines = _lines(text)
    if not lines or lines[0].split() != [str(CHEST)]:
        first = lines[0] if lines else ""
        raise DataError(f"{where}: the first line has to be the number of points, {CHEST}; it is '{first}'")
    if len(lines) != CHEST + 1:
        raise DataError(f"{where}: holds {len(lines) - 1} points; there have to be {CHEST}")
    points = np.array([_pair(line.split(), where, number) for number, line in enumerate(lines[1:], start=2)])
    if (points < 0).any() or (points > 1).any():
        number = int(np.argmax(((points < 0) | (points > 1)).any(1)))
        x, y = points[number]
        raise DataError(f"{where} line {number + 2}: ({x:g}, {y:g}) is outside the image; shares are in [0, 1]")
    return points


def cephalometric_points(text: str, where: object) -> np.ndarray:
    """float64 (19, 2), pixels of the official film: lines `x,y`; what follows them (classes) is left unread.

    Raises:
        DataError: another number of points, or something that is no number.
    """
    lines = _lines(text)
    pairs = [line.split(",") for line in lines if "," in line]
    if len(pairs) != CEPHALOMETRIC or any("," not in line for line in lines[:CEPHALOMETRIC]):
        raise DataError(f"{where}: holds {len(pairs)} points; there have to be {CEPHALOMETRIC} lines x,y, and first")
    return np.array([_pair(pair, where, number) for number, pair in enumerate(pairs, start=1)])


def hand_points(text: str, where: object) -> Mapping[str, np.ndarray]:
    """Image id -> float64 (37, 2), pixels: a line `id,x0,y0,…,x36,y36` (75 columns) for each image, no header.

    Raises:
        DataError: another number of columns, something that is no number, or an id that comes twice.
    """
    found: dict[str, np.ndarray] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, *values = (word.strip() for word in line.split(","))
        if len(values) != 2 * HAND:
            raise DataError(f"{where} line {number}: has {len(values) + 1} columns; there have to be {2 * HAND + 1}")
        if name in found:
            raise DataError(f"{where} line {number}: image {name} is in the file already")
        found[name] = np.array([_pair(values[k : k + 2], where, number) for k in range(0, 2 * HAND, 2)])
    if not found:
        raise DataError(f"{where}: has no rows")
    return found


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _pair(words: Sequence[str], where: object, line: int) -> tuple[float, float]:
    try:
        x, y = (float(word) for word in words)
    except ValueError:
        raise DataError(f"{where} line {line}: '{' '.join(words)}' is not two numbers x and y") from None
    if not (np.isfinite(x) and np.isfinite(y)):
        raise DataError(f"{where} line {line}: '{' '.join(words)}' is not two finite numbers")
    return x, y
