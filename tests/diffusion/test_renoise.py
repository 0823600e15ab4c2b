"""Partial noising and denoising, on Gaussian images whose exact noise predictor is known."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lab.diffusion.renoise import build_partial_sampler, low_pass, nearest_step, noise_levels, renoise
from lab.diffusion.schedules import noise_variances

SPREAD = 0.2
"""Standard deviation of the images, whose mean is 0."""
VARIANCES = noise_variances(200)


class Exact(nn.Module):
    """The noise that is in x_t, on average, when x_0 is normal with standard deviation SPREAD in each pixel."""

    def __init__(self, variances: list[float]):
        super().__init__()
        self.kept = nn.Parameter(torch.cumprod(1 - torch.tensor(variances), 0), requires_grad=False)

    def forward(self, x, t, class_labels=None):
        kept = self.kept[t].view(-1, 1, 1, 1)
        return SimpleNamespace(sample=x * (1 - kept).sqrt() / (kept * SPREAD**2 + 1 - kept))


def drawn(name: str, steps: int | None, sigma: float = 0.3, variances=VARIANCES, value: float = 0.4, **options):
    start = nearest_step(variances, sigma)
    images = torch.full((4, 1, 48, 48), value)
    generators = [torch.Generator().manual_seed(row) for row in range(len(images))]
    scheduler = build_partial_sampler(name, variances, start, steps)
    made = renoise(Exact(variances), images, scheduler=scheduler, generators=generators, **options)
    return made, float(noise_levels(variances)[start])


def ancestral(value: float, sigma: float) -> float:
    return value * SPREAD**2 / (SPREAD**2 + sigma**2)


@pytest.mark.parametrize(("name", "steps"), [("ddpm", None), ("sde_dpmpp_2m", 15)])
def test_samplers_that_draw_forget_as_the_posterior_does(name, steps):
    made, sigma = drawn(name, steps)
    assert made.mean() == pytest.approx(ancestral(0.4, sigma), abs=0.01)
    # Two independent Gaussians: what is left of the first noise, and the posterior's own.
    share = SPREAD**2 / (SPREAD**2 + sigma**2)
    assert made.std() == pytest.approx((share**2 * sigma**2 + share * sigma**2) ** 0.5, rel=0.08)


@pytest.mark.parametrize(("name", "steps"), [("ddim", 40), ("dpmpp_2m", 15)])
def test_deterministic_samplers_forget_less(name, steps):
    made, sigma = drawn(name, steps)
    assert made.mean() == pytest.approx(0.4 * SPREAD / (SPREAD**2 + sigma**2) ** 0.5, abs=0.01)
    assert made.mean() > 1.5 * ancestral(0.4, sigma)


def test_equal_noise_in_any_schedule_gives_equal_severity():
    few, _ = drawn("sde_dpmpp_2m", 12, variances=noise_variances(200))
    many, _ = drawn("sde_dpmpp_2m", 12, variances=noise_variances(1000))
    cosine, _ = drawn("sde_dpmpp_2m", 12, variances=noise_variances(1000, schedule="cosine"))
    for other in (many, cosine):
        assert other.mean() == pytest.approx(float(few.mean()), abs=0.01)
        assert other.std() == pytest.approx(float(few.std()), rel=0.05)


def test_the_notes_table_of_noise_levels():
    levels = noise_levels(noise_variances(1000))
    assert levels[[49, 99, 149, 199, 299]] == pytest.approx([0.17, 0.34, 0.52, 0.72, 1.23], abs=0.006)
    assert nearest_step(noise_variances(1000), 0.52) == pytest.approx(149, abs=1)


def test_a_row_depends_on_its_own_generator_alone():
    start = nearest_step(VARIANCES, 0.3)
    images = torch.rand(3, 1, 8, 8)
    scheduler = build_partial_sampler("sde_dpmpp_2m", VARIANCES, start, 5)

    def made(rows: list[int]):
        generators = [torch.Generator().manual_seed(row) for row in rows]
        return renoise(Exact(VARIANCES), images[rows], scheduler=scheduler, generators=generators)

    assert torch.allclose(made([0, 1, 2])[1], made([1])[0], atol=1e-6)


def test_a_guide_keeps_low_frequencies():
    free, _ = drawn("sde_dpmpp_2m", 10, sigma=1.0)
    guided, _ = drawn("sde_dpmpp_2m", 10, sigma=1.0, guide=4.0)
    assert abs(float(free.mean()) - 0.4) > 0.3
    assert low_pass(guided, 4.0).mean() == pytest.approx(0.4, abs=0.02)


def test_what_is_not_possible():
    with pytest.raises(ValueError, match="outside of the schedule"):
        nearest_step(VARIANCES, 1e-5)
    with pytest.raises(ValueError, match="1 generators for 2 rows"):
        scheduler = build_partial_sampler("ddim", VARIANCES, 20, 3)
        renoise(Exact(VARIANCES), torch.zeros(2, 1, 8, 8), scheduler=scheduler, generators=[torch.Generator()])
