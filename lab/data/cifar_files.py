"""CIFAR-10 and CIFAR-100 as their authors publish them: pickled batches for Python.

Only arrays and words are read from them, never code.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lab.errors import DataError

TRAIN_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_BATCH = "test_batch"
FILES = (*TRAIN_BATCHES, TEST_BATCH)
PARTS100 = ("train", "test")
META100 = "meta"
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


def read_cifar100(root: Path) -> tuple[tuple[str, ...], Pictures, Pictures]:
    """Names of the fine classes, training and test images. Raises DataError naming a file that is absent or damaged."""
    path = root / META100
    try:
        names = tuple(name.decode() for name in _load(path)[b"fine_label_names"])
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}") from error
    except Exception as error:  # a damaged pickle may raise anything
        raise DataError(f"{path} has no names of the classes of CIFAR-100 ({error}); get it again") from error
    train, test = (_read(root / part, b"fine_labels", len(names)) for part in PARTS100)
    return names, train, test


def _load(path: Path) -> Any:
    with path.open("rb") as file:
        return _ArraysOnly(file, encoding="bytes").load()


def _read(path: Path, key: bytes = b"labels", classes: int = len(CLASSES)) -> Pictures:
    try:
        batch = _load(path)
        data, labels = np.asarray(batch[b"data"]), np.asarray(batch[key], dtype=np.int64)
        if data.dtype != np.uint8 or data.shape != (len(labels), 3072):
            raise ValueError(f"data is {data.dtype} {data.shape}, of {len(labels)} labels")
        if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
            raise ValueError(f"labels are {labels.min()}..{labels.max()}")
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}") from error
    except Exception as error:  # a damaged pickle may raise anything
        raise DataError(f"{path} is no batch of CIFAR-{classes}, or damaged ({error}); get it again") from error
    return Pictures(data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels)


def write_batches(root: Path, train: Pictures, test: Pictures) -> None:
    """The files that `read_batches` reads."""
    root.mkdir(parents=True, exist_ok=True)
    parts = [np.array_split(values, len(TRAIN_BATCHES)) for values in train]
    for name, part in zip(FILES, [*(Pictures(*p) for p in zip(*parts, strict=True)), test], strict=True):
        _write(root / name, part, b"labels")


def write_cifar100(root: Path, names: Sequence[str], train: Pictures, test: Pictures) -> None:
    """The files that `read_cifar100` reads."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / META100).open("wb") as file:
        pickle.dump({b"fine_label_names": [name.encode() for name in names]}, file, protocol=4)
    for name, part in zip(PARTS100, (train, test), strict=True):
        _write(root / name, part, b"fine_labels")


def _write(path: Path, part: Pictures, key: bytes) -> None:
    rows = part.images.transpose(0, 3, 1, 2).reshape(len(part.labels), -1)
    with path.open("wb") as file:
        pickle.dump({b"data": np.ascontiguousarray(rows), key: part.labels.tolist()}, file, protocol=4)
