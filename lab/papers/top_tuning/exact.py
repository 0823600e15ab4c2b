"""Exact kernel methods, for as many rows as the square of which fits into memory: what Falkon approximates."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from lab.errors import UserError
from lab.kernels import Kernel, kernel_matrix, median_distance
from lab.kernels.plan import parse_memory
from lab.papers.top_tuning.config import KernelConfig, KernelRidgeHeadConfig, SvcHeadConfig
from lab.papers.top_tuning.expansion import KernelExpansion
from lab.papers.top_tuning.head import Labelled, Settings
from lab.papers.top_tuning.scores import sample
from lab.stages.seeds import derive

GAUSSIAN = Kernel("gaussian")


class ExactKernel(KernelExpansion):
    """A Gaussian kernel between all rows, at the scale of the training rows, in float64."""

    config: KernelConfig
    matrices = 2
    """How many n x n matrices a fit holds at once."""

    def length_scales(self, train: Labelled) -> list[float]:
        """Sigmas to choose from, the largest, which gives the smoothest function, first."""
        unit = median_distance(self.prepared(sample(train.features, derive(self.seed, "sigma"))))
        return [factor * unit for factor in sorted(self.config.sigma, reverse=True)]

    def insist_on_memory(self, n: int) -> None:
        """Refuse more rows than there is memory for.

        Raises:
            UserError: how much they need, and the way out.
        """
        needed, budget = 8 * self.matrices * n * n, parse_memory(self.config.memory, torch.device("cpu"))
        if needed > budget:
            raise UserError(
                f"{self.title}: {n} rows need {needed / 2**30:.1f} GiB for exact kernel matrices, the budget is "
                f"{budget / 2**30:.1f} GiB: leave the stage out (enabled: false), or set its module.memory"
            )

    def gram(self, rows: Tensor, centres: Tensor, sigma: float) -> Tensor:
        """float64 (n, m)."""
        return kernel_matrix(GAUSSIAN, rows, centres, sigma)

    def kernel(self) -> Kernel:
        return GAUSSIAN

    def located(self, features: Tensor) -> Tensor:
        return self.prepared(features).double()


class KernelRidgeHead(ExactKernel):
    """Kernel ridge regression on one-hot classes less their means: (K + n penalty I) alpha = Y - mean(Y)."""

    config: KernelRidgeHeadConfig
    alpha: Tensor
    intercept: Tensor

    def scores(self, features: Tensor) -> Tensor:
        blocks = self.values(features, self.centres, self.sigma)
        return torch.cat([values @ self.alpha + self.intercept for values in blocks])

    def candidates(self, train: Labelled, val: Labelled) -> Iterator[tuple[Settings, Tensor]]:
        self.insist_on_memory(len(train) + len(val))
        rows, others = self.located(train.features), self.located(val.features)
        for sigma in self.length_scales(train):
            matrix, across = self.gram(rows, rows, sigma), self.gram(others, rows, sigma)
            for penalty in sorted(self.config.penalty, reverse=True):
                alpha, mean = self.coefficients(matrix, train.label, penalty)
                yield {"sigma": sigma, "penalty": penalty}, across @ alpha + mean

    def solve(self, rows: Labelled, settings: Settings) -> dict[str, Tensor]:
        x, sigma = self.located(rows.features), settings["sigma"]
        alpha, mean = self.coefficients(self.gram(x, x, sigma), rows.label, settings["penalty"])
        return {"centres": x, "sigma": torch.tensor([sigma]), "alpha": alpha, "intercept": mean}

    def coefficients(self, matrix: Tensor, label: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
        """alpha (n, C) and the intercept (C,), from K (n, n)."""
        target = self.one_hot(label).double()
        mean = target.mean(0)
        shifted = matrix.clone()
        shifted.diagonal().add_(len(label) * penalty)
        return torch.cholesky_solve(target - mean, torch.linalg.cholesky(shifted)), mean


class SvcHead(ExactKernel):
    """scikit-learn's SVC: a machine for each pair of classes, their votes, and their margins where votes are equal.

    `dual` (C - 1, m), `bias` (pairs,) and `of_class` (C,), the support vectors of each class, are laid out as
    scikit-learn's `dual_coef_`, `intercept_` and `n_support_` for more than two classes.
    """

    config: SvcHeadConfig
    dual: Tensor
    bias: Tensor
    of_class: Tensor
    matrices = 3

    def scores(self, features: Tensor) -> Tensor:
        counts = self.of_class.long().tolist()
        blocks = self.values(features, self.centres, self.sigma)
        return votes(torch.cat([decisions_of(values, self.dual, self.bias, counts) for values in blocks]), len(counts))

    def candidates(self, train: Labelled, val: Labelled) -> Iterator[tuple[Settings, Tensor]]:
        self.insist_on_memory(len(train) + len(val))
        rows, others = self.located(train.features), self.located(val.features)
        for sigma in self.length_scales(train):
            matrix, across = self.gram(rows, rows, sigma), self.gram(others, rows, sigma)
            for c in sorted(self.config.c):
                chosen, dual, bias, counts = self.machines(matrix, train.label, c)
                found = decisions_of(across[:, chosen], dual, bias, counts)
                yield {"sigma": sigma, "c": c}, votes(found, len(counts))

    def solve(self, rows: Labelled, settings: Settings) -> dict[str, Tensor]:
        x, sigma = self.located(rows.features), settings["sigma"]
        chosen, dual, bias, counts = self.machines(self.gram(x, x, sigma), rows.label, settings["c"])
        state = {"centres": x[chosen], "dual": dual, "bias": bias, "of_class": torch.tensor(counts)}
        return {**state, "sigma": torch.tensor([sigma])}

    @staticmethod
    def machines(matrix: Tensor, label: Tensor, c: float) -> tuple[Tensor, Tensor, Tensor, list[int]]:
        """Numbers (m,) of the support vectors, class by class, then `dual`, `bias` and `of_class`; from K (n, n)."""
        from sklearn.svm import SVC

        model = SVC(C=c, kernel="precomputed").fit(matrix.numpy(), label.numpy())
        dual, bias = model.dual_coef_, model.intercept_
        if len(model.classes_) == 2:  # scikit-learn turns the signs of a single machine
            dual, bias = -dual, -bias
        found = (torch.from_numpy(np.asarray(value, dtype=np.float64)) for value in (dual, bias))
        return torch.from_numpy(model.support_).long(), *found, model.n_support_.tolist()


def decisions_of(kernel: Tensor, dual: Tensor, bias: Tensor, counts: list[int]) -> Tensor:
    """Decisions (n, C (C - 1) / 2) between classes i < j, above 0 for i, from kernel values (n, m) with the support
    vectors, which are in the order of their classes."""
    first = [sum(counts[:k]) for k in range(len(counts) + 1)]
    parts = [kernel[:, a:b] @ dual[:, a:b].T for a, b in pairwise(first)]
    i, j = torch.triu_indices(len(counts), len(counts), 1)
    sums = torch.stack(parts)  # (C, n, C - 1): of the support vectors of a class, in its machines against the others
    return sums[i, :, j - 1].T + sums[j, :, i].T + bias


def votes(decisions: Tensor, classes: int) -> Tensor:
    """Scores (n, C): how many machines are for a class, and less than half a vote by their margins."""
    i, j = (index.to(decisions.device) for index in torch.triu_indices(classes, classes, 1))
    won = torch.zeros(len(decisions), classes, dtype=decisions.dtype, device=decisions.device)
    margin = won.clone()
    won.index_add_(1, i, (decisions > 0).to(won)).index_add_(1, j, (decisions <= 0).to(won))
    margin.index_add_(1, i, decisions).index_add_(1, j, -decisions)
    return won + margin / (3 * (margin.abs() + 1))
