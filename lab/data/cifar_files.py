"""CIFAR-10 as its authors publish it: pickled batches for Python. Only arrays are read from them, never code."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lab.errors import DataError

TRAIN_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_BATCH = "test_batch"
FILES = (*TRAIN_BATCHES, TEST_BATCH)
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Pictures(NamedTuple):
    """images: uint8 (n, 32, 32, 3); labels: int64 (n,)."""

    images: np.ndarray
    labels: np.ndarray


class _ArraysOnly(pickle.Unpickler):
    """A pickle may call anything; these files need NumPy's way of building an array and nothing else."""

    ALLOWED = ("_reconstruct", "ndarray", "dtype")

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "numpy" and name in self.ALLOWED:
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def read_batches(root: Path, names: tuple[str, ...]) -> Pictures:
    """Images and labels of some of `FILES`, in order. Raises DataError naming a file that is absent or damaged."""
    parts = [_read(root / name) for name in names]
    return Pictures(np.concatenate([p.images for p in parts]), np.concatenate([p.labels for p in parts]))


def _read(path: Path) -> Pictures:
    try:
        with path.open("rb") as file:
            batch = _ArraysOnly(file, encoding="bytes").load()
        data, labels = np.asarray(batch[b"data"]), np.asarray(batch[b"labels"], dtype=np.int64)
        if data.dtype != np.uint8 or data.shape != (len(labels), 3072):
            raise ValueError(f"data is {data.dtype} {data.shape}")
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(CLASSES):
            raise ValueError(f"labels are {labels.min()}..{labels.max()}")
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}") from error
    except Exception as error:  # a damaged pickle may raise anything
        raise DataError(f"{path} is no batch of CIFAR-10, or damaged ({error}); get it again") from error
    return Pictures(data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels)


def write_batches(root: Path, train: Pictures, test: Pictures) -> None:
    """The files that `read_batches` reads."""
    root.mkdir(parents=True, exist_ok=True)
    parts = [np.array_split(values, len(TRAIN_BATCHES)) for values in train]
    for name, part in zip(FILES, [*(Pictures(*p) for p in zip(*parts, strict=True)), test], strict=True):
        rows = part.images.transpose(0, 3, 1, 2).reshape(len(part.labels), -1)
        with (root / name).open("wb") as file:
            pickle.dump({b"data": np.ascontiguousarray(rows), b"labels": part.labels.tolist()}, file, protocol=4)
