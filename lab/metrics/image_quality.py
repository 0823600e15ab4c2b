"""How near a corrected image is to its motion-free reference: PSNR, both common SSIMs, NMSE, per image and per subject.

All take images float (B, 1, H, W) on the scale [0, data_range], by default [0, 1], as the slices of a data module are:
clipped at percentiles of their *volume*, never scaled slice by slice. A mask, bool (B, 1, H, W), says which pixels
count; without one all do, background included. Background ghosts are easy to remove, so the papers' notes ask for the
bounding box of the brain (`lab.mri.masks.bounding_box`).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import conv2d
from torchmetrics import Metric

Window = Literal["gaussian", "uniform"]

BEST_PSNR = 100.0
"""PSNR of equal images, in dB, in place of infinity."""


def psnr(prediction: Tensor, target: Tensor, mask: Tensor | None = None, data_range: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio (B,) in dB, `10 log10(data_range^2 / MSE)`; higher is better, at most `BEST_PSNR`."""
    error = _mean((prediction - target).square(), mask)
    return (10 * torch.log10(data_range**2 / error)).clamp(max=BEST_PSNR)


def nmse(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Normalised squared error (B,), `||p - g||^2 / ||g||^2`: 0 is perfect, 1 that of a black image.

    As a share; some papers print percent. NaN where the target is black.
    """
    return _mean((prediction - target).square(), mask) / _mean(target.square(), mask)


def ssim(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    data_range: float = 1.0,
    window: Window = "gaussian",
) -> Tensor:
    """Structural similarity (B,), in [-1, 1], 1 for equal images: the mean of `ssim_map` over the mask.

    As scikit-image does, without a mask only windows that lie inside the image count. With a mask the centre of a
    window decides; windows at the edge of the image still have to lie inside it.
    """
    values = ssim_map(prediction, target, data_range, window)
    if mask is not None:
        edge = (mask.shape[-1] - values.shape[-1]) // 2
        mask = mask[..., edge : mask.shape[-2] - edge, edge : mask.shape[-1] - edge]
    return _mean(values, mask)


def ssim_map(prediction: Tensor, target: Tensor, data_range: float = 1.0, window: Window = "gaussian") -> Tensor:
    """SSIM of each window inside the image, (B, 1, H - w + 1, W - w + 1); K1 = .01, K2 = .03.

    `gaussian`: 11 x 11 pixels, sigma 1.5, population covariance (Wang et al. 2004; scikit-image with
    `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`; torchmetrics' default, but that also counts windows
    that reach over the edge, where it mirrors the image).
    `uniform`: 7 x 7 pixels of equal weight, sample covariance (scikit-image's default; fastMRI). The two differ in the
    second or third digit, so a table has to say which it prints.

    Raises:
        ValueError: an image is smaller than the window.
    """
    weights, correction = _window(window, prediction)
    if min(prediction.shape[-2:]) < len(weights):
        raise ValueError(f"SSIM's {window} window is {len(weights)} pixels wide, the image {tuple(prediction.shape)}")
    channels = torch.cat([prediction, target, prediction.square(), target.square(), prediction * target], dim=1)
    horizontal, vertical = weights.view(1, 1, 1, -1).repeat(5, 1, 1, 1), weights.view(1, 1, -1, 1).repeat(5, 1, 1, 1)
    p, g, pp, gg, pg = conv2d(conv2d(channels, horizontal, groups=5), vertical, groups=5).chunk(5, dim=1)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    covariance = correction * (pg - p * g)
    variances = correction * ((pp - p * p) + (gg - g * g))
    values: Tensor = ((2 * p * g + c1) * (2 * covariance + c2)) / ((p * p + g * g + c1) * (variances + c2))
    return values


def _window(window: Window, like: Tensor) -> tuple[Tensor, float]:
    """Weights (w,) along one axis, and what turns the covariance under them into the one that is wanted."""
    if window == "uniform":
        return torch.full((7,), 1 / 7, dtype=like.dtype, device=like.device), 49 / 48
    place = torch.arange(-5, 6, dtype=like.dtype, device=like.device)
    weights = torch.exp(-(place**2) / (2 * 1.5**2))
    return weights / weights.sum(), 1.0


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean (B,) over the pixels of (B, 1, H, W) that the mask has; NaN where it has none."""
    if mask is None:
        return values.flatten(1).mean(1)
    kept = mask.to(values.dtype)
    return (values * kept).flatten(1).sum(1) / kept.flatten(1).sum(1)


class ImageQuality(Metric):
    """PSNR, SSIM and NMSE as mean and spread over *subjects*: slices of one subject are averaged first.

    `compute()` returns, over the subjects seen on all devices:
        psnr, ssim, ssim_uniform, nmse: mean over subjects (dB; [-1, 1]; [-1, 1]; share).
        psnr_std, ...: sample standard deviation over subjects; absent for a single one.
        subjects, slices: how many there were. Slices without a pixel in the mask, or with a black target there, are
            left out, and counted in `empty_slices`.

    Args:
        data_range: largest value of the scale.
        options: of `torchmetrics.Metric`; `sync_on_compute=False` for rows that one process has all of.
    """

    full_state_update = False
    names = ("psnr", "ssim", "ssim_uniform", "nmse")

    values: list[Tensor]
    subject: list[Tensor]

    def __init__(self, data_range: float = 1.0, **options: Any):
        super().__init__(**options)
        self.data_range = data_range
        for name in ("values", "subject"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, prediction: Tensor, target: Tensor, subject: Tensor, mask: Tensor | None = None) -> None:
        """prediction, target: (B, 1, H, W); subject: int64 (B,); mask: bool (B, 1, H, W)."""
        self.values.append(per_image(prediction, target, mask, self.data_range))
        self.subject.append(subject)

    def per_subject(self) -> tuple[Tensor, Tensor]:
        """Subjects int64 (S,), increasing, and float64 (S, 4): their means of `names`. For paired tests."""
        values, subject = self._all()
        found, place = torch.unique(subject, return_inverse=True)
        sums = torch.zeros(len(found), len(self.names), dtype=torch.float64, device=values.device)
        sums.index_add_(0, place, values)
        return found, sums / torch.bincount(place, minlength=len(found)).unsqueeze(1)

    def compute(self) -> dict[str, Tensor]:
        values, _ = self._all()
        subjects, means = self.per_subject()
        found: dict[str, Tensor] = {
            "subjects": torch.tensor(len(subjects)),
            "slices": torch.tensor(len(values)),
            "empty_slices": torch.tensor(sum(len(part) for part in self.values) - len(values)),
        }
        for place, name in enumerate(self.names if len(subjects) else ()):
            found[name] = means[:, place].mean()
            if len(subjects) > 1:
                found[f"{name}_std"] = means[:, place].std()
        return found

    def _all(self) -> tuple[Tensor, Tensor]:
        if not len(self.values):
            return torch.zeros(0, len(self.names), dtype=torch.float64), torch.zeros(0, dtype=torch.long)
        values, subject = torch.cat(list(self.values)).double(), torch.cat(list(self.subject))
        defined = values.isfinite().all(1)
        return values[defined], subject[defined]


def per_image(prediction: Tensor, target: Tensor, mask: Tensor | None = None, data_range: float = 1.0) -> Tensor:
    """The four measures `ImageQuality.names` of each image, (B, 4); NaN where one isn't defined."""
    return torch.stack(
        [
            psnr(prediction, target, mask, data_range),
            ssim(prediction, target, mask, data_range),
            ssim(prediction, target, mask, data_range, window="uniform"),
            nmse(prediction, target, mask),
        ],
        dim=1,
    )
