"""The views of flagged images, against torchvision and exact turns."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torchvision.transforms import functional as vision

from lab.papers.modad.views import VIEW_UNIFORMS, autocontrast, rotate, view, views, zoom

KINDS = ("flip_rotate", "rotate_contrast", "zoom")


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def test_quarter_turns_are_exact(images: torch.Tensor) -> None:
    turned = rotate(images, torch.tensor([0.0, 90.0, 180.0, -90.0]))
    for image, found, quarters in zip(images, turned, (0, 1, 2, -1), strict=True):
        assert torch.allclose(found, image.rot90(quarters, (-2, -1)), atol=1e-5)


def test_a_turn_keeps_the_shape_of_what_is_turned() -> None:
    wide = torch.zeros(1, 1, 9, 21)
    wide[..., 4, 8:13] = 1  # a bar of five pixels
    turned = rotate(wide, torch.tensor([90.0]))
    assert torch.allclose(turned[0, 0, 2:7, 10], torch.ones(5), atol=1e-5)
    assert turned.sum() == pytest.approx(5, abs=1e-4)


def test_autocontrast_is_torchvisions(images: torch.Tensor) -> None:
    dull = 0.2 + 0.3 * images
    dull[0, 1] = 0.4
    assert torch.allclose(autocontrast(dull), vision.autocontrast(dull), atol=1e-5)


def test_zoom_is_the_middle_enlarged(images: torch.Tensor) -> None:
    expected = F.interpolate(vision.center_crop(images, [6, 6]), (12, 12), mode="bilinear", align_corners=False)
    assert torch.equal(zoom(images), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_view_depends_on_its_own_row_alone(kind: str, images: torch.Tensor) -> None:
    uniforms = torch.rand(4, VIEW_UNIFORMS, generator=torch.Generator().manual_seed(1))
    together = view(images, uniforms, kind, 180.0)
    alone = torch.cat([view(images[row : row + 1], uniforms[row : row + 1], kind, 180.0) for row in range(4)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_numbers_decide_what_is_flipped_turned_and_stretched(images: torch.Tensor) -> None:
    still = torch.tensor([[0.9, 0.5, 0.5, 0.9]]).expand(4, -1)
    changed = torch.tensor([[0.1, 0.5, 0.5, 0.1]]).expand(4, -1)
    for kind, expected in (("flip_rotate", images.flip(-2)), ("rotate_contrast", autocontrast(images))):
        assert torch.allclose(view(images, still, kind, 180.0), images, atol=1e-5)
        assert torch.allclose(view(images, changed, kind, 180.0), expected, atol=1e-5)
    assert all(len(none) == 0 for none in views(images[:0], still[:0], KINDS, 180.0))
