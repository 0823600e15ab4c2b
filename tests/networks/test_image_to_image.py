"""The networks that turn images into images."""

from __future__ import annotations

import pytest
import torch

from lab.networks.cyclegan import PatchDiscriminator, ResidualGenerator, least_squares
from lab.networks.unet2d import ResidualUNet


def test_a_residual_u_net_starts_as_the_identity_and_learns():
    network, image = ResidualUNet((8, 16, 16)), torch.rand(2, 1, 16, 24)
    assert torch.equal(network(image), image)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        loss = (network(image) - (1 - image)).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_sizes_that_a_u_net_cannot_halve():
    with pytest.raises(ValueError, match="20x16 can't be halved 3 times"):
        ResidualUNet((8, 8, 8, 8))(torch.zeros(1, 1, 20, 16))
    with pytest.raises(ValueError, match="multiple of 4"):
        ResidualUNet((6,))


def test_cyclegans_networks():
    image = torch.rand(2, 1, 32, 32) * 2 - 1
    made = ResidualGenerator(8, 2)(image)
    assert made.shape == image.shape
    assert made.abs().max() <= 1
    critic = PatchDiscriminator((64, 128, 256, 512))
    assert critic(torch.zeros(1, 1, 256, 256)).shape == (1, 1, 30, 30)  # CycleGAN's for 70 x 70 patches
    # The patch that one number sees: pixels of the image that its gradient reaches, had there been no normalisation.
    plain = torch.nn.Sequential(*(layer for layer in critic.layers if not isinstance(layer, torch.nn.InstanceNorm2d)))
    pixels = torch.rand(1, 1, 256, 256, requires_grad=True)
    plain(pixels)[0, 0, 15, 15].backward()
    reached = pixels.grad[0, 0].nonzero()
    assert (reached.amax(0) - reached.amin(0) + 1).tolist() == [70, 70]


def test_least_squares():
    judged = torch.tensor([0.0, 1.0, 3.0])
    assert least_squares(judged, True) == pytest.approx(5 / 3)
    assert least_squares(judged, False) == pytest.approx(10 / 3)
