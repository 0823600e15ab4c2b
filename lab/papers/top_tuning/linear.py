"""Linear heads in closed form, or by scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import torch
from torch import Tensor

from lab.papers.top_tuning.config import LogisticHeadConfig, RidgeHeadConfig
from lab.papers.top_tuning.head import ClosedForm, Labelled, Settings
from lab.papers.top_tuning.scores import BLOCK


class Linear(ClosedForm):
    """Scores are x @ weight.T + bias; weight (C, d), bias (C,)."""

    weight: Tensor
    bias: Tensor

    def scores(self, features: Tensor) -> Tensor:
        return self.prepared(features) @ self.weight.T + self.bias


class RidgeHead(Linear):
    """Least squares on one-hot classes, with an intercept: (X'X / n + penalty I) W = X'Y / n, of centred rows.

    Rows are read in blocks, so memory is needed for d x d numbers only.
    """

    config: RidgeHeadConfig

    def candidates(self, train: Labelled, val: Labelled) -> Iterator[tuple[Settings, Tensor]]:
        system = self.system(train)
        for penalty in sorted(self.config.penalty, reverse=True):
            weight, bias = system.solve(penalty)
            parts = [self.prepared(block).double() @ weight.T + bias for block in torch.split(val.features, BLOCK)]
            yield {"penalty": penalty}, torch.cat(parts)

    def solve(self, rows: Labelled, settings: Settings) -> dict[str, Tensor]:
        weight, bias = self.system(rows).solve(settings["penalty"])
        return {"weight": weight.float(), "bias": bias.float()}

    def system(self, rows: Labelled) -> NormalEquation:
        found = NormalEquation(rows.features.shape[1], self.facts.num_classes)
        for start in range(0, len(rows), BLOCK):
            part = slice(start, start + BLOCK)
            found.add(self.prepared(rows.features[part]), self.one_hot(rows.label[part]))
        return found


class NormalEquation:
    """Sums over rows x (n, d) and targets y (n, C) in float64, and the least squares solutions that follow."""

    def __init__(self, d: int, classes: int):
        self.n = 0
        self.x, self.y = torch.zeros(d, dtype=torch.float64), torch.zeros(classes, dtype=torch.float64)
        self.xx = torch.zeros(d, d, dtype=torch.float64)
        self.xy = torch.zeros(d, classes, dtype=torch.float64)
        self._factors: tuple[Tensor, Tensor, Tensor] | None = None

    def add(self, x: Tensor, y: Tensor) -> None:
        x, y = x.double(), y.double()
        self.n += len(x)
        self.x += x.sum(0)
        self.y += y.sum(0)
        self.xx.addmm_(x.T, x)
        self.xy.addmm_(x.T, y)

    def solve(self, penalty: float) -> tuple[Tensor, Tensor]:
        """weight (C, d) and bias (C,), which is not penalised. The eigenvectors serve all penalties."""
        mean, target = self.x / self.n, self.y / self.n
        if self._factors is None:
            values, vectors = torch.linalg.eigh(self.xx / self.n - torch.outer(mean, mean))
            right = vectors.T @ (self.xy / self.n - torch.outer(mean, target))
            self._factors = values.clamp(min=0), vectors, right
        values, vectors, right = self._factors
        weight = (vectors @ (right / (values + penalty)[:, None])).T
        return weight, target - weight @ mean


class LogisticHead(Linear):
    """Multinomial logistic regression, by scikit-learn's L-BFGS; for two classes the binary one."""

    config: LogisticHeadConfig

    def candidates(self, train: Labelled, val: Labelled) -> Iterator[tuple[Settings, Tensor]]:
        rows = self.prepared(val.features)
        for c, weight, bias in self.path(train, sorted(self.config.c)):
            yield {"c": c}, rows @ weight.T + bias

    def solve(self, rows: Labelled, settings: Settings) -> dict[str, Tensor]:
        ((_, weight, bias),) = self.path(rows, [settings["c"]])
        return {"weight": weight, "bias": bias}

    def path(self, rows: Labelled, c: list[float]) -> Iterator[tuple[float, Tensor, Tensor]]:
        """(C, weight (classes, d), bias (classes,)) for each C, each started from the last."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        x, y = self.prepared(rows.features).numpy(), rows.label.numpy()
        model = LogisticRegression(max_iter=self.config.maxiter, warm_start=True)
        for value in c:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # what counts is the validation accuracy
                model.set_params(C=value).fit(x, y)
            weight, bias = torch.tensor(model.coef_), torch.tensor(model.intercept_)
            if len(weight) == 1:
                weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
            yield value, weight.float(), bias.float()
