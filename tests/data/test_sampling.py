from __future__ import annotations

import itertools

import pytest
import torch

from lab.data.sampling import EvalRows, TrainRows
from lab.errors import UserError

SIZES = [(1, 1), (7, 3), (12, 4), (50, 8), (50, 24), (30, 64), (100, 32)]
DIVISIONS = [(1, 1), (2, 1), (1, 2), (2, 2), (3, 1), (4, 3)]


def batches(size: int, batch_size: int, world: int, accumulate: int, **more) -> list[list[int]]:
    """Global batches: the micro-batches of all ranks, put back to where `local_rows` says they belong."""
    ranks = [
        TrainRows(size, batch_size, rank=rank, world=world, accumulate=accumulate, seed=3, **more)
        for rank in range(world)
    ]
    found = [[-1] * ranks[0].rows for _ in range(len(ranks[0]) // accumulate)]
    for rank in ranks:
        for micro, rows in enumerate(rank):
            assert len(rows) == rank.local
            found[micro // accumulate][rank.local_rows(micro)] = rows
    return found


@pytest.mark.parametrize(("size", "batch_size"), SIZES)
@pytest.mark.parametrize(("world", "accumulate"), DIVISIONS)
def test_devices_and_accumulation_divide_the_same_batches(size, batch_size, world, accumulate) -> None:
    parts = world * accumulate
    if min(size, batch_size) < parts:
        with pytest.raises(UserError, match=rf"{size} training rows can't be divided over {parts} parts"):
            TrainRows(size, batch_size, world=world, accumulate=accumulate)
        return
    divided = batches(size, batch_size, world, accumulate)
    rows = min(size, batch_size) // parts * parts
    assert divided == batches(size, rows, 1, 1)
    assert len(divided) == size // rows
    flat = list(itertools.chain(*divided))
    assert len(flat) == len(set(flat)) == size // rows * rows
    assert set(flat) <= set(range(size))


def test_the_order_is_a_permutation_of_seed_and_epoch() -> None:
    sampler = TrainRows(20, 5, seed=1)
    orders = [sampler.order(epoch).tolist() for epoch in range(3)] + [TrainRows(20, 5, seed=2).order(0).tolist()]
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    assert TrainRows(20, 4, rank=1, world=2, seed=1).order(2).tolist() == orders[2]


def test_epochs() -> None:
    sampler = TrainRows(8, 4, seed=1)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert list(itertools.chain(*sampler)) == sampler.order(1).tolist()


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_resumed_epoch_goes_on_where_it_stopped(accumulate) -> None:
    sampler = TrainRows(50, 8, rank=1, world=2, accumulate=accumulate, seed=1)
    whole = list(sampler)
    for skip in range(len(sampler)):
        sampler.skip = skip
        assert list(sampler) == whole[skip:]
        assert list(sampler) == whole  # the next epoch is complete again


def test_weights() -> None:
    weights = torch.tensor([0.0, 1.0, 3.0, 0.0])
    drawn = TrainRows(4, 2, weights=weights, seed=5)
    rows = torch.cat([drawn.order(epoch) for epoch in range(2000)])
    share = torch.bincount(rows, minlength=4) / len(rows)
    assert share.tolist() == pytest.approx([0, 0.25, 0.75, 0], abs=0.02)
    assert batches(4, 4, 2, 2, weights=weights) == batches(4, 4, 1, 1, weights=weights)


@pytest.mark.parametrize(("size", "batch_size"), [(0, 4), (1, 4), (7, 3), (8, 4), (50, 4), (50, 64), (28, 4)])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_evaluation_reads_every_row_once(size, batch_size, world) -> None:
    ranks = [EvalRows(size, batch_size, rank=rank, world=world) for rank in range(world)]
    dealt = [list(rank) for rank in ranks]
    assert [len(rank) for rank in ranks] == [len(rows) for rows in dealt]
    assert sorted(itertools.chain(*itertools.chain(*dealt))) == list(range(size))
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
    for rows in itertools.chain(*dealt):
        assert rows == list(range(rows[0], rows[0] + len(rows)))
        assert rows[0] % batch_size == 0


def test_batches_that_are_done_are_left_out() -> None:
    done = frozenset({0, 2, 9})
    left = [list(EvalRows(50, 4, rank=rank, world=2, done=done)) for rank in range(2)]
    assert {rows[0] // 4 for rows in itertools.chain(*left)} == set(range(13)) - done
    assert abs(len(left[0]) - len(left[1])) <= 1  # the rest is dealt anew
    assert list(EvalRows(8, 4, done=frozenset({0, 1}))) == []
