"""Where the head is in a slice."""

from __future__ import annotations

import torch

from lab.mri.masks import bounding_box, head_mask


def test_a_dark_brain_in_a_bright_skull_is_inside():
    place = torch.linspace(-1, 1, 64)
    radius = (place[:, None] ** 2 + place[None, :] ** 2).sqrt()
    skull = ((radius > 0.5) & (radius < 0.6)).float()[None, None]
    mask = head_mask(skull)[0, 0]
    assert mask[radius < 0.6].all()
    assert mask[radius > 0.72].float().mean() < 0.01
    noisy = head_mask(skull + 0.03 * torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)))[0, 0]
    assert (noisy != mask).float().mean() < 0.03
    assert not head_mask(torch.zeros(2, 1, 16, 16)).any()


def test_the_bounding_box_is_the_smallest():
    mask = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    mask[0, 0, 2, 3] = mask[0, 0, 5, 6] = True
    box = bounding_box(mask)
    assert box[0].sum() == 4 * 4 and box[0, 0, 2:6, 3:7].all()
    assert not box[1].any()
