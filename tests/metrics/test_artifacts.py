"""Scores without a reference: closed forms, and whether motion moves them the way they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lab.metrics.artifacts import SCORES, edge_strength, entropy_focus, ghost_energy, gradient, gradient_entropy
from lab.mri.config import MotionConfig
from lab.mri.motion import simulate


def brains(count: int = 8, size: int = 64) -> torch.Tensor:
    """Discs with sharp inner structure on black."""
    place = torch.linspace(-1, 1, size)
    y, x = place[:, None], place[None, :]
    inside = (x**2 + y**2 < 0.5).float()
    rows = [inside * (0.6 + 0.4 * torch.sign(torch.sin(9 * x + n) * torch.cos(11 * y - n))) for n in range(count)]
    return torch.stack(rows).unsqueeze(1)


def mriqc_efc(image: np.ndarray) -> float:
    """As MRIQC computes it (mriqc.qc.anatomical.efc), over all pixels."""
    count = image.size
    most = 1.0 * (count / np.sqrt(count)) * np.log(1 / np.sqrt(count))
    energy = np.sqrt((image**2).sum())
    return float((1.0 / most) * np.sum((image / energy) * np.log((image + 1e-16) / energy)))


def test_entropy_focus_is_mriqcs():
    image = torch.rand(2, 1, 20, 30, generator=torch.Generator().manual_seed(0))
    expected = [mriqc_efc(row[0].double().numpy()) for row in image]
    assert entropy_focus(image).tolist() == pytest.approx(expected, abs=1e-5)
    half = torch.zeros_like(image, dtype=torch.bool)
    half[..., :15] = True
    assert float(entropy_focus(image, half)[0]) == pytest.approx(
        mriqc_efc(image[0, 0, :, :15].double().numpy()), abs=1e-5
    )


def test_entropy_focus_of_one_bright_pixel_and_of_an_even_image():
    single = torch.zeros(1, 1, 16, 16)
    single[..., 4, 4] = 7.0
    assert float(entropy_focus(single)) == pytest.approx(0.0, abs=1e-6)
    assert float(entropy_focus(torch.full((1, 1, 16, 16), 0.3))) == pytest.approx(1.0)


def test_a_ramp_has_one_gradient_everywhere():
    ramp = torch.arange(20.0).repeat(20, 1)[None, None] * 0.5
    assert torch.allclose(gradient(ramp), torch.full((1, 1, 18, 18), 0.5))
    assert float(gradient_entropy(ramp)) == pytest.approx(1.0)
    step = (torch.arange(20) >= 10).float().repeat(20, 1)[None, None]
    assert float(gradient_entropy(step)) == pytest.approx(math.log(36) / math.log(324))


@pytest.mark.parametrize("name", SCORES)
def test_no_score_depends_on_the_scale(name):
    image = brains()
    assert torch.allclose(SCORES[name](image), SCORES[name](40 * image), rtol=1e-4)


def test_ghosts_are_measured_outside_the_head():
    image = brains(1)
    mask = image > 0
    mask[..., 20:44, 20:44] = True
    ghost = image + 0.1 * (~mask)
    level = float(image[mask].square().mean().sqrt())
    assert float(ghost_energy(ghost, mask)) == pytest.approx(0.1 / level, rel=1e-4)
    assert ghost_energy(image) < 0.02


def test_motion_moves_them_all():
    image = brains()
    generators = [torch.Generator().manual_seed(n) for n in range(8)]
    moved = simulate(image, generators, MotionConfig("line_mixing", severity="heavy"))
    for score, sign in ((entropy_focus, 1), (gradient_entropy, 1), (ghost_energy, 1), (edge_strength, -1)):
        assert ((score(moved) - score(image)) * sign).mean() > 0, score.__name__
        assert (((score(moved) - score(image)) * sign) > 0).sum() >= 7, score.__name__
