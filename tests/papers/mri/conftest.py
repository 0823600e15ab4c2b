"""Batches of slices, and modules on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lab.data.base import Acquisition, Facts
from lab.data.scans.module import SliceBatch

SIZE = 32


@pytest.fixture
def facts() -> Facts:
    return Facts(
        class_names=("clean", "affected"),
        bias_names=(),
        aligned=np.zeros((2, 0), dtype=bool),
        image_shape=(1, SIZE, SIZE),
        sizes={"train": 8, "val": 4, "test": 4},
        label_counts=np.array([0, 8]),
        group_counts=np.zeros(0, dtype=np.int64),
        acquisition=Acquisition("T1w", ("axial",), (0.5, 99.5), (4.0, 4.0)),
    )


@pytest.fixture
def batch() -> SliceBatch:
    draw = torch.Generator().manual_seed(0)
    target = torch.rand(4, 1, SIZE, SIZE, generator=draw)
    mask = torch.zeros(4, 1, SIZE, SIZE, dtype=torch.uint8)
    mask[:, :, 6:26, 5:27] = 1
    index = torch.arange(4)
    return SliceBatch(
        index=index,
        image=(target + 0.1 * torch.randn(target.shape, generator=draw)).clamp(0, 1),
        target=target,
        mask=mask,
        label=torch.ones(4, dtype=torch.long),
        subject=index // 2,
        number=index,
        plane=torch.zeros(4, dtype=torch.long),
        spacing=torch.full((4, 2), 4.0),
    )
