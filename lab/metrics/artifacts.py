"""How much motion there is in an image, without a reference. Each score favours something besides: never use one alone.

All take images float (B, 1, H, W), at least 0, in any unit: none depends on the scale. A smoothed image scores as well
as a sharp one, or better, on some of them (Eichhorn et al. 2025 find that for reference-free scores in general).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from lab.mri.masks import head_mask

TINY = 1e-16


def entropy_focus(image: Tensor, mask: Tensor | None = None) -> Tensor:
    """Entropy focus criterion (B,), in [0, 1]: MRIQC's `efc` (Atkinson et al. 1997). More with ghosting and blur.

    `sum(p log p) / (sqrt(n) log(1 / sqrt(n)))` of n pixels with `p = image / sqrt(sum(image^2))`: 0 when one pixel has
    everything, 1 when all have the same. MRIQC computes it over a whole volume; over slices the values are others.
    NaN for a black image.

    mask: bool (B, 1, H, W), pixels that count.
    """
    flat = image.flatten(1).double()
    kept = torch.ones_like(flat) if mask is None else mask.flatten(1).double()
    count = kept.sum(1)
    energy = (flat.square() * kept).sum(1).sqrt().unsqueeze(1)
    share = flat / energy
    entropy = (share * torch.log((flat + TINY) / energy) * kept).sum(1)
    return (entropy / (count.sqrt() * torch.log(1 / count.sqrt()))).to(image.dtype)


def gradient_entropy(image: Tensor) -> Tensor:
    """Entropy (B,) of where the gradient is, over that of an even gradient, in (0, 1] (McGee et al. 2000).

    Less for images with few sharp edges, more with ghosts, ringing, noise. What autofocus methods make small. NaN for
    an image without any edge.
    """
    size = gradient(image).flatten(1).double()
    share = size / size.sum(1, keepdim=True)
    entropy = -(share * torch.log(share + TINY)).sum(1)
    return (entropy / math.log(share.shape[1])).to(image.dtype)


def edge_strength(image: Tensor, share: float = 0.1) -> Tensor:
    """Average edge strength (B,): mean gradient on the strongest `share` of the pixels, over the mean intensity there.

    Less for blurred images (after Aksoy et al. 2012, who take Canny's edges). Per pixel of distance; depends on the
    resolution. NaN for a black image.
    """
    size = gradient(image).flatten(1)
    most = size.topk(max(1, round(share * size.shape[1])), dim=1)
    return most.values.mean(1) / image.flatten(1).gather(1, most.indices).mean(1)


def ghost_energy(image: Tensor, mask: Tensor | None = None) -> Tensor:
    """Root mean square intensity outside the head over that inside, (B,), at least 0. More with ghosts, and with noise.

    mask: the head, bool (B, 1, H, W); default `head_mask(image)`. Given one for all versions of an image, values
        compare better. NaN when the head fills the image or is empty.
    """
    inside = (head_mask(image) if mask is None else mask).flatten(1)
    squared = image.flatten(1).square()

    def level(kept: Tensor) -> Tensor:
        return ((squared * kept).sum(1) / kept.sum(1)).sqrt()

    return level(~inside) / level(inside)


def gradient(image: Tensor) -> Tensor:
    """Magnitude of the gradient by Sobel's operator, per pixel: (B, 1, H - 2, W - 2)."""
    smooth, slope = image.new_tensor([1.0, 2.0, 1.0]) / 4, image.new_tensor([-1.0, 0.0, 1.0]) / 2
    kernels = torch.stack([torch.outer(smooth, slope), torch.outer(slope, smooth)]).unsqueeze(1)
    along = conv2d(image, kernels)
    size: Tensor = torch.linalg.vector_norm(along, dim=1, keepdim=True)
    return size


SCORES = {
    "entropy_focus": entropy_focus,
    "gradient_entropy": gradient_entropy,
    "edge_strength": edge_strength,
    "ghost_energy": ghost_energy,
}
"""Every score by name."""
