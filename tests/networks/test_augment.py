"""Batch augmentation: against a slow reference, and row by row."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from lab.networks.augment import UNIFORMS, augment, crop, flip


def batch(rows: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(rows, 3, 7, 6, generator=generator), torch.rand(rows, UNIFORMS, generator=generator)


def test_equals_one_image_at_a_time() -> None:
    images, uniforms = batch()
    found = augment(images, uniforms, "crop_flip", 2)
    for image, numbers, got in zip(images, uniforms, found, strict=True):
        top, left = int(numbers[1] * 5), int(numbers[2] * 5)
        expected = F.pad(image, [2, 2, 2, 2])[:, top : top + 7, left : left + 6]
        assert torch.equal(got, expected.flip(-1) if numbers[0] < 0.5 else expected)


@pytest.mark.parametrize("kind", ["none", "flip", "crop", "crop_flip"])
def test_a_row_depends_on_its_own_numbers_alone(kind: str) -> None:
    images, uniforms = batch()
    whole = augment(images, uniforms, kind, 3)
    order = torch.tensor([4, 0, 8])
    assert torch.equal(whole[order], augment(images[order], uniforms[order], kind, 3))


def test_the_middle_number_and_no_padding_leave_the_image() -> None:
    images, uniforms = batch()
    assert torch.equal(crop(images, torch.full_like(uniforms, 0.5), 4), images)
    assert torch.equal(crop(images, uniforms, 0), images)
    assert torch.equal(flip(flip(images, uniforms), uniforms), images)
    assert augment(images, uniforms, "none", 4) is images
