"""Cholesky factors in place, the preconditioner, conjugate gradients."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch

from lab.errors import KernelError
from lab.kernels.cg import conjugate_gradient
from lab.kernels.factors import Preconditioner, cholesky_, mirror_
from lab.kernels.functions import Kernel, kernel_matrix

M = 150  # more than one panel


def positive(seed: int = 0, columns: int = 300) -> torch.Tensor:
    rows = torch.randn(M, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return rows @ rows.T / columns


def test_the_factor_lies_below_and_the_matrix_stays_above():
    matrix = positive()
    factored = matrix.clone()
    assert cholesky_(factored, 0.0, "it") == 0.0
    np.testing.assert_allclose(factored.tril(), scipy.linalg.cholesky(matrix, lower=True), atol=1e-12)
    assert torch.equal(factored.triu(1), matrix.triu(1))


def test_jitter_grows_tenfold_until_a_singular_matrix_can_be_factored():
    singular = positive(columns=20)
    factored = singular.clone()
    jitter = cholesky_(factored, 0.0, "it")
    assert 1e-17 < jitter < 1e-14
    lower = factored.tril()
    scale = singular.diagonal().mean()
    torch.testing.assert_close(lower @ lower.T, singular + jitter * M * scale * torch.eye(M), rtol=0, atol=1e-12)


def test_an_indefinite_matrix_is_one_clear_error():
    with pytest.raises(KernelError, match="the thing is not positive definite"):
        cholesky_(positive() - 0.5 * torch.eye(M), 0.0, "the thing")


def test_mirror():
    matrix = torch.rand(M, M)
    upper = matrix.triu()
    assert torch.equal(mirror_(matrix), upper + upper.triu(1).T)


@pytest.mark.parametrize("centred", [True, False])
def test_the_preconditioner_inverts_the_estimate_it_is_made_of(centred):
    """P'(K D K + penalty K)P = I with K the centres' matrix, its columns centred under D when asked for."""
    points = torch.randn(M, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    kernel = kernel_matrix(Kernel("matern32"), points, points, 1.0)
    importance = torch.rand(M, dtype=torch.float64) + 0.1
    importance /= importance.sum()
    preconditioner = Preconditioner(kernel.clone(), importance, jitter=1e-14, centred=centred)
    preconditioner.factor(1e-3)
    p = preconditioner.coefficients(torch.eye(M, dtype=torch.float64))
    seen = kernel - importance @ kernel if centred else kernel
    system = seen.T @ (importance[:, None] * seen) + 1e-3 * kernel
    torch.testing.assert_close(p.T @ system @ p, torch.eye(M, dtype=torch.float64), rtol=0, atol=1e-6)
    torch.testing.assert_close(preconditioner.whiten(torch.eye(M, dtype=torch.float64)), p.T, rtol=1e-6, atol=1e-6)


def test_conjugate_gradients_solve_every_column():
    matrix, right = positive(), torch.randn(M, 4, dtype=torch.float64)
    right[:, 2] = 0
    result = conjugate_gradient(lambda x: matrix @ x, right, maxiter=500, tolerance=1e-12)
    torch.testing.assert_close(result.x, torch.linalg.solve(matrix, right), rtol=1e-9, atol=1e-9)
    assert result.iterations == len(result.residuals) < 500
    assert result.residuals[-1] <= 1e-12


def test_conjugate_gradients_end_in_as_many_iterations_as_there_are_eigenvalues():
    base = torch.linalg.qr(torch.randn(M, M, dtype=torch.float64)).Q
    matrix = base @ torch.diag(torch.tensor([1.0, 5.0, 9.0], dtype=torch.float64).repeat(M // 3)) @ base.T
    result = conjugate_gradient(lambda x: matrix @ x, torch.ones(M, 1, dtype=torch.float64), tolerance=1e-10)
    assert result.iterations == 3


def test_a_warm_start_at_the_solution_needs_no_iteration():
    matrix, right = positive(), torch.randn(M, 2, dtype=torch.float64)
    solution = torch.linalg.solve(matrix, right)
    result = conjugate_gradient(lambda x: matrix @ x, right, start=solution, tolerance=1e-6)
    assert result.iterations == 0
    assert torch.equal(result.x, solution)


def test_the_residual_is_the_true_one_although_products_are_rounded():
    matrix, right = positive(), torch.randn(M, 1, dtype=torch.float64)
    result = conjugate_gradient(
        lambda x: (matrix.float() @ x.float()).double(), right, maxiter=50, tolerance=0
    )  # stops at an iteration that computes it anew
    true = ((right - matrix @ result.x).norm() / right.norm()).item()
    assert result.residuals[-1] == pytest.approx(true, rel=0.5, abs=1e-6)
