"""Bias attributes: how a construction ties one to the class, and how a ground colour is read off. NumPy only."""

from __future__ import annotations

import numpy as np


def assign_bias(
    labels: np.ndarray, biases: int, rho: float, rng: np.random.Generator, confusing: int | None = None
) -> np.ndarray:
    """A bias attribute (n,) for each label: exactly round(rho * n_k) rows of class k get attribute k.

    The others are dealt to the next `confusing` attributes k + 1, k + 2, ... (modulo `biases`) as evenly as can be, as
    the code of ReBias does (Bahng et al. 2020). With rho = 1 / biases attribute and class are independent.

    Args:
        labels: int64 (n,) in 0..biases-1.
        rho: share of bias-aligned rows, in [0, 1].
        confusing: in 1..biases-1, default all other attributes.
    """
    confusing = biases - 1 if confusing is None else confusing
    bias = labels.astype(np.int64)
    for label in range(biases):
        rows = rng.permutation(np.flatnonzero(labels == label))
        conflicting = rows[round(rho * len(rows)) :]
        others = (label + 1 + rng.permutation(confusing)) % biases
        bias[conflicting] = np.resize(others, len(conflicting))
    return bias


def associated(labels: np.ndarray, bias: np.ndarray, classes: int, biases: int) -> np.ndarray:
    """Whether an attribute goes with a class, bool (classes, biases): it is more frequent there than over all rows.

    labels, bias: int64 (n,), of the training rows; rows of bias -1 (not known) are left out.
    """
    known = bias >= 0
    rows = np.bincount(labels[known] * biases + bias[known], minlength=classes * biases).reshape(classes, biases)
    return np.asarray(rows * rows.sum() > rows.sum(axis=1, keepdims=True) * rows.sum(axis=0))


def border(images: np.ndarray) -> np.ndarray:
    """Pixels (n, p, c) along the edges of images (n, h, w, c): a sixteenth of the side wide, at least 1."""
    edge = max(1, images.shape[1] // 16)
    inner = np.zeros(images.shape[1:3], dtype=bool)
    inner[edge:-edge, edge:-edge] = True
    return images[:, ~inner]


def nearest_colour(images: np.ndarray, colours: np.ndarray, near: float) -> np.ndarray:
    """Index (n,) of the colour nearest to each image's ground; -1 when further than the RGB distance `near`.

    The ground is the per-channel median of the border; whitish pixels (no channel below 190) are left out of it, since
    a white figure may touch the border, and the image may be blurred or generated.

    Args:
        images: uint8 (n, h, w, 3).
        colours: uint8 (k, 3), none of them whitish.
    """
    pixels = border(images)
    whitish = pixels.min(axis=-1) >= 190
    ground = np.median(pixels, axis=1).astype(np.float64)
    for row in np.flatnonzero(whitish.mean(axis=1) > 0.05):
        ground[row] = np.median(pixels[row, ~whitish[row]], axis=0) if not whitish[row].all() else 255
    distance = np.linalg.norm(ground[:, None] - colours.astype(np.float64), axis=-1)
    return np.where(distance.min(axis=1) <= near, distance.argmin(axis=1), -1)
