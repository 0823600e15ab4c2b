"""Landmarks as heatmaps and back: targets, losses, decoders. Pure torch, and SciPy for connected components.

Places are (x, y), whole numbers being pixel centres: an image of width w reaches from -0.5 to w - 0.5. The frame is the
square that an image is squashed to. A missing landmark is NaN.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

Decoder = Literal["contour", "argmax", "soft_argmax"]

HALF = math.sqrt(2 * math.log(2))
"""Radius at which a Gaussian falls to half its height, in its standard deviations."""


def to_frame(points: Tensor, size: Tensor, side: int) -> Tensor:
    """Places in the frame of side `side` of places (…, L, 2) in the original. size: (…, 2), its width and height."""
    return (points + 0.5) * (side / size.to(points.dtype))[..., None, :] - 0.5


def to_original(points: Tensor, size: Tensor, side: int) -> Tensor:
    """The inverse of `to_frame`."""
    return (points + 0.5) * (size.to(points.dtype) / side)[..., None, :] - 0.5


def gaussians(points: Tensor, side: int, sigma: float) -> Tensor:
    """Maps (B, L, side, side) of exp(-d^2 / 2 sigma^2), d being the distance to points (B, L, 2); 0 where one is NaN.

    A point outside the frame has no map (all 0): there is nothing in the image to learn it from.
    """
    axis = torch.arange(side, device=points.device, dtype=points.dtype)
    x, y = (torch.exp(-((axis - points[..., k, None]) ** 2) / (2 * sigma**2)) for k in (0, 1))
    inside = ((points >= -0.5) & (points <= side - 0.5)).all(-1)  # False for NaN
    maps = y[..., :, None] * x[..., None, :]
    return torch.where(inside[..., None, None], maps, 0)


def discs(points: Tensor, side: int, sigma: float) -> Tensor:
    """The Gaussians cut at half their height, as 0 and 1: discs of radius sigma sqrt(2 ln 2) (released code)."""
    return (gaussians(points, side, sigma) >= 0.5).to(points.dtype)


def channel_ce(logits: Tensor, target: Tensor) -> Tensor:
    """-1/(B P) sum_{b,p,c} y_{bcp} (z_{bcp} - logsumexp_c z_{bcp}): softmax over the landmarks at each pixel.

    Without gradient where all targets are 0, and identically 0 for a single landmark (landmark-ddpm notes 3.3). A
    landmark without a map counts nowhere.

    Args:
        logits, target: (B, L, H, W).
    """
    return F.cross_entropy(logits, target)


def spatial_ce(logits: Tensor, target: Tensor) -> Tensor:
    """-1/(B L) sum_{b,c,p} y~_{bcp} (z_{bcp} - logsumexp_p z_{bcp}), y~ = y / sum_p y: softmax over the pixels.

    The mean is over the landmarks that have a map; without any it is 0.

    Args:
        logits, target: (B, L, H, W).
    """
    mass = target.flatten(2)
    total = mass.sum(-1)
    known = total > 0
    each = -(mass * logits.flatten(2).log_softmax(-1)).sum(-1) / total.clamp(min=torch.finfo(total.dtype).tiny)
    return torch.where(known, each, 0).sum() / known.sum().clamp(min=1)


def decode(logits: Tensor, how: Decoder, *, spatial: bool, sigma: float, raw: bool = False) -> Tensor:
    """Places (B, L, 2) in the frame; NaN where a map is flat or not finite.

    Args:
        logits: (B, L, H, W).
        how: `contour`: centroid of the largest connected part above half the maximum; `argmax`: the highest pixel,
            refined by a parabola through its neighbours; `soft_argmax`: mean place under the softmax, near that pixel.
        spatial: trained by softmax over the pixels; contours then are those of the probabilities.
        sigma: of the targets, in pixels; sets what is near.
        raw: contours of the logits themselves, as the released code does, which finds nothing where the maximum is not
            above 0. Otherwise their minimum is taken off first.
    """
    logits = logits.detach().float()
    flat = logits.flatten(2)
    low, high = flat.amin(-1), flat.amax(-1)
    found = flat.isfinite().all(-1) & (high > low)
    safe = torch.where(found[..., None, None], logits, 0)
    if how == "argmax":
        points = parabolic_argmax(safe)
    elif how == "soft_argmax":
        points = soft_argmax(safe, 3 * sigma)
    elif spatial:
        points = contour_centroids(safe.flatten(2).softmax(-1).view_as(safe))
    else:
        points = contour_centroids(safe if raw else safe - low.nan_to_num()[..., None, None])
    return torch.where(found[..., None], points, torch.nan)


def contour_centroids(scores: Tensor) -> Tensor:
    """Centroids (B, L, 2) of the largest connected part (8 neighbours) where a map reaches half its maximum.

    scores: (B, L, H, W), meant to be at least 0; NaN where the maximum isn't above 0.
    """
    maps = scores.cpu().numpy()
    points = np.full((*maps.shape[:2], 2), np.nan, dtype=np.float32)
    for place in np.ndindex(*maps.shape[:2]):
        highest = maps[place].max()
        if highest <= 0:
            continue
        parts, _ = ndimage.label(maps[place] >= 0.5 * highest, structure=np.ones((3, 3)))
        largest = np.bincount(parts.ravel())[1:].argmax() + 1
        rows, columns = np.nonzero(parts == largest)
        points[place] = columns.mean(), rows.mean()
    return torch.from_numpy(points).to(scores.device)


def parabolic_argmax(scores: Tensor) -> Tensor:
    """Places (B, L, 2) of the highest pixels of (B, L, H, W), each moved to the top of the parabolas through it and
    its neighbours; of log-densities of a Gaussian that is exact. At the edge a pixel stays along that axis.
    """
    height, width = scores.shape[-2:]
    best = scores.flatten(2).argmax(-1)
    y, x = best // width, best % width

    def at(dx: int, dy: int) -> Tensor:
        place = (y + dy).clamp(0, height - 1) * width + (x + dx).clamp(0, width - 1)
        return scores.flatten(2).gather(-1, place[..., None])[..., 0]

    def shift(before: Tensor, after: Tensor, inner: Tensor) -> Tensor:
        bend = before - 2 * at(0, 0) + after
        moved = (0.5 * (before - after) / torch.where(bend < 0, bend, -torch.inf)).clamp(-0.5, 0.5)
        return torch.where(inner, moved, 0)

    dx = shift(at(-1, 0), at(1, 0), (x > 0) & (x < width - 1))
    dy = shift(at(0, -1), at(0, 1), (y > 0) & (y < height - 1))
    return torch.stack([x + dx, y + dy], -1)


def soft_argmax(scores: Tensor, radius: float) -> Tensor:
    """Mean places (B, L, 2) under the softmax over the pixels within `radius` of the highest one.

    Not over all pixels: what little weight the others have lies far away, and pulls to the middle of the image.
    """
    height, width = scores.shape[-2:]
    best = scores.flatten(2).argmax(-1)
    x = torch.arange(width, device=scores.device, dtype=scores.dtype)
    y = torch.arange(height, device=scores.device, dtype=scores.dtype)
    across = (x - (best % width)[..., None]) ** 2
    down = (y - (best // width)[..., None]) ** 2
    near = down[..., :, None] + across[..., None, :] <= radius**2
    weights = torch.where(near, scores, -torch.inf).flatten(2).softmax(-1).view_as(scores)
    return torch.stack([(weights.sum(-2) * x).sum(-1), (weights.sum(-1) * y).sum(-1)], -1)


def confidence(logits: Tensor, points: Tensor, *, spatial: bool, sigma: float) -> Tensor:
    """How sure the network is of each place, (B, L) in [0, 1]; 0 where it is NaN.

    `spatial`: what the softmax over the pixels has within 3 sigma of the place; a perfect map has .99 there. Otherwise
    the softmax over the landmarks at the nearest pixel: how clearly the place is this landmark's and no other's.

    Args:
        logits: (B, L, H, W).
        points: (B, L, 2), in the frame.
    """
    height, width = logits.shape[-2:]
    missing = points.isnan().any(-1)
    x, y = points.nan_to_num(0).unbind(-1)
    if spatial:
        away = (torch.arange(height, device=x.device) - y[..., None]) ** 2
        aside = (torch.arange(width, device=x.device) - x[..., None]) ** 2
        near = away[..., :, None] + aside[..., None, :] <= (3 * sigma) ** 2
        found = (logits.float().flatten(2).softmax(-1) * near.flatten(2)).sum(-1)
    else:
        place = y.round().long().clamp(0, height - 1) * width + x.round().long().clamp(0, width - 1)
        shares = logits.float().softmax(1).flatten(2)
        found = shares.gather(-1, place[..., None])[..., 0]
    return torch.where(missing, 0, found.nan_to_num(0)).clamp(0, 1)
