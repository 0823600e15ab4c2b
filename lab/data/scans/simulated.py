"""Simulated motion on decoded slices and volumes: NumPy in, NumPy out, each with a seed of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lab.mri.config import MotionConfig

ROWS = 16
"""Slices that are moved at once."""


def moved(images: np.ndarray, seeds: Sequence[int], config: MotionConfig, spacing: Sequence[float]) -> np.ndarray:
    """Images float32 (n, h, w) in [0, 1], or volumes (n, x, y, z), as they look after motion, clipped to [0, 1].

    seeds: one an image; its motion depends on that alone.
    """
    import torch

    from lab.mri.motion import simulate

    rows = ROWS if images.ndim == 3 else 1
    parts = []
    for start in range(0, len(images), rows):
        part = torch.from_numpy(np.ascontiguousarray(images[start : start + rows])).unsqueeze(1)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds[start : start + rows]]
        parts.append(simulate(part, generators, config, spacing).clamp(0, 1).squeeze(1).numpy())
    return np.concatenate(parts)
