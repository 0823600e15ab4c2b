"""Which rows go into which batch, as a pure function of (seed, epoch): what resuming and many devices rely on."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Sampler

from lab.errors import UserError
from lab.stages.seeds import derive


class TrainRows(Sampler[list[int]]):
    """Row lists of one device for training.

    An epoch is a random order of all rows (or as many weighted draws with replacement), cut into global batches of
    `batch_size` rows; the last short one is left out. Micro-batch k of rank r is the k * world + r-th part of its
    global batch, so that the union over devices and accumulation is the same for every division.

    Args:
        size: rows of the split.
        batch_size: rows of a global batch; a multiple of `world * accumulate`. When larger than `size`, it shrinks to
            the largest multiple that fits.
        weights: relative probability (size,) of each row, or None.

    Raises:
        UserError: fewer rows than `world * accumulate`.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        *,
        rank: int = 0,
        world: int = 1,
        accumulate: int = 1,
        seed: int = 0,
        weights: Tensor | None = None,
    ):
        parts = world * accumulate
        self.rows = min(batch_size, size) // parts * parts
        if self.rows == 0:
            raise UserError(f"{size} training rows can't be divided over {parts} parts (devices x accumulate)")
        self.size, self.rank, self.world, self.accumulate = size, rank, world, accumulate
        self.seed, self.weights = seed, weights
        self.local = self.rows // parts
        self.epoch = 0
        self.skip = 0
        """Micro-batches of the coming epoch that are already done (a resumed run); holds for that epoch alone."""

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size // self.rows * self.accumulate

    def order(self, epoch: int) -> Tensor:
        """Rows (size,) in the order of an epoch, the same on every rank."""
        generator = torch.Generator().manual_seed(derive(self.seed, "order", epoch))
        if self.weights is not None:
            return torch.multinomial(self.weights.double(), self.size, replacement=True, generator=generator)
        return torch.randperm(self.size, generator=generator)

    def local_rows(self, micro: int) -> slice:
        """Positions of this rank's micro-batch within its global batch."""
        start = (micro % self.accumulate * self.world + self.rank) * self.local
        return slice(start, start + self.local)

    def __iter__(self) -> Iterator[list[int]]:
        order = self.order(self.epoch)
        first, self.skip = self.skip, 0
        for micro in range(first, len(self)):
            batch = order[micro // self.accumulate * self.rows :][: self.rows]
            yield batch[self.local_rows(micro)].tolist()


class EvalRows(Sampler[list[int]]):
    """Row lists of one device for validate, test and predict: whole batches dealt to the ranks in turn.

    Every row comes exactly once, without padding. `done` holds batch numbers that need not be computed again.
    """

    def __init__(
        self, size: int, batch_size: int, *, rank: int = 0, world: int = 1, done: frozenset[int] = frozenset()
    ):
        batches = [b for b in range(-(-size // batch_size)) if b not in done]
        self.batches = batches[rank::world]
        self.size, self.batch_size = size, batch_size

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            yield list(range(batch * self.batch_size, min((batch + 1) * self.batch_size, self.size)))
