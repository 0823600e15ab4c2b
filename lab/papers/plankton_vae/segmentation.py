"""The object in an image, as the 2020 pipeline found it (Pastore et al., Scientific Reports 10:12142)."""

from __future__ import annotations

from typing import Literal

import numpy as np

Ground = Literal["auto", "light", "dark"]

LEAST = 200
"""Pixels of a bounding box that an object fills at least, in an image as the microscope made it."""

# OpenCV's ellipses of 3 x 3 and 5 x 5.
CLOSING = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool)
WIDE_CLOSING = np.array(
    [[0, 0, 1, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0]], dtype=bool
)


def segmented(image: np.ndarray, ground: Ground = "auto", least: int = LEAST) -> np.ndarray:
    """Mask bool (h, w) of the largest object, without holes.

    An adaptive threshold (mean of 15 x 15, less 2) after a median filter of 7 x 7, or the triangle method, whichever
    says so; closed by 3 x 3. When the largest object is less than half of what was found, gaps are closed once more, by
    5 x 5. Without any object of `least` pixels the largest thing of any size counts, and on an empty image everything:
    the published code leaves such images out.

    Args:
        image: uint8 (h, w, 3) or (h, w).
        ground: whether objects are on light or on dark ground; auto: light where the border is lighter than the mean.
    """
    from skimage.filters import threshold_triangle

    grey = to_grey(image)
    if ground == "dark" or (ground == "auto" and np.median(border(grey)) < grey.mean()):
        image, grey = 255 - image, 255 - grey
    found = _adaptive(image)
    if grey.min() < grey.max():
        found |= _closed(grey <= threshold_triangle(grey), CLOSING)
    if not found.any():
        return np.ones(grey.shape, dtype=bool)
    objects = _objects(found, least)
    largest = _largest(objects)
    if largest.sum() < objects.sum() / 2:
        largest = _largest(_objects(_closed(found, WIDE_CLOSING), least))
    return largest


def to_grey(image: np.ndarray) -> np.ndarray:
    """uint8 (h, w), with OpenCV's weights. image: uint8 (h, w, 3) or (h, w)."""
    if image.ndim == 2:
        return image
    return np.asarray((image @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8))


def border(grey: np.ndarray) -> np.ndarray:
    """The pixels at the edge of an image (h, w)."""
    return np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])


def _adaptive(image: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    smooth = to_grey(ndimage.median_filter(image, size=(7, 7, 1)[: image.ndim], mode="nearest")).astype(np.float64)
    return _closed(smooth <= ndimage.uniform_filter(smooth, size=15, mode="nearest") - 2, CLOSING)


def _closed(mask: np.ndarray, element: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    wide = np.pad(mask, len(element))
    return np.asarray(ndimage.binary_closing(wide, element)[(slice(len(element), -len(element)),) * 2])


def _objects(mask: np.ndarray, least: int) -> np.ndarray:
    """Objects with their holes filled that have more than `least` pixels of the mask in their boxes, or else all.

    One that fills the whole image is none.
    """
    from scipy import ndimage

    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    kept = np.zeros_like(mask)
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        if least < np.count_nonzero(mask[box]) < mask.size:
            kept[box] |= ndimage.binary_fill_holes(labels[box] == number)
    return kept if kept.any() else np.asarray(ndimage.binary_fill_holes(mask))


def _largest(mask: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    return np.asarray(labels == np.bincount(labels.ravel())[1:].argmax() + 1)
