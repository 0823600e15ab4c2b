"""The networks of CycleGAN (Zhu et al. 2017): a generator of residual blocks, and a discriminator of patches."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class ResidualGenerator(nn.Module):
    """Images (B, channels, H, W) in [-1, 1] to images of the same shape and range; H and W multiples of 4.

    7 x 7 convolution, two strided ones, residual blocks, two enlargements, 7 x 7 convolution; instance norm (Johnson et
    al. 2016). Enlarged by nearest neighbour and convolution, where CycleGAN has transposed ones, which leave a pattern.

    Args:
        width: channels of the first layer.
        blocks: residual blocks.
    """

    def __init__(self, width: int = 64, blocks: int = 9, channels: int = 1):
        super().__init__()
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(channels, width, 7), *_active(width)]
        for inputs in (width, 2 * width):
            layers += [nn.Conv2d(inputs, 2 * inputs, 3, stride=2, padding=1), *_active(2 * inputs)]
        layers += [_Block(4 * width) for _ in range(blocks)]
        for inputs in (4 * width, 2 * width):
            layers += [nn.Upsample(scale_factor=2.0), nn.Conv2d(inputs, inputs // 2, 3, padding=1)]
            layers += _active(inputs // 2)
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(_first_weights)

    def forward(self, image: Tensor) -> Tensor:
        made: Tensor = self.layers(image)
        return made


class PatchDiscriminator(nn.Module):
    """How real each patch of images (B, channels, H, W) is: (B, 1, h, w), without a bound, for least squares.

    widths: channels; each layer but the last two halves the size. (64, 128, 256, 512) judges patches of 70 pixels.
    """

    def __init__(self, widths: tuple[int, ...] = (64, 128, 256, 512), channels: int = 1):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for place, (inputs, outputs) in enumerate(pairwise(widths)):
            stride = 1 if place == len(widths) - 2 else 2
            layers += [nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1), nn.InstanceNorm2d(outputs)]
            layers.append(nn.LeakyReLU(0.2))
        layers.append(nn.Conv2d(widths[-1], 1, 4, padding=1))
        self.layers = nn.Sequential(*layers)
        self.apply(_first_weights)

    def forward(self, image: Tensor) -> Tensor:
        judged: Tensor = self.layers(image)
        return judged


class _Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3),
            *_active(width),
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3),
            nn.InstanceNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.layers(x)
        return x + added


def _active(width: int) -> list[nn.Module]:
    return [nn.InstanceNorm2d(width), nn.ReLU()]


def _first_weights(module: nn.Module) -> None:
    """Normal with standard deviation .02, as CycleGAN's."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def least_squares(judged: Tensor, real: bool) -> Tensor:
    """The loss of LSGAN (Mao et al. 2017), a scalar: mean squared distance to 1 for real images, to 0 for others."""
    squared: Tensor = torch.square(judged - 1 if real else judged)
    return squared.mean()
