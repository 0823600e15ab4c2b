"""Variational autoencoders of features and of images, and their plain counterparts. Losses are in `variational`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from lab.networks.variational import Posterior

LOGVAR = (-20.0, 10.0)
"""Range that log variances are kept in."""


class Autoencoder(nn.Module):
    """An encoder, heads for the mean and the log variance of a Gaussian code, and a decoder.

    Args:
        encoder: (B, …) -> (B, width).
        decoder: (B, latent) -> (B, …).
        variational: else the code is the mean alone, and has no distribution.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, width: int, latent: int, variational: bool = True):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.mean = nn.Linear(width, latent)
        self.logvar = nn.Linear(width, latent) if variational else None

    def encode(self, x: Tensor) -> Posterior:
        """Distribution (B, latent) of the code."""
        hidden = self.encoder(x)
        return Posterior(self.mean(hidden), None if self.logvar is None else self.logvar(hidden).clamp(*LOGVAR))

    def decode(self, code: Tensor) -> Tensor:
        """What a code (B, latent) stands for."""
        decoded: Tensor = self.decoder(code)
        return decoded

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Posterior]:
        """Reconstruction and posterior. noise: standard normal (B, latent); without it the mean is decoded."""
        posterior = self.encode(x)
        return self.decode(posterior.sample(noise)), posterior


class ToUnit(nn.Module):
    """(tanh + 1) / 2, into (0, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return (torch.tanh(x) + 1) / 2


def mlp(sizes: Sequence[int], slope: float, batch_norm: bool, activate_last: bool) -> nn.Sequential:
    """Linear layers, each followed by batch normalisation on request and LeakyReLU; the last by these or by nothing."""
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise(sizes), 1):
        layers.append(nn.Linear(before, after))
        if number < len(sizes) - 1 or activate_last:
            layers += [nn.BatchNorm1d(after)] if batch_norm else []
            layers.append(nn.LeakyReLU(slope))
    return nn.Sequential(*layers)


def mlp_vae(
    features: int,
    latent: int,
    widths: Sequence[int] = (512, 256),
    *,
    slope: float = 0.2,
    batch_norm: bool = False,
    variational: bool = True,
) -> Autoencoder:
    """For standardised features: the decoder mirrors the encoder and ends in a linear layer (plankton; our default)."""
    encoder = mlp((features, *widths), slope, batch_norm, activate_last=True)
    decoder = mlp((latent, *reversed(widths), features), slope, batch_norm, activate_last=False)
    return Autoencoder(encoder, decoder, widths[-1], latent, variational)


def feature_vae(features: int = 768, latent: int = 10, hidden: int = 512, *, variational: bool = True) -> Autoencoder:
    """For features in about [0, 1]: widths h, 2h, 3h, and a decoder into (0, 1) (microscopy, released code).

    As released, LeakyReLU also follows the last layer of the decoder, before the tanh.
    """
    widths = (hidden, 2 * hidden, 3 * hidden)
    encoder = mlp((features, *widths), 0.2, False, activate_last=True)
    decoder = mlp((latent, *reversed(widths), features), 0.2, False, activate_last=True)
    return Autoencoder(encoder, nn.Sequential(decoder, ToUnit()), widths[-1], latent, variational)


def image_vae(
    size: int = 64,
    latent: int = 10,
    filters: int = 128,
    channels: int = 3,
    *,
    variational: bool = True,
) -> Autoencoder:
    """For images in [0, 1], three convolutions down and three up (released code: 128 filters; 64 or 224 pixels).

    Weights start as Xavier's uniform ones, biases at 0.01.

    Raises:
        ValueError: the side is no multiple of 8.
    """
    if size % 8:
        raise ValueError(f"the side has to be a multiple of 8, is {size}")
    steps = (channels, filters // 4, filters // 2, filters)
    inner = (filters, size // 8, size // 8)
    width = filters * (size // 8) ** 2
    down: list[nn.Module] = []
    for before, after in pairwise(steps):
        down += [nn.Conv2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.LeakyReLU(0.02)]
    up: list[nn.Module] = [nn.Linear(latent, width), nn.LeakyReLU(0.02), nn.Unflatten(1, inner)]
    for before, after in pairwise(steps[::-1]):
        up += [nn.ConvTranspose2d(before, after, 4, 2, 1), nn.LeakyReLU(0.02)]
    encoder = nn.Sequential(*down, nn.Flatten(), nn.LayerNorm(width))
    model = Autoencoder(encoder, nn.Sequential(*up[:-1], ToUnit()), width, latent, variational)
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight)
            assert layer.bias is not None
            nn.init.constant_(layer.bias, 0.01)
    return model
