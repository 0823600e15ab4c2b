"""Top-tuning itself: Falkon on the features of a frozen backbone."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from lab.kernels import Falkon, Kernel, Ranks, median_distance, solve_path
from lab.papers.top_tuning.config import FalkonHeadConfig
from lab.papers.top_tuning.expansion import KernelExpansion
from lab.papers.top_tuning.head import Labelled, Settings
from lab.papers.top_tuning.scores import sample, scaled
from lab.stages.seeds import derive


class FalkonHead(KernelExpansion):
    """Nyström kernel least squares. `alpha` (M, C) and `intercept` (C,) beside the centres.

    A kernel of the distance doesn't change when all rows are moved, so scaling is a matter of sigma: rows are read from
    the feature file as they are, block by block, and only `scaling: l2` and `refit` need them in memory. Under DDP each
    process has its share of the rows, and all of them the same solution.
    """

    config: FalkonHeadConfig
    alpha: Tensor
    intercept: Tensor
    divided = True

    def kernel(self) -> Kernel:
        return Kernel(self.config.kernel)

    def rows(self, features: Tensor) -> Tensor:
        """Features as the solver takes them."""
        return scaled(features, self.centre, self.scale, "l2") if self.config.scaling == "l2" else features

    def located(self, features: Tensor) -> Tensor:
        return self.rows(features).double()

    def scores(self, features: Tensor) -> Tensor:
        blocks = self.values(features, self.centres, self.sigma)
        return torch.cat([values @ self.alpha + self.intercept for values in blocks])

    def candidates(self, train: Labelled, val: Labelled) -> Iterator[tuple[Settings, Tensor]]:
        share, penalties = self.share(train), sorted(self.config.penalty, reverse=True)
        for M in self.counts(len(train)):
            for sigma in self.length_scales(train):
                models = solve_path(
                    self.solver(sigma, M), share.features, share.label, penalties, ranks=Ranks.distributed()
                )
                found = [self.state_of(model) for model in models]
                alpha = torch.cat([state["alpha"] for state in found], 1)
                # The kernel values are the same for all penalties.
                blocks = self.values(val.features, found[0]["centres"], found[0]["sigma"])
                scores = torch.split(torch.cat([values @ alpha for values in blocks]), self.facts.num_classes, 1)
                for penalty, state, part in zip(penalties, found, scores, strict=True):
                    settings = {"sigma": sigma, "penalty": penalty, "M": float(len(state["centres"]))}
                    yield settings, (part + state["intercept"]).cpu()

    def solve(self, rows: Labelled, settings: Settings) -> dict[str, Tensor]:
        share = self.share(rows)
        model = self.solver(settings["sigma"], round(settings["M"]), settings["penalty"])
        return self.state_of(model.fit(share.features, share.label, ranks=Ranks.distributed()))

    def state_of(self, model: Falkon) -> dict[str, Tensor]:
        """What a fitted solver found, with a column for each class."""
        found = {"centres": model.centres_, "sigma": model.sigma_, "alpha": model.alpha_, "intercept": model.intercept_}
        state = {name: torch.from_numpy(value).to(self.device) for name, value in found.items()}
        state["centres"] = state["centres"].float()  # exact: features have no more digits
        if self.facts.num_classes == 2:  # one column, positive for the second class
            state["alpha"] = torch.cat([-state["alpha"], state["alpha"]], 1)
            state["intercept"] = torch.cat([-state["intercept"], state["intercept"]])
        return state

    def solver(self, sigma: float, M: int, penalty: float = 1.0) -> Falkon:
        """sigma: at the scale of the training rows."""
        config = self.config
        return Falkon(
            config.kernel,
            (sigma * self.scale.double()).numpy(),
            penalty,
            M,
            centres=config.centres,
            solver=config.solver,
            maxiter=config.maxiter,
            task="classification",
            class_weight="balanced" if config.class_weights else None,
            memory=config.memory,
            device=str(self.device),
            seed=derive(self.seed, "centres") % 2**32,
        )

    def share(self, rows: Labelled) -> Labelled:
        """The rows of this process."""
        size, rank = self.trainer.world_size, self.trainer.global_rank
        part = slice(len(rows) * rank // size, len(rows) * (rank + 1) // size)
        return Labelled(self.rows(rows.features[part]), rows.label[part])

    def counts(self, n: int) -> list[int]:
        """Numbers of centres to choose from, the smallest first."""
        return sorted({min(n, M) for M in self.config.M or [max(1000, round(10 * math.sqrt(n)))]})

    def length_scales(self, train: Labelled) -> list[float]:
        """Sigmas to choose from, at the scale of the training rows; the largest, which is the smoothest, first."""
        unit = median_distance(self.prepared(sample(train.features, derive(self.seed, "sigma"))))
        return [factor * unit for factor in sorted(self.config.sigma, reverse=True)]
