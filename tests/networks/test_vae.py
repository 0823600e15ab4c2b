"""Autoencoders: shapes, published sizes, and that they learn."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lab.networks.vae import feature_vae, image_vae, mlp_vae
from lab.networks.variational import kl, reconstruction


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("variational", [True, False])
def test_shapes(variational):
    cases = (
        (mlp_vae(30, 4, (16, 8), variational=variational), (5, 30)),
        (mlp_vae(30, 4, (16, 8), batch_norm=True, variational=variational), (5, 30)),
        (feature_vae(30, 4, 8, variational=variational), (5, 30)),
        (image_vae(32, 4, 16, variational=variational), (5, 3, 32, 32)),
        (image_vae(24, 4, 16, 1, variational=variational), (5, 1, 24, 24)),
    )
    for model, shape in cases:
        x = torch.rand(shape)
        output, posterior = model(x, torch.randn(5, 4))
        assert output.shape == shape and posterior.mean.shape == (5, 4)
        assert (posterior.logvar is not None) == variational
        model.eval()
        assert torch.equal(model(x)[0], model.decode(model.encode(x).mean))
        if not variational:
            assert torch.equal(model(x, torch.randn(5, 4))[0], model(x)[0])


def test_sizes_are_those_of_the_notes():
    """About 5.0 million at h = 512 for 768 features; 2.4 million for 2048 features and 32 dimensions."""
    assert parameters(feature_vae(768, 10, 512)) == pytest.approx(5.0e6, rel=0.02)
    assert parameters(mlp_vae(2048, 32)) == pytest.approx(2.4e6, rel=0.02)


def test_the_image_vae_has_the_published_layers():
    model = image_vae(64, 10, 128)
    kinds = [type(layer).__name__ for layer in model.encoder]
    assert kinds == ["Conv2d", "BatchNorm2d", "LeakyReLU"] * 3 + ["Flatten", "LayerNorm"]
    assert model.mean.weight.shape == (10, 128 * 8 * 8)
    bound = (6 / (10 + 128 * 64)) ** 0.5
    assert model.mean.weight.abs().max() <= bound and model.mean.weight.abs().max() > 0.95 * bound
    assert (model.mean.bias == 0.01).all()
    with pytest.raises(ValueError, match="multiple of 8, is 30"):
        image_vae(30)


def test_outputs_of_features_and_images_are_in_the_unit_interval():
    for model, shape in ((feature_vae(12, 3, 8), (9, 12)), (image_vae(16, 3, 8), (9, 3, 16, 16))):
        output = model(5 * torch.randn(shape))[0]
        assert output.min() >= 0 and output.max() <= 1
    assert mlp_vae(12, 3)(5 * torch.randn(9, 12))[0].min() < 0


def test_log_variances_are_kept_in_range():
    model = mlp_vae(6, 2, (8,))
    assert model.logvar is not None
    nn.init.constant_(model.logvar.bias, 50.0)
    assert model.encode(torch.zeros(3, 6)).logvar.max() == 10


def test_a_vae_learns_a_plane():
    """Features of rank two: little of them is left over, and most of the code is used."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    x = torch.randn(256, 2, generator=generator) @ torch.randn(2, 20, generator=generator)
    model = mlp_vae(20, 4, (32,))
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(120):
        output, posterior = model(x, torch.randn(256, 4, generator=generator))
        loss = (reconstruction(output, x, "gaussian") + 0.1 * kl(posterior).sum(1)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    rest = reconstruction(model(x)[0], x, "gaussian").mean() / x.square().sum(1).mean()
    assert rest < 0.05
    assert kl(posterior).sum(1).mean() > 2
