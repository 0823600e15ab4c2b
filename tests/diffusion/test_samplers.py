"""Schedules and samplers against what is known in closed form of a Gaussian."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn

from lab.diffusion.sample import sample, to_uint8
from lab.diffusion.schedules import build_sampler, noise_scheduler, noise_variances, spaced_timesteps
from lab.diffusion.unet import NULL_CLASS


class Output(NamedTuple):
    sample: Tensor


class GaussianOracle(nn.Module):
    """The best noise predictor when class k's pixels are N(means[k], std^2), and no class is N(0, std^2)."""

    def __init__(self, variances: list[float], means: list[float], std: float):
        super().__init__()
        self.signal = torch.tensor(variances, dtype=torch.float64).neg().add(1).cumprod(0)
        self.means = nn.Parameter(torch.tensor([0.0, *means], dtype=torch.float64), requires_grad=False)
        self.std = std

    def forward(self, x: Tensor, t: Tensor, class_labels: Tensor) -> Output:
        kept = self.signal[t].to(x.dtype).view(-1, 1, 1, 1)
        mean = self.means[class_labels].to(x.dtype).view(-1, 1, 1, 1)
        # E[noise | x_t] for x_t = sqrt(kept) x_0 + sqrt(1 - kept) noise.
        return Output((1 - kept).sqrt() * (x - kept.sqrt() * mean) / (kept * self.std**2 + 1 - kept))


def generators(seeds: list[int]) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_linear_noise_is_that_of_the_paper_at_1000_steps() -> None:
    np.testing.assert_allclose(noise_variances(1000, 1e-4, 0.028), np.linspace(1e-4, 0.028, 1000))


@pytest.mark.parametrize("timesteps", [50, 200, 400, 1000])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_every_chain_ends_in_noise(timesteps: int, schedule: str) -> None:
    signal = np.prod(1 - np.array(noise_variances(timesteps, schedule=schedule)))  # type: ignore[arg-type]
    assert 0 < signal < 1e-4


def test_noise_that_is_no_variance_is_refused() -> None:
    with pytest.raises(ValueError, match="leave \\(0, 1\\)"):
        noise_variances(10, 1e-4, 0.02)


def test_forward_process_has_the_closed_form_moments() -> None:
    variances = noise_variances(200)
    t = torch.full((20000,), 60)
    noise = torch.randn(20000, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    noisy = noise_scheduler(variances).add_noise(torch.full_like(noise, 0.7), noise, t)
    kept = float(np.prod(1 - np.array(variances[:61])))
    assert noisy.mean().item() == pytest.approx(0.7 * kept**0.5, abs=0.02)
    assert noisy.var().item() == pytest.approx(1 - kept, rel=0.03)


@pytest.mark.parametrize("timesteps", [200, 1000])
@pytest.mark.parametrize("steps", [1, 2, 20, 25, 150, 200])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_time_steps_are_distinct_and_go_down_to_zero(timesteps: int, steps: int, schedule: str) -> None:
    variances = noise_variances(timesteps, schedule=schedule)  # type: ignore[arg-type]
    spaced = spaced_timesteps(variances, steps)
    assert len(spaced) == steps and all(a > b for a, b in pairwise(spaced))
    assert min(spaced) >= 0 and max(spaced) < timesteps
    assert np.prod(1 - np.array(variances)[: spaced[0] + 1]) < 2e-4, "starts from as good as noise"
    if steps > 1:
        assert spaced[-1] == 0
    if steps == timesteps:
        assert spaced == list(range(timesteps))[::-1]


def test_time_steps_are_evenly_spaced_in_log_signal_to_noise() -> None:
    variances = noise_variances(1000)
    signal = np.cumprod(1 - np.array(variances))[spaced_timesteps(variances, 20)]
    gaps = np.diff(np.log(signal / (1 - signal)))[:14]  # before time steps get too few to choose from
    np.testing.assert_allclose(gaps, gaps.mean(), rtol=0.1)


@pytest.mark.parametrize("steps", [0, 201])
def test_impossible_numbers_of_steps_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=r"1\.\.200"):
        build_sampler("ddim", noise_variances(200), steps)


@pytest.mark.parametrize(
    ("name", "timesteps", "steps", "tolerance"),
    [
        ("ddpm", 1000, None, 0.03),
        ("ddpm", 200, None, 0.09),
        ("ddim", 1000, 200, 0.03),
        ("ddim", 200, 50, 0.06),
        ("dpmpp_2m", 1000, 25, 0.03),
        ("dpmpp_2m", 1000, 20, 0.04),
        ("dpmpp_2m", 200, 20, 0.03),
        ("sde_dpmpp_2m", 1000, 20, 0.05),
        ("sde_dpmpp_2m", 200, 25, 0.04),
    ],
)
def test_samplers_reach_mean_and_spread_of_a_gaussian(
    name: str, timesteps: int, steps: int | None, tolerance: float
) -> None:
    variances = noise_variances(timesteps)
    oracle = GaussianOracle(variances, [0.3, -0.2], std=0.2)
    scheduler = build_sampler(name, variances, steps)  # type: ignore[arg-type]
    shape = (3, 80, 80)
    images = sample(
        oracle,
        torch.tensor([0, 1]),
        scheduler=scheduler,
        guidance_scale=1.0,
        shape=shape,
        generators=generators([1, 2]),
    )
    assert images.shape == (2, *shape) and images.abs().max() <= 1
    for image, mean in zip(images, (0.3, -0.2), strict=True):
        assert image.mean().item() == pytest.approx(mean, abs=0.01)
        assert image.std().item() == pytest.approx(0.2, rel=tolerance)


