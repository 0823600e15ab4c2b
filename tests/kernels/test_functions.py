"""Kernels against independent implementations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, pdist
from sklearn.gaussian_process.kernels import Matern
from sklearn.metrics import pairwise

from lab.errors import KernelError
from lab.kernels.functions import KERNELS, Kernel, KernelBlock, centres_matrix, kernel_matrix, median_distance

SIGMA = 1.7
RNG = np.random.default_rng(0)
X, C = RNG.normal(size=(40, 6)) + 3, RNG.normal(size=(15, 6)) + 3
GAMMA = 1 / SIGMA**2
EXPECTED = {
    "gaussian": pairwise.rbf_kernel(X, C, gamma=GAMMA / 2),
    "laplacian": np.exp(-cdist(X, C) / SIGMA),
    "matern12": Matern(SIGMA, nu=0.5)(X, C),
    "matern32": Matern(SIGMA, nu=1.5)(X, C),
    "matern52": Matern(SIGMA, nu=2.5)(X, C),
    "linear": GAMMA * pairwise.linear_kernel(X, C),
    "polynomial": pairwise.polynomial_kernel(X, C, degree=3, gamma=GAMMA, coef0=1),
    "sigmoid": pairwise.sigmoid_kernel(X, C, gamma=GAMMA, coef0=1),
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_kernels_are_those_of_other_libraries(name, dtype, tolerance):
    values = kernel_matrix(Kernel(name), torch.tensor(X, dtype=dtype), torch.tensor(C, dtype=dtype), SIGMA)
    np.testing.assert_allclose(values.numpy(), EXPECTED[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", KERNELS)
def test_a_sigma_for_each_dimension_is_a_scaling_of_the_columns(name):
    sigma = torch.tensor([0.5, 1, 2, 3, 4, 5.0], dtype=torch.float64)
    rows, centres = torch.tensor(X), torch.tensor(C)
    scaled = kernel_matrix(Kernel(name), rows / sigma, centres / sigma, 1.0)
    torch.testing.assert_close(kernel_matrix(Kernel(name), rows, centres, sigma), scaled)


def test_float32_distances_survive_a_large_common_offset():
    far = torch.tensor(X) + 1e4
    block = KernelBlock(Kernel(), torch.tensor(C) + 1e4, torch.tensor([SIGMA]), torch.float32)
    values = block((far - block.shift).float())
    np.testing.assert_allclose(values.numpy(), EXPECTED["gaussian"], atol=1e-6)


@pytest.mark.parametrize("name", KERNELS)
def test_the_matrix_of_the_centres_is_symmetric_and_the_same_in_a_triangle(name):
    centres = torch.tensor(RNG.normal(size=(150, 4)))  # more than one panel
    sigma = torch.tensor([SIGMA], dtype=torch.float64)
    whole = centres_matrix(Kernel(name), centres, sigma)
    assert torch.equal(whole, whole.T)
    torch.testing.assert_close(whole, kernel_matrix(Kernel(name), centres, centres, SIGMA), rtol=1e-7, atol=1e-7)
    below = centres_matrix(Kernel(name), centres, sigma, torch.full_like(whole, 7.0))
    assert torch.equal(below.tril(), whole.tril())
    assert bool((below.triu(1) == torch.full_like(whole, 7.0).triu(1)).all())
    torch.testing.assert_close(Kernel(name).diagonal(centres, sigma), whole.diagonal(), rtol=1e-12, atol=1e-12)


def test_a_reference_is_taken_off_and_some_first_centres_can_be_left_out():
    rows = torch.tensor(X)
    block = KernelBlock(Kernel(), torch.tensor(C), torch.tensor([SIGMA], dtype=torch.float64), torch.float64)
    reference = torch.arange(15.0, dtype=torch.float64)
    moved = rows - block.shift
    np.testing.assert_allclose(block(moved, reference=reference), EXPECTED["gaussian"] - np.arange(15), atol=1e-12)
    np.testing.assert_allclose(block(moved, first=5), EXPECTED["gaussian"][:, 5:], atol=1e-12)


def test_median_distance_is_that_of_scipy_and_leaves_duplicates_out():
    assert median_distance(torch.tensor(X)) == pytest.approx(np.median(pdist(X)), rel=1e-2)
    assert median_distance(torch.tensor(np.r_[X, X, X])) == pytest.approx(np.median(pdist(X)), rel=1e-2)
    assert median_distance(torch.ones(5, 3)) == 1.0


def test_unknown_kernels_and_degrees():
    with pytest.raises(KernelError, match="unknown kernel 'gausian'; did you mean 'gaussian'"):
        Kernel("gausian")
    with pytest.raises(KernelError, match="degree"):
        Kernel("polynomial", degree=0)
