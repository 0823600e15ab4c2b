"""Sets that are published as arrays: CIFAR, STL-10, SVHN, and MNIST with those of its form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from lab.data import cifar_files, mnist_files
from lab.data.cifar_files import Pictures
from lab.data.class_images import Drawn
from lab.data.public.layouts import write_lines
from lab.data.public.mat import read_mat, write_mat
from lab.errors import DataError


@dataclass(frozen=True)
class Arrays:
    """What is in a copy: class names, and images uint8 (n, side, side, 3) with labels."""

    class_names: tuple[str, ...]
    train: Pictures
    test: Pictures


@dataclass(frozen=True)
class ArrayLayout:
    """One published form of a set of arrays.

    side: of the stored images, in pixels.
    files: those that are read in a folder, relative to it; None where the set is not there.
    read: from a copy's folder. Raises DataError.
    write: a stand-in, from its folder, class names, training and test images.
    """

    side: int
    files: Callable[[Path], list[str] | None]
    read: Callable[[Path], Arrays]
    write: Callable[[Path, Sequence[str], Pictures, Pictures], None]


def stacked(images: Sequence[Drawn], side: int) -> Pictures:
    """Images of a stand-in as an array."""
    small = [np.asarray(drawn.image.resize((side, side), Image.Resampling.BICUBIC)) for drawn in images]
    return Pictures(np.stack(small), np.array([drawn.label for drawn in images], dtype=np.int64))


def _all_of(*names: str) -> Callable[[Path], list[str] | None]:
    return lambda root: list(names) if (root / names[0]).is_file() else None


def _read_cifar10(root: Path) -> Arrays:
    parts = (cifar_files.TRAIN_BATCHES, (cifar_files.TEST_BATCH,))
    return Arrays(cifar_files.CLASSES, *(cifar_files.read_batches(root, names) for names in parts))


def _write_cifar10(root: Path, classes: Sequence[str], train: Pictures, test: Pictures) -> None:
    cifar_files.write_batches(root, train, test)


CIFAR10 = ArrayLayout(32, _all_of(cifar_files.TEST_BATCH, *cifar_files.TRAIN_BATCHES), _read_cifar10, _write_cifar10)
CIFAR100 = ArrayLayout(
    32,
    _all_of(cifar_files.META100, *cifar_files.PARTS100),
    lambda root: Arrays(*cifar_files.read_cifar100(root)),
    cifar_files.write_cifar100,
)

STL_CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")


def _read_stl10(root: Path) -> Arrays:
    """Pixels are stored by columns, a channel after the other; labels are 1 to 10."""
    return Arrays(STL_CLASSES, *(_read_stl10_part(root, part) for part in ("train", "test")))


def _read_stl10_part(root: Path, part: str) -> Pictures:
    pixels, labels = (_bytes(root / f"{part}_{kind}.bin") for kind in "Xy")
    if len(pixels) != len(labels) * 3 * 96 * 96:
        raise DataError(
            f"{root / f'{part}_X.bin'} holds {len(pixels):,} bytes, not the {len(labels) * 3 * 96 * 96:,} of "
            f"{len(labels):,} labels: it is cut short; get it again"
        )
    images = pixels.reshape(-1, 3, 96, 96).transpose(0, 3, 2, 1)
    return Pictures(images, _numbers(labels, 1, 10, root / f"{part}_y.bin") - 1)


def _write_stl10(root: Path, classes: Sequence[str], train: Pictures, test: Pictures) -> None:
    root.mkdir(parents=True, exist_ok=True)
    write_lines(root / "class_names.txt", classes)
    for part, pictures in (("train", train), ("test", test)):
        np.ascontiguousarray(pictures.images.transpose(0, 3, 2, 1)).tofile(root / f"{part}_X.bin")
        (pictures.labels + 1).astype(np.uint8).tofile(root / f"{part}_y.bin")


STL10 = ArrayLayout(96, _all_of("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin"), _read_stl10, _write_stl10)


def _read_svhn(root: Path) -> Arrays:
    """The digit 0 is stored as class 10."""
    return Arrays(tuple("0123456789"), *(_read_svhn_part(root / f"{part}_32x32.mat") for part in ("train", "test")))


def _read_svhn_part(path: Path) -> Pictures:
    pixels, labels = read_mat(path, "X", "y")
    if pixels.dtype != np.uint8 or pixels.shape != (32, 32, 3, len(labels)):
        raise DataError(
            f"{path}: X is {pixels.dtype} {pixels.shape}, not uint8 (32, 32, 3, {len(labels)}); get it again"
        )
    return Pictures(pixels.transpose(3, 0, 1, 2), _numbers(labels, 1, 10, path) % 10)


def _write_svhn(root: Path, classes: Sequence[str], train: Pictures, test: Pictures) -> None:
    for part, pictures in (("train", train), ("test", test)):
        labels = np.where(pictures.labels == 0, 10, pictures.labels).astype(np.uint8)[:, None]
        write_mat(root / f"{part}_32x32.mat", {"X": pictures.images.transpose(1, 2, 3, 0), "y": labels})


SVHN = ArrayLayout(32, _all_of("train_32x32.mat", "test_32x32.mat"), _read_svhn, _write_svhn)


def mnist_like(variant: str, class_names: tuple[str, ...]) -> ArrayLayout:
    """MNIST, Fashion-MNIST or KMNIST, as npz or idx files."""

    def files(root: Path) -> list[str] | None:
        found = mnist_files.find(variant, root)
        return [path.name for path in found] if found else None

    return ArrayLayout(28, files, partial(_read_mnist, variant, class_names), _write_mnist)


def _read_mnist(variant: str, class_names: tuple[str, ...], root: Path) -> Arrays:
    found = mnist_files.find(variant, root)
    if found is None:
        raise DataError(f"{root} has no files of {variant}")
    parts = mnist_files.read(variant, found)
    pictures = {name: Pictures(np.repeat(p.images[..., None], 3, axis=3), p.labels) for name, p in parts.items()}
    return Arrays(class_names, pictures["train"], pictures["test"])


def _write_mnist(root: Path, classes: Sequence[str], train: Pictures, test: Pictures) -> None:
    for part, pictures in (("train", train), ("t10k", test)):
        mnist_files.write_idx(root / f"{part}-images-idx3-ubyte", pictures.images.mean(axis=3).round())
        mnist_files.write_idx(root / f"{part}-labels-idx1-ubyte", pictures.labels)


def _bytes(path: Path) -> np.ndarray:
    try:
        return np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}") from error


def _numbers(labels: np.ndarray, first: int, last: int, path: Path) -> np.ndarray:
    """Labels as int64, checked."""
    if len(labels) and not first <= labels.min() <= labels.max() <= last:
        raise DataError(f"{path}: labels are {labels.min()}..{labels.max()}, not {first}..{last}; get it again")
    return labels.astype(np.int64)
