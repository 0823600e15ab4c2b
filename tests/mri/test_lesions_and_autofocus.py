"""Lesions drawn into brains, and the classical way to undo motion."""

from __future__ import annotations

import torch

from lab.metrics.artifacts import gradient_entropy
from lab.metrics.image_quality import psnr
from lab.mri.autofocus import autofocus
from lab.mri.lesions import CONTRAST, draw_lesions
from lab.mri.motion import Schedule, mix_lines


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_lesions_lie_in_the_brain_and_have_the_contrast_and_size_they_should():
    brain = torch.zeros(40, 1, 96, 96, dtype=torch.bool)
    brain[:-1, :, 20:80, 16:70] = True
    drawn = draw_lesions(brain, generators(*range(40)), (1.0, 1.0))
    assert not drawn[-1].any()
    strong = drawn[:-1].abs() > 0.02
    assert not (strong & ~brain[:-1]).any()
    peaks = drawn[:-1].abs().flatten(1).amax(1)
    assert peaks.min() >= 0.9 * CONTRAST[0]
    assert peaks.max() <= CONTRAST[1]
    areas = (drawn[:-1].abs() > peaks.view(-1, 1, 1, 1) / 2).flatten(1).sum(1)
    assert areas.min() > 3.14 * 3**2 * 0.8
    assert areas.max() < 3.14 * 8**2 * 1.2
    assert {float(row.sum().sign()) for row in drawn[:-1]} == {-1.0, 1.0}


def test_a_lesion_depends_on_its_generator_alone():
    brain = torch.ones(2, 1, 32, 32, dtype=torch.bool)
    assert torch.equal(draw_lesions(brain, generators(3, 4))[1], draw_lesions(brain[:1], generators(4))[0])


def test_autofocus_undoes_a_shift_and_never_makes_the_score_worse():
    y, x = torch.meshgrid(torch.arange(48), torch.arange(48), indexing="ij")
    still = ((y - 24) ** 2 / 200 + (x - 22) ** 2 / 130 < 1).float() * 0.5
    still[20:28, 16:30] = 0.9
    still = still[None, None].repeat(2, 1, 1, 1)
    lines = torch.zeros(2, 48, dtype=torch.long)
    lines[0, :22], lines[0, 27:] = 1, 1
    schedule = Schedule(lines, torch.zeros(2, dtype=torch.long), torch.zeros(2, 1, 1), torch.tensor([[[0.0, 2.0]]] * 2))
    moved = mix_lines(still, schedule).abs()
    found, fell = autofocus(moved, segments=2)
    assert torch.allclose(gradient_entropy(moved) - gradient_entropy(found), fell, atol=1e-5)
    assert (fell >= 0).all()
    assert psnr(found, still)[0] > psnr(moved, still)[0] + 2
    assert psnr(found, still)[1] > 30
