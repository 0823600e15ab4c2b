"""What a corrected image shows that isn't there, and hides that is (evaluation notes, section 3.5). NumPy and SciPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from scipy.stats import rankdata

STRENGTH = 0.15
"""Share of the scale from which on a difference can be taken for a lesion."""
AREA = 9.0
"""mm^2 that it covers at least."""


def retained_contrast(with_lesion: np.ndarray, without: np.ndarray, lesion: np.ndarray) -> np.ndarray:
    """Share (n,) of an inserted lesion that is left: 1 all, 0 none, below 0 its opposite; NaN for an empty one.

    Both corrected images (n, h, w) are of the same head and motion, one with `lesion` (n, h, w) added before it moved.
    What differs between them is the lesion's alone; it is projected on the lesion.
    """
    found = ((with_lesion - without) * lesion).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(found / np.square(lesion).sum(axis=(1, 2)))


def false_lesions(
    image: np.ndarray, reference: np.ndarray, mask: np.ndarray, spacing: Sequence[float] = (1.0, 1.0)
) -> np.ndarray:
    """Number (n,) of pieces of `|image - reference|` above `STRENGTH` and larger than `AREA`, within the mask.

    image, reference: (n, h, w) in [0, 1]; mask: bool (n, h, w); spacing: mm between rows and between columns. A piece
    has to be more than one pixel. What is left of the motion counts too, so compare with the uncorrected images.
    """
    strong = (np.abs(image - reference) > STRENGTH) & mask
    least = max(AREA / (spacing[0] * spacing[1]), 1.0)
    counts = []
    for slice_ in strong:
        pieces, number = ndimage.label(slice_)
        sizes = np.bincount(pieces.ravel(), minlength=number + 1)[1:]
        counts.append(int((sizes > least).sum()))
    return np.array(counts, dtype=np.float64)


def rank_correlation(spread: np.ndarray, error: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Spearman's correlation (n,) of two maps (n, h, w) over the pixels of the mask; NaN where one of them is even.

    With the spread of several draws and the absolute error: whether a model is unsure where it is wrong.
    """
    found = []
    for a, b, kept in zip(spread, error, mask, strict=True):
        x, y = rankdata(a[kept]), rankdata(b[kept])
        x, y = x - x.mean() if len(x) else x, y - y.mean() if len(y) else y
        size = np.sqrt(np.square(x).sum() * np.square(y).sum())
        found.append(float((x * y).sum() / size) if size > 0 else np.nan)
    return np.array(found)
