"""Rows of features in blocks, from wherever they lie, and rows that are divided over processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lab.errors import KernelError

Features = np.ndarray[Any, Any] | Tensor


def _nothing(tensor: Tensor) -> None:
    """One process alone: its sums are the sums, its values are those of rank 0."""


@dataclass(frozen=True)
class Ranks:
    """Processes that each hold some of the rows.

    `reduce(tensor)` replaces a tensor by its sum over all ranks; `broadcast(tensor)` by the one of rank 0. Both work
    in place and are called by all ranks in the same order. Rank r's rows come after those of the ranks before it.
    """

    rank: int = 0
    size: int = 1
    reduce: Callable[[Tensor], object] = _nothing
    broadcast: Callable[[Tensor], object] = _nothing

    @classmethod
    def distributed(cls) -> Ranks:
        """All processes of the default group of torch.distributed; this one alone when there is none."""
        dist = torch.distributed
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size(), dist.all_reduce, lambda tensor: dist.broadcast(tensor, 0))

    def offset(self, n: int, device: torch.device) -> tuple[int, int]:
        """How many rows come before this rank's `n` rows, and the rows of all ranks together."""
        counts = torch.zeros(self.size, dtype=torch.int64, device=device)
        counts[self.rank] = n
        self.reduce(counts)
        return int(counts[: self.rank].sum()), int(counts.sum())


class Rows:
    """The rows of a NumPy array, a memmap or a tensor, read block by block and never copied whole.

    Args:
        features: (n, d), any real type. A tensor may lie on any device.
        device: where the blocks are wanted; a tensor that lies elsewhere, or an array, is uploaded block by block.
        ranks: the processes that hold the other rows, if any.
    """

    def __init__(
        self,
        features: Features,
        *,
        device: torch.device | str = "cpu",
        ranks: Ranks | None = None,
    ):
        if features.ndim != 2:
            raise KernelError(f"features must be a table (rows, columns), not of shape {tuple(features.shape)}")
        self.features = features
        self.device = torch.device(device)
        self.n = len(features)
        self.d = int(features.shape[1])
        self.ranks = ranks or Ranks()
        self.first, self.total = self.ranks.offset(self.n, self.device)

    def __len__(self) -> int:
        return self.n

    def fetch(self, numbers: Tensor) -> Tensor:
        """Rows of these numbers (counted over all ranks, 0..total), (k, d) in float64, the same on every rank."""
        found = torch.zeros(len(numbers), self.d, dtype=torch.float64, device=self.device)
        local = numbers.cpu() - self.first
        mine = torch.nonzero((local >= 0) & (local < self.n)).flatten()
        if len(mine):
            chosen = local[mine].numpy()
            if isinstance(self.features, Tensor):
                rows = self.features[torch.as_tensor(chosen, device=self.features.device)]
            else:
                rows = torch.from_numpy(np.asarray(self.features[chosen], dtype=np.float64))
            found[mine.to(self.device)] = rows.to(found)
        self.ranks.reduce(found)
        return found

    def gather(self, values: Tensor) -> Tensor:
        """A value a row (n, ...) of this rank -> those of all rows (total, ...), the same on every rank."""
        everything = torch.zeros(self.total, *values.shape[1:], dtype=values.dtype, device=values.device)
        everything[self.first : self.first + self.n] = values
        self.ranks.reduce(everything)
        return everything

    def blocks(self, size: int, dtype: torch.dtype, shift: Tensor | None = None) -> Iterator[tuple[int, int, Tensor]]:
        """(start, stop, rows - shift) with at most `size` rows, in `dtype` on the device.

        The difference is taken before rounding to `dtype`. A block is good until the next one is asked for.
        """
        spans = [(start, min(start + size, self.n)) for start in range(0, self.n, size)]
        if isinstance(self.features, Tensor) and self.features.device == self.device:
            for start, stop in spans:
                yield start, stop, _less(self.features[start:stop], shift, dtype)
        elif self.device.type == "cuda":
            uploads = _Uploads(min(size, self.n), self.d, dtype, self.device)
            # One block ahead, so that it travels while the one before is computed with.
            ahead = [uploads.send(self.features[slice(*spans[0])], shift)] if spans else []
            for number, (start, stop) in enumerate(spans):
                if number + 1 < len(spans):
                    ahead.append(uploads.send(self.features[slice(*spans[number + 1])], shift))
                yield start, stop, uploads.arrived(*ahead.pop(0))
        else:
            buffer = torch.empty(min(size, self.n), self.d, dtype=dtype)
            for start, stop in spans:
                rows = buffer[: stop - start]
                _fill(rows, self.features[start:stop], shift)
                yield start, stop, rows


def _less(rows: Any, shift: Tensor | None, dtype: torch.dtype) -> Tensor:
    if shift is not None:
        rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
        rows = rows - shift.to(rows)
    return rows.to(dtype)  # type: ignore[no-any-return]


def _fill(out: Tensor, rows: Features, shift: Tensor | None) -> None:
    """`out` (host) becomes rows - shift, the difference taken in the precision of the rows, in float32 at least."""
    if isinstance(rows, Tensor):
        out.copy_(_less(rows, shift, out.dtype))
    elif shift is None:
        np.copyto(out.numpy(), rows, casting="unsafe")
    else:
        move = shift.cpu().numpy().astype(np.result_type(rows.dtype, np.float32))
        np.subtract(rows, move, out=out.numpy(), casting="unsafe")


class _Uploads:
    """Two pinned host buffers and two on the GPU that take turns, and a stream for what travels between them."""

    def __init__(self, size: int, d: int, dtype: torch.dtype, device: torch.device):
        self.host = [torch.empty(size, d, dtype=dtype, pin_memory=True) for _ in range(2)]
        self.there = [torch.empty(size, d, dtype=dtype, device=device) for _ in range(2)]
        self.sent = [torch.cuda.Event() for _ in range(2)]  # type: ignore[no-untyped-call]
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.turn = 0

    def send(self, rows: Features, shift: Tensor | None) -> tuple[Tensor, torch.cuda.Event]:
        turn, self.turn = self.turn, 1 - self.turn
        self.sent[turn].synchronize()  # the pinned buffer's last journey is over before it is filled again
        host, there = self.host[turn][: len(rows)], self.there[turn][: len(rows)]
        _fill(host, rows, shift)
        # The block that was here before has been computed with: those computations are queued on the current stream.
        self.stream.wait_stream(torch.cuda.current_stream(there.device))
        with torch.cuda.stream(self.stream):
            there.copy_(host, non_blocking=True)
            self.sent[turn].record(self.stream)
        return there, self.sent[turn]

    def arrived(self, rows: Tensor, sent: torch.cuda.Event) -> Tensor:
        torch.cuda.current_stream(rows.device).wait_event(sent)
        return rows
