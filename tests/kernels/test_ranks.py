"""Rows divided over processes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from lab.errors import KernelError
from lab.kernels import Falkon, Ranks
from lab.kernels.rows import Rows

CASES = {
    "cg": {"solver": "cg"},
    "gram": {"solver": "gram", "class_weight": "balanced"},
    "float32": {"solver": "cg", "precision": "float32", "maxiter": 15, "tolerance": 0.0},
    "stratified": {"solver": "gram", "centres": "stratified"},
    "kmeans++": {"solver": "gram", "centres": "kmeans++"},
    "leverage": {"solver": "gram", "centres": "leverage", "sigma": 3.0},
    "real": {"solver": "gram", "task": "regression"},
}


def problem():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 6))
    y = np.digitize(X[:, 0] + X[:, 1] ** 2, [0, 1, 2])
    return X, y, rng.uniform(0.5, 2, 400)


def fit(name, rows, ranks=None):
    X, y, weights = (part[rows] for part in problem())
    y = y.astype(float) if name == "real" else y
    model = Falkon(**{"M": 80, "penalty": 1e-4, "memory": "1GiB", "tolerance": 1e-10, "maxiter": 60, **CASES[name]})
    return model.fit(X, y, weights, ranks=ranks)


def work(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    rows = slice(0, 150) if rank == 0 else slice(150, 400)  # unequal shares
    models = {name: fit(name, rows, Ranks.distributed()) for name in CASES}
    np.savez(f"{folder}/{rank}.npz", **{name: np.r_[m.alpha_, m.intercept_[None]] for name, m in models.items()})
    dist.destroy_process_group()


def test_two_processes_find_what_one_finds(tmp_path):
    torch.set_num_threads(1)
    mp.spawn(work, args=(str(tmp_path),), nprocs=2)
    first, second = (np.load(tmp_path / f"{rank}.npz") for rank in range(2))
    for name in CASES:
        alone = fit(name, slice(None))
        expected = np.r_[alone.alpha_, alone.intercept_[None]]
        assert np.array_equal(first[name], second[name])
        difference = np.linalg.norm(first[name] - expected) / np.linalg.norm(expected)
        assert difference < (1e-3 if name == "float32" else 1e-5), name


def test_one_process_alone_is_a_world_of_one():
    ranks = Ranks.distributed()
    assert (ranks.rank, ranks.size) == (0, 1)
    tensor = torch.ones(3)
    ranks.reduce(tensor)
    ranks.broadcast(tensor)
    assert tensor.tolist() == [1, 1, 1]


def test_labels_of_other_processes_can_not_be_words():
    both = Ranks(0, 2, reduce=lambda tensor: None)
    with pytest.raises(KernelError, match="whole numbers"):
        Falkon(M=2).fit(np.eye(4), np.array(["a", "b", "a", "b"]), ranks=both)


@pytest.mark.parametrize("source", ["array", "tensor", "integers", "half"])
def test_blocks_are_the_rows_in_order_less_the_shift(source):
    X = np.arange(60).reshape(20, 3) % 17
    given = {
        "array": X.astype(np.float64),
        "tensor": torch.tensor(X),
        "integers": X.astype(np.uint8),
        "half": torch.tensor(X).to(torch.bfloat16),
    }[source]
    shift = torch.tensor([1.0, 2.0, 3.5], dtype=torch.float64)
    for size in (1, 6, 20, 100):
        blocks = [(start, stop, block.clone()) for start, stop, block in Rows(given).blocks(size, torch.float32, shift)]
        assert [start for start, _, _ in blocks] == list(range(0, 20, size))
        assert all(stop - start == len(block) for start, stop, block in blocks)
        np.testing.assert_array_equal(torch.cat([block for _, _, block in blocks]), (X - shift.numpy()))


def test_a_difference_is_taken_in_the_precision_of_the_data():
    rows = Rows(np.array([[1e9 + 1.25]]))
    _, _, block = next(rows.blocks(1, torch.float32, torch.tensor([1e9], dtype=torch.float64)))
    assert block.item() == 1.25
