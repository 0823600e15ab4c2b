"""PSNR, SSIM and NMSE against scikit-image and torchmetrics, over subjects, within masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from lab.errors import UserError
from lab.metrics.image_quality import ImageQuality, nmse, per_image, psnr, ssim, ssim_map
from lab.metrics.perceptual import lpips


def pair(count: int = 3, size: tuple[int, int] = (40, 52)) -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth image with structure, and a noisy copy."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 1, 8, 8, generator=generator)
    target = torch.nn.functional.interpolate(coarse, size, mode="bicubic").clamp(0, 1)
    noise = torch.randn(target.shape, generator=generator) * torch.linspace(0.02, 0.2, count).view(-1, 1, 1, 1)
    return (target + noise).clamp(0, 1), target


def test_they_are_scikit_images_to_1e_5():
    metrics = pytest.importorskip("skimage.metrics")
    prediction, target = pair()
    for row in range(3):
        p, g = prediction[row, 0].numpy(), target[row, 0].numpy()
        gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        expected = [
            metrics.peak_signal_noise_ratio(g, p, data_range=1),
            metrics.structural_similarity(g, p, data_range=1, **gaussian),
            metrics.structural_similarity(g, p, data_range=1),
            metrics.normalized_root_mse(g, p) ** 2,
        ]
        assert per_image(prediction, target)[row].tolist() == pytest.approx(expected, abs=1e-5)


def test_they_are_torchmetrics_to_1e_5():
    prediction, target = pair()
    for row in range(3):
        p, g = prediction[row : row + 1].double(), target[row : row + 1].double()
        assert float(psnr(p, g)) == pytest.approx(float(peak_signal_noise_ratio(p, g, data_range=1.0)), abs=1e-5)
        _, full = structural_similarity_index_measure(p, g, data_range=1.0, return_full_image=True)
        assert torch.allclose(ssim_map(p, g), full[..., 5:-5, 5:-5], atol=1e-5)  # it also counts a mirrored edge


def test_the_scale_of_the_images_does_not_matter():
    prediction, target = pair()
    one, other = per_image(prediction, target), per_image(255 * prediction, 255 * target, data_range=255.0)
    assert torch.allclose(one, other, rtol=1e-4)


def test_a_mask_counts_its_pixels_alone():
    prediction, target = pair(1)
    mask = torch.zeros(1, 1, 40, 52, dtype=torch.bool)
    mask[..., 8:30, 9:41] = True
    cut = (slice(None), slice(None), slice(8, 30), slice(9, 41))
    assert torch.allclose(psnr(prediction, target, mask), psnr(prediction[cut], target[cut]))
    assert torch.allclose(nmse(prediction, target, mask), nmse(prediction[cut], target[cut]))
    inner = ssim_map(prediction, target)[..., 3:25, 4:36]
    assert torch.allclose(ssim(prediction, target, mask), inner.mean())
    elsewhere = torch.where(mask, prediction, torch.rand(1, 1, 40, 52))
    assert torch.allclose(psnr(elsewhere, target, mask), psnr(prediction, target, mask))


def test_equal_images():
    _, target = pair(1)
    best = per_image(target, target)[0].tolist()
    assert best == pytest.approx([100.0, 1.0, 1.0, 0.0], abs=1e-5)
    assert float(nmse(torch.zeros_like(target), target)) == pytest.approx(1.0)


def test_subjects_count_alike_whatever_their_slices():
    prediction, target = pair(6)
    subject = torch.tensor([4, 4, 4, 4, 7, 9])
    metric = ImageQuality()
    metric.update(prediction[:4], target[:4], subject[:4])
    metric.update(prediction[4:], target[4:], subject[4:])
    values = per_image(prediction, target).double().numpy()
    means = np.stack([values[:4].mean(0), values[4], values[5]])
    found = metric.compute()
    for place, name in enumerate(("psnr", "ssim", "ssim_uniform", "nmse")):
        assert float(found[name]) == pytest.approx(means[:, place].mean())
        assert float(found[f"{name}_std"]) == pytest.approx(means[:, place].std(ddof=1))
    subjects, per_subject = metric.per_subject()
    assert subjects.tolist() == [4, 7, 9] and np.allclose(per_subject.numpy(), means)
    assert (int(found["subjects"]), int(found["slices"]), int(found["empty_slices"])) == (3, 6, 0)


def test_slices_with_nothing_in_them_are_counted_and_left_out():
    prediction, target = pair(3)
    mask = torch.ones(3, 1, 40, 52, dtype=torch.bool)
    mask[1] = False
    metric = ImageQuality()
    metric.update(prediction, target, torch.tensor([0, 0, 0]), mask)
    found = metric.compute()
    assert (int(found["slices"]), int(found["empty_slices"])) == (2, 1)
    assert math.isfinite(found["psnr"]) and "psnr_std" not in found
    metric.reset()
    assert metric.compute() == {"subjects": 0, "slices": 0, "empty_slices": 0}


def test_too_small_an_image():
    with pytest.raises(ValueError, match="11 pixels wide"):
        ssim(torch.zeros(1, 1, 8, 40), torch.zeros(1, 1, 8, 40))


def test_lpips_without_weights_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError, match="LPIPS needs AlexNet's weights: put https") as error:
        lpips(*pair(1, (64, 64)))
    assert "\n" not in str(error.value)