def test_guidance_moves_the_mean_away_from_no_class() -> None:
    variances = noise_variances(200)
    oracle = GaussianOracle(variances, [0.25], std=0.2)
    means = [
        sample(
            oracle,
            torch.tensor([0]),
            scheduler=build_sampler("dpmpp_2m", variances, 20),
            guidance_scale=scale,
            shape=(1, 40, 40),
            generators=generators([0]),
        )
        .mean()
        .item()
        for scale in (0.0, 1.0, 2.0)
    ]
    assert means == pytest.approx([0.0, 0.25, 0.5], abs=0.02), "linear in the scale for a Gaussian: s = 2 is w = 1"


def test_first_order_is_ddim() -> None:
    variances = noise_variances(200)
    ours = build_sampler("ddim", variances, 50)
    theirs = DDIMScheduler(
        200, trained_betas=variances, prediction_type="sample", clip_sample=False, timestep_spacing="trailing"
    )
    theirs.set_timesteps(50)
    ours.set_timesteps(timesteps=theirs.timesteps.tolist())
    x = y = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    target = torch.tanh(x)
    for t in theirs.timesteps.tolist():
        x = theirs.step(target + 0.1 * x.clamp(-1, 1), t, x).prev_sample
        y = ours.step(target + 0.1 * y.clamp(-1, 1), t, y, return_dict=False)[0]
    torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "steps"), [("ddpm", None), ("ddim", 10), ("dpmpp_2m", 10), ("sde_dpmpp_2m", 10)])
def test_images_do_not_depend_on_their_batch(name: str, steps: int | None) -> None:
    variances = noise_variances(40, 1e-4, 0.02)
    oracle = GaussianOracle(variances, [0.3, -0.3], std=0.3)
    labels = torch.tensor([0, 1, 1, 0])
    scheduler = build_sampler(name, variances, steps)  # type: ignore[arg-type]

    def draw(rows: list[int]) -> Tensor:
        return sample(
            oracle,
            labels[rows],
            scheduler=scheduler,
            guidance_scale=2.0,
            shape=(3, 4, 4),
            generators=generators([100 + row for row in rows]),
        )

    together = draw([0, 1, 2, 3])
    alone = torch.cat([draw([row]) for row in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(draw([3, 1]), together[[3, 1]], rtol=1e-5, atol=1e-5)


def test_clipping_keeps_the_denoised_image_in_range() -> None:
    variances = noise_variances(200)
    oracle = GaussianOracle(variances, [0.9], std=0.5)
    settings = {"scheduler": build_sampler("ddim", variances, 20), "guidance_scale": 3.0, "shape": (1, 30, 30)}
    clipped, free = (
        sample(oracle, torch.tensor([0]), generators=generators([0]), clip=clip, **settings)  # type: ignore[arg-type]
        for clip in (True, False)
    )
    assert clipped.abs().max() <= 1 and free.abs().max() <= 1
    assert (free == 1).float().mean() > (clipped == 1).float().mean(), "without it the chain runs out of range"


def test_progress_counts_every_step() -> None:
    variances = noise_variances(200)
    seen: list[tuple[int, int]] = []
    sample(
        GaussianOracle(variances, [0.0], std=0.5),
        torch.tensor([0]),
        scheduler=build_sampler("ddim", variances, 5),
        guidance_scale=1.0,
        shape=(1, 2, 2),
        generators=generators([0]),
        progress=lambda done, of: seen.append((done, of)),
    )
    assert seen == [(k, 5) for k in range(1, 6)]


def test_a_generator_for_every_row_is_needed() -> None:
    variances = noise_variances(200)
    with pytest.raises(ValueError, match="1 generators for 2 rows"):
        sample(
            GaussianOracle(variances, [0.0], std=0.5),
            torch.tensor([0, 0]),
            scheduler=build_sampler("ddim", variances, 5),
            guidance_scale=1.0,
            shape=(1, 2, 2),
            generators=generators([0]),
        )


def test_uint8_covers_the_range() -> None:
    assert to_uint8(torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])).tolist() == [0, 0, 128, 255, 255]


def test_null_class_is_embedding_zero() -> None:
    assert NULL_CLASS == 0
