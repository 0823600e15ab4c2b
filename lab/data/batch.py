"""The batch that every labelled image data module returns."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Batch(NamedTuple):
    """Rows of a data set.

    index: int64 (B,), row in its split.
    image: float32 (B, C, H, W) in [0, 1] (uint8 in [0, 255] until the data module's `on_after_batch_transfer`).
    label: int64 (B,).
    group: int64 (B,), `label * biases + bias`; -1 where the bias attribute is not known.
    """

    index: torch.Tensor  # type: ignore[assignment]  # a tuple has a method of that name
    image: torch.Tensor
    label: torch.Tensor
    group: torch.Tensor
