"""Options of top-tuning's stages. Imports nothing heavy.

The paper's grids, feature scaling and fine-tuning recipe are not known; the defaults are ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from lab.config.fields import option, runtime
from lab.networks.config import OptimizerConfig
from lab.papers.debiasing.config import ClassifierConfig

PENALTIES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)
SIGMAS = (0.25, 0.5, 1.0, 2.0, 4.0)


def _above_zero(config: Any, *names: str) -> Iterator[tuple[str, str]]:
    for name in names:
        values = getattr(config, name)
        if not values or min(values) <= 0:
            yield name, f"needs one or more numbers above 0, is {values}"


@dataclass
class HeadConfig:
    """How features are scaled before a classifier sees them, by statistics of the training rows."""

    scaling: Literal["global", "zscore", "l2", "none"] = option(
        "global", "centre, then divide by one number, or by one a dimension; l2: each row to length 1; none"
    )


@dataclass
class SelectedConfig(HeadConfig):
    """Options of heads that choose their own from lists, by the validation rows."""

    select: Literal["accuracy", "balanced_accuracy"] = option(
        "accuracy", "on the validation rows; decides what is kept"
    )
    refit: bool = option(True, "fit the choice again on training and validation rows together")


@dataclass
class FalkonHeadConfig(SelectedConfig):
    """Falkon on features; sigma, penalty and the number of centres are chosen on the validation rows."""

    kernel: Literal["gaussian", "laplacian", "matern12", "matern32", "matern52"] = option("gaussian", "kernel function")
    sigma: list[float] = option(
        factory=lambda: list(SIGMAS), help="length scales to choose from, in median distances of scaled rows"
    )
    penalty: list[float] = option(factory=lambda: list(PENALTIES), help="penalties to choose from, per row")
    M: list[int] = option(
        factory=list, help="numbers of centres to choose from, at most the rows; absent: max(1000, 10 sqrt(rows))"
    )
    centres: Literal["uniform", "stratified", "kmeans++", "leverage"] = option("uniform", "how centres are drawn")
    class_weights: bool = option(False, "every class counts the same, whatever its number of rows")
    solver: Literal["auto", "cg", "gram", "falkon"] = option(
        "auto", "conjugate gradient, the normal equation, the cheaper of them, or the package FalkonML/falkon"
    )
    maxiter: int = option(20, "iterations of the conjugate gradient at most")
    memory: str | None = runtime(None, "for the solver, as '4GiB'; absent: half of what is free")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from _above_zero(self, "sigma", "penalty")
        if self.M and min(self.M) < 1:
            yield "M", f"needs numbers above 0, is {self.M}"
        if self.maxiter < 1:
            yield "maxiter", f"must be at least 1, is {self.maxiter}"


@dataclass
class RidgeHeadConfig(SelectedConfig):
    """Least squares with a linear layer; the penalty is per row and chosen on the validation rows."""

    penalty: list[float] = option(
        factory=lambda: [1e2, 1e1, 1.0, *PENALTIES], help="penalties to choose from, per row of scaled features"
    )

    def check(self) -> Iterator[tuple[str, str]]:
        yield from _above_zero(self, "penalty")


@dataclass
class LogisticHeadConfig(SelectedConfig):
    """Multinomial logistic regression with an L2 penalty."""

    c: list[float] = option(
        factory=lambda: [0.001, 0.01, 0.1, 1.0, 10.0], help="inverse strengths of the penalty to choose from"
    )
    maxiter: int = option(300, "iterations of L-BFGS at most")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from _above_zero(self, "c")
        if self.maxiter < 1:
            yield "maxiter", f"must be at least 1, is {self.maxiter}"


@dataclass
class KernelConfig(SelectedConfig):
    """Options of exact kernel methods, which need memory for the square of the rows."""

    sigma: list[float] = option(
        factory=lambda: list(SIGMAS), help="length scales of the Gaussian kernel to choose from, in median distances"
    )
    memory: str | None = runtime(None, "for kernel matrices, as '4GiB'; absent: half of what is free")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from _above_zero(self, "sigma")


@dataclass
class KernelRidgeHeadConfig(KernelConfig):
    """Exact kernel ridge regression on the classes."""

    penalty: list[float] = option(factory=lambda: list(PENALTIES), help="penalties to choose from, per row")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        yield from _above_zero(self, "penalty")


@dataclass
class SvcHeadConfig(KernelConfig):
    """Support vector classifier, one class against another."""

    c: list[float] = option(factory=lambda: [1.0, 10.0, 100.0], help="costs of an error to choose from")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        yield from _above_zero(self, "c")


@dataclass
class ProbeConfig(HeadConfig, OptimizerConfig):
    """A linear layer trained by gradient steps on cross-entropy."""


@dataclass
class FineTuneConfig(ClassifierConfig):
    """What top-tuning is compared with: every layer of the same backbone is trained on, with a new last layer."""

    optimizer: Literal["adamw", "adam", "sgd"] = option("adam", "update rule")
    lr: float = option(1e-4, "learning rate after the warm-up")
    weight_decay: float = option(0.0, "decoupled for adamw, added to the gradient for adam and sgd")
    augment: Literal["none", "flip", "crop", "crop_flip"] = option("crop_flip", "random views of training images")


@dataclass
class BestOfConfig:
    """Which of the fits under `needs` is kept."""

    monitor: str = option("val/accuracy", "validation metric of the candidates; never a test metric")
    mode: Literal["max", "min"] = option("max", "direction of `monitor`")

    def check(self) -> Iterator[tuple[str, str]]:
        if not self.monitor.startswith("val/"):
            yield "monitor", f"'{self.monitor}' is not a validation metric; its name has to start with 'val/'"
