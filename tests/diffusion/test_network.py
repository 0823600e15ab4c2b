"""The conditional U-Net, guidance, the loss and averaged weights."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from diffusers import UNet2DModel
from torch import nn

from lab.diffusion.average import averaged
from lab.diffusion.config import PUBLISHED_UNET, UNetConfig
from lab.diffusion.guidance import guided_noise
from lab.diffusion.loss import drop_mask, noise_loss
from lab.diffusion.sample import denoise
from lab.diffusion.schedules import build_sampler, noise_scheduler, noise_variances
from lab.diffusion.unet import build_unet, class_embedding, norm_groups

TINY = UNetConfig(widths=(8, 16), attn_resolutions=(4,), head_dim=8)


@pytest.fixture
def unet() -> UNet2DModel:
    torch.manual_seed(0)
    return build_unet(TINY, channels=3, size=(8, 8), classes=3).eval()


def attention_of(model: UNet2DModel) -> list[bool]:
    return [hasattr(block, "attentions") for block in (*model.down_blocks, *model.up_blocks)]


def test_default_size_is_the_one_that_is_documented() -> None:
    model = build_unet(UNetConfig(), channels=3, size=(32, 32), classes=10)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(1.115e6, rel=0.001)
    assert attention_of(model) == [False, True, False, False, True, False]


def test_published_network_on_the_meta_device() -> None:
    with torch.device("meta"):
        model = build_unet(PUBLISHED_UNET, channels=3, size=(64, 64), classes=2)
    assert attention_of(model) == [False, False, True, False, False, True, False, False]
    assert {m.num_groups for m in model.modules() if isinstance(m, nn.GroupNorm)} == {32}
    assert model.mid_block.attentions[0].heads == 1
    assert list(PUBLISHED_UNET.check()) == []


def test_shapes_that_differ_by_side() -> None:
    model = build_unet(TINY, channels=1, size=(8, 12), classes=2)
    x, t = torch.zeros(2, 1, 8, 12), torch.zeros(2, dtype=torch.int64)
    assert model(x, t, class_labels=torch.tensor([0, 2])).sample.shape == x.shape


def test_a_size_that_can_not_be_halved_is_refused() -> None:
    with pytest.raises(ValueError, match="30x30 can't be halved 2 times"):
        build_unet(UNetConfig(), channels=3, size=(30, 30), classes=2)


@pytest.mark.parametrize(("widths", "groups"), [((128, 256), 32), ((32, 64, 64), 8), ((16, 32), 4), ((4, 8), 1)])
def test_groups_have_at_least_four_channels(widths: tuple[int, ...], groups: int) -> None:
    assert norm_groups(widths) == groups


@pytest.mark.parametrize(
    "change", [{"widths": ()}, {"widths": (30,)}, {"layers_per_block": 0}, {"head_dim": 24}, {"dropout": 1.0}]
)
def test_broken_rules_name_their_field(change: dict[str, object]) -> None:
    config = dataclasses.replace(UNetConfig(), **change)  # type: ignore[arg-type]
    assert next(iter(change)) in [field for field, _ in config.check()]


def test_class_k_is_embedding_k_plus_one_and_null_is_zero() -> None:
    labels = torch.tensor([0, 1, 2])
    assert class_embedding(labels).tolist() == [1, 2, 3]
    assert class_embedding(labels, torch.tensor([True, False, True])).tolist() == [0, 2, 0]


def test_guidance_is_two_passes_in_one(unet: UNet2DModel) -> None:
    x, t, labels = torch.randn(3, 3, 8, 8), torch.tensor([3, 50, 900]), torch.tensor([0, 2, 1])
    with torch.no_grad():
        conditional = unet(x, t, class_labels=labels + 1).sample
        null = unet(x, t, class_labels=torch.zeros_like(labels)).sample
        assert torch.equal(guided_noise(unet, x, t, labels, 1.0), conditional)
        assert torch.equal(guided_noise(unet, x, t, labels, 0.0), null)
        w = 1.5
        published = (1 + w) * conditional - w * null
        torch.testing.assert_close(guided_noise(unet, x, t, labels, 1 + w), published, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(conditional, null)


def test_no_guidance_costs_one_half(unet: UNet2DModel) -> None:
    rows: list[int] = []
    unet.conv_in.register_forward_hook(lambda module, args, out: rows.append(len(args[0])))
    x, t, labels = torch.zeros(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64), torch.tensor([0, 1])
    for scale in (0.0, 1.0, 2.0):
        guided_noise(unet, x, t, labels, scale)
    assert rows == [2, 2, 4]


def loss_arguments() -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(0)
    x0, noise = torch.rand(4, 3, 8, 8, generator=draw) * 2 - 1, torch.randn(4, 3, 8, 8, generator=draw)
    return x0, torch.tensor([0, 10, 500, 999]), noise, torch.tensor([0, 1, 2, 0])


def test_loss_is_the_mean_squared_error_of_the_noise(unet: UNet2DModel) -> None:
    x0, t, noise, labels = loss_arguments()
    variances = noise_variances(1000)
    kept = torch.tensor(variances).neg().add(1).cumprod(0)[t].view(-1, 1, 1, 1)
    drop = torch.tensor([True, False, False, True])
    noisy = kept.sqrt() * x0 + (1 - kept).sqrt() * noise
    predicted = unet(noisy, t, class_labels=torch.tensor([0, 2, 3, 0])).sample
    loss = noise_loss(unet, noise_scheduler(variances), x0, t, noise, labels, drop)
    torch.testing.assert_close(loss, nn.functional.mse_loss(predicted, noise), rtol=1e-4, atol=1e-6)


def test_velocity_is_what_makes_the_image_and_the_noise(unet: UNet2DModel) -> None:
    x0, t, noise, labels = loss_arguments()
    variances = noise_variances(1000)
    kept = torch.tensor(variances, dtype=torch.float64).neg().add(1).cumprod(0)[t].view(-1, 1, 1, 1)
    noisy, velocity = kept.sqrt() * x0 + (1 - kept).sqrt() * noise, kept.sqrt() * noise - (1 - kept).sqrt() * x0
    predicted = unet(noisy.float(), t, class_labels=labels + 1).sample
    loss = noise_loss(unet, noise_scheduler(variances, "v"), x0, t, noise, labels)
    torch.testing.assert_close(loss, nn.functional.mse_loss(predicted, velocity.float()), rtol=1e-4, atol=1e-6)
    for name in ("ddpm", "dpmpp_2m"):
        scheduler = build_sampler(name, variances)
        for row, step in enumerate(t.tolist()):
            by_velocity = denoise(scheduler, noisy[row], step, velocity[row], "v")
            torch.testing.assert_close(by_velocity, x0[row].double(), rtol=1e-4, atol=1e-4)
            by_noise = denoise(scheduler, noisy[row], step, noise[row].double())
            torch.testing.assert_close(by_noise, x0[row].double(), rtol=1e-2, atol=1e-2)


def test_published_loss_sums_and_divides_by_the_squared_batch(unet: UNet2DModel) -> None:
    x0, t, noise, labels = loss_arguments()
    scheduler = noise_scheduler(noise_variances(1000))
    mean = noise_loss(unet, scheduler, x0, t, noise, labels)
    published = noise_loss(unet, scheduler, x0, t, noise, labels, published_batch=4)
    torch.testing.assert_close(published, mean * 3 * 8 * 8 / 4)
    devices = [(x0[i::2], t[i::2], noise[i::2], labels[i::2]) for i in (0, 1)]
    halves = [noise_loss(unet, scheduler, *rows, published_batch=4) for rows in devices]
    torch.testing.assert_close(sum(halves) / 2, published, msg="the mean over two devices is the global loss")


def test_labels_are_dropped_at_the_rate_asked_for() -> None:
    generator = torch.Generator().manual_seed(0)
    assert drop_mask(20000, 0.1, generator).float().mean().item() == pytest.approx(0.1, abs=0.01)
    whole = [drop_mask(16, 0.1, generator, whole_batch=True) for _ in range(2000)]
    assert all(mask.all() or not mask.any() for mask in whole)
    assert torch.stack(whole)[:, 0].float().mean().item() == pytest.approx(0.1, abs=0.03)
    assert not drop_mask(100, 0.0, generator).any() and drop_mask(100, 1.0, generator).all()


def test_averaged_weights_follow_the_formula() -> None:
    model = nn.Linear(1, 1, bias=False)
    ema = averaged(model, decay=0.6)
    expected = 0.0
    for n, value in enumerate([2.0, 5.0, -1.0, 4.0, 0.5, 3.0, 7.0, 1.0, 9.0]):
        nn.init.constant_(model.weight, value)
        ema.update_parameters(model)
        decay = min(0.6, (1 + n) / (10 + n))
        expected = value if n == 0 else decay * expected + (1 - decay) * value
        assert ema.module.weight.item() == pytest.approx(expected, rel=1e-5)
    assert not any(p.requires_grad for p in ema.parameters())
