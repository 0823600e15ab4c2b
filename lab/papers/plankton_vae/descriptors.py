"""The 131 hand-crafted descriptors of the 2020 pipeline (Pastore et al., Scientific Reports 10:12142), from an image
and its mask. scikit-image and mahotas (extra `lab[microscopy]`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lab.papers.plankton_vae.segmentation import LEAST, Ground, segmented, to_grey
from lab.papers.plankton_vae.shape import FOURIER, GEOMETRY, ZERNIKE, fourier, geometry, zernike

LBP_POINTS, LBP_RADIUS = 54, 8
LBP = tuple(f"lbp_{number}" for number in range(LBP_POINTS + 2))
HARALICK = tuple(f"haralick_{number}" for number in range(1, 14))
COLOUR = ("red_to_blue", "red_to_green", "green_to_blue")
INTENSITY = ("mean", "std", "skewness", "kurtosis", "entropy", *COLOUR)

NAMES: tuple[str, ...] = (*GEOMETRY, *ZERNIKE, *LBP, *HARALICK, *INTENSITY, *FOURIER)
GREY_ONLY = ("entropy", *COLOUR)
"""What the published pipeline leaves out on grey images; 127 descriptors are left."""


def described(
    images: np.ndarray, masks: Sequence[np.ndarray] | None = None, ground: Ground = "auto", least: int = LEAST
) -> np.ndarray:
    """Descriptors float64 (n, 131), in the order of `NAMES`. What can't be computed (of an image of one colour) is 0.

    Args:
        images: uint8 (n, h, w, 3).
        masks: bool (h, w) each; absent: as `segmented` finds them, with `ground` and `least`.
    """
    found = [segmented(image, ground, least) for image in images] if masks is None else masks
    rows = [descriptors(image, mask) for image, mask in zip(images, found, strict=True)]
    return np.stack(rows) if rows else np.zeros((0, len(NAMES)))


def descriptors(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The same of one image uint8 (h, w, 3) with its mask bool (h, w), which must not be empty: (131,)."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    cut, inside = image[box], mask[box]
    on_white = np.where(inside, to_grey(cut), 255).astype(np.uint8)
    values = np.concatenate(
        [geometry(mask), zernike(mask), lbp(on_white), haralick(on_white), intensity(cut[inside]), fourier(mask)]
    )
    return np.asarray(np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0))


def lbp(grey: np.ndarray) -> np.ndarray:
    """Histogram (56,) of uniform local binary patterns, 54 points at radius 8; it sums to 1. grey: uint8 (h, w)."""
    from skimage.feature import local_binary_pattern

    patterns = local_binary_pattern(np.pad(grey, LBP_RADIUS, constant_values=255), LBP_POINTS, LBP_RADIUS, "uniform")
    return np.asarray(np.bincount(patterns.astype(np.int64).ravel(), minlength=LBP_POINTS + 2) / patterns.size)


def haralick(grey: np.ndarray) -> np.ndarray:
    """Haralick's first 13 measures of co-occurrence, mean over four directions. grey: uint8 (h, w)."""
    from mahotas.features import haralick as measures

    # A single row has no neighbours in three of the directions.
    return np.asarray(measures(np.pad(grey, 1, constant_values=255), return_mean=True))


def intensity(pixels: np.ndarray) -> np.ndarray:
    """The 8 of `INTENSITY`, of the object's pixels uint8 (n, 3). Entropy in nats, of the histogram of 256 greys.

    The 2020 code takes the moments of the histogram, of the ground and not of the object, and leaves the ratios of
    colours at 0; here they are what their names say.
    """
    from scipy import stats

    grey = to_grey(pixels[None])[0].astype(np.float64)
    share = np.bincount(grey.astype(np.int64), minlength=256) / len(grey)
    red, green, blue = pixels.mean(axis=0) + 1e-6
    varied = grey.min() < grey.max()
    return np.array(
        [
            grey.mean(),
            grey.std(),
            stats.skew(grey) if varied else 0,
            stats.kurtosis(grey) if varied else 0,
            stats.entropy(share),
            red / blue,
            red / green,
            green / blue,
        ]
    )
