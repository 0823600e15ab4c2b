"""k-space and rigid motion against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lab.mri.fourier import linear_phase, to_image, to_kspace
from lab.mri.rigid import move, rotate, translate

SIZE = 48


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blob(y: float, x: float, width: float = 3.0, stretch: float = 1.0) -> torch.Tensor:
    """A Gaussian `y`, `x` mm off the middle; rows are `stretch` mm apart."""
    place = torch.arange(SIZE, dtype=torch.float64) - (SIZE - 1) / 2
    rows, columns = place[:, None] * stretch, place[None, :]
    return torch.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * width**2))[None, None]


def test_the_transform_is_numpys_centred_one_and_its_inverse_undoes_it():
    image = noise(2, 1, 8, 9)
    expected = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image.numpy(), axes=(-2, -1)), norm="ortho"), axes=(-2, -1))
    assert np.allclose(to_kspace(image).numpy(), expected)
    assert torch.allclose(to_image(to_kspace(image)).real, image)
    volume = noise(1, 1, 4, 5, 6)
    assert torch.allclose(to_image(to_kspace(volume, 3), 3).real, volume)


def test_energy_is_kept():
    image = noise(2, 1, 16, 20)
    assert to_kspace(image).abs().square().sum() == pytest.approx(float(image.square().sum()))
    moved = move(image, torch.tensor([[7.0], [-31.0]]), torch.tensor([[1.3, -2.4], [0.2, 8.0]]), (1.0, 1.5))
    energy = moved.abs().square().flatten(1).sum(1)
    assert torch.allclose(energy, image.square().flatten(1).sum(1), rtol=1e-5)
    volume = noise(1, 1, 8, 10, 12)
    turned = move(volume, torch.tensor([[5.0, -8.0, 3.0]]), torch.tensor([[0.5, 1.0, -2.0]]), (1.0, 1.0, 2.0))
    assert turned.abs().square().sum() == pytest.approx(float(volume.square().sum()), rel=1e-5)


def test_a_translation_is_a_linear_phase():
    image, shift = noise(1, 1, 12, 10), torch.tensor([[1.7, -0.4]])
    frequencies = [np.fft.fftshift(np.fft.fftfreq(n)) for n in (12, 10)]
    phase = np.exp(-2j * np.pi * (1.7 * frequencies[0][:, None] - 0.4 * frequencies[1][None, :]))
    moved = to_kspace(translate(image, shift))[0, 0].numpy()
    assert np.allclose(moved, to_kspace(image)[0, 0].numpy() * phase, atol=1e-5)
    assert np.allclose(linear_phase((12, 10), shift)[0].numpy(), phase, atol=1e-6)


def test_whole_pixels_are_rolled():
    image = noise(1, 1, 12, 10)
    moved = translate(image, torch.tensor([[3.0, -2.0]]))
    assert torch.allclose(moved.real, image.roll((3, -2), (-2, -1)), atol=1e-5)
    assert moved.imag.abs().max() < 1e-5


def test_no_motion_is_the_identity():
    image = noise(2, 1, 15, 22).float()
    still = move(image, torch.zeros(2, 1), torch.zeros(2, 2))
    assert (still - image).abs().max() < 1e-5


@pytest.mark.parametrize("quarters", [-1, 1, 2, 3])
def test_quarter_turns_are_rot90(quarters):
    image = noise(1, 1, 16, 16)
    turned = rotate(image, torch.tensor([90.0 * quarters]))
    assert torch.allclose(turned.real, torch.rot90(image, quarters, (-2, -1)), atol=1e-6)


def test_rows_turn_each_by_its_own_angle():
    image = noise(3, 1, 16, 16)
    angles = torch.tensor([12.0, 100.0, -4.0])
    together = rotate(image, angles)
    for row in range(3):
        assert torch.allclose(together[row : row + 1], rotate(image[row : row + 1], angles[row : row + 1]))


@pytest.mark.parametrize("degrees", [5.0, -20.0, 44.0, 120.0])
def test_a_blob_turns_about_the_middle(degrees):
    angle = np.radians(degrees)
    expected = blob(-12 * np.sin(angle), 12 * np.cos(angle))
    assert (rotate(blob(0, 12), torch.tensor([degrees])).real - expected).abs().max() < 1e-3


def test_spacing_makes_a_turn_rigid():
    angle = np.radians(10.0)
    expected = blob(-8 * np.sin(angle), 8 * np.cos(angle), stretch=2.0, width=5.0)
    turned = rotate(blob(0, 8, stretch=2.0, width=5.0), torch.tensor([10.0]), spacing=(2.0, 1.0))
    assert (turned.real - expected).abs().max() < 0.01


def test_turns_add_up():
    image = blob(4, 9)
    twice = rotate(rotate(image, torch.tensor([7.0])), torch.tensor([11.0]))
    assert (twice - rotate(image, torch.tensor([18.0]))).abs().max() < 1e-5
    back = rotate(rotate(image, torch.tensor([13.0])), torch.tensor([-13.0]))
    assert (back - image).abs().max() < 1e-6


def test_a_volume_turns_in_one_plane_as_its_slices_do():
    volume = blob(3, 8).repeat(1, 4, 1, 1).unsqueeze(1)
    turned = move(volume, torch.tensor([[6.0, 0.0, 0.0]]), torch.zeros(1, 3), (1.0, 1.0, 1.0))
    assert torch.allclose(turned[0, 0, 2], rotate(blob(3, 8), torch.tensor([6.0]))[0, 0], atol=1e-6)


def test_oblong_images_do_not_turn_far():
    with pytest.raises(ValueError, match="beyond 45 degrees"):
        rotate(noise(1, 1, 8, 10), torch.tensor([60.0]))
    with pytest.raises(ValueError, match="3 angles"):
        move(noise(1, 1, 4, 4, 4), torch.zeros(1, 1), torch.zeros(1, 3), (1.0, 1.0, 1.0))
