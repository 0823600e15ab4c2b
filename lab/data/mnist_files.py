"""MNIST and its drop-in replacements, read from any of the forms in which they are handed around. NumPy only."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lab.errors import DataError

VARIANTS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}
"""Name of a variant -> its folder in torchvision's layout (`MNIST/raw`)."""

PARTS = {"train": ("train-images", "train-labels"), "test": ("t10k-images", "t10k-labels")}
FIRST_LABELS = {"mnist": (5, 0, 4, 1, 9, 2, 1, 3, 1, 4), "fashion_mnist": (9, 0, 0, 3, 0, 2, 7, 2, 5, 5)}
"""The first training labels: the idx files of all variants have the same names, and must not be mistaken."""


@dataclass(frozen=True)
class Digits:
    """images: uint8 (n, 28, 28), 0 is background. labels: int64 (n,) in 0..9."""

    images: np.ndarray
    labels: np.ndarray


def folders(variant: str, bases: tuple[Path, ...]) -> tuple[Path, ...]:
    """Folders in which a variant may lie, in the order in which they are tried."""
    return tuple(folder for base in bases for folder in (base / variant, base / VARIANTS[variant] / "raw", base))


def find(variant: str, folder: Path) -> tuple[Path, ...] | None:
    """The files of a variant in a folder (1 npz, 4 npz or 4 idx files), or None."""
    for name in (f"{variant}.npz", f"{variant.replace('_', '-')}.npz"):
        if (folder / name).is_file():
            return (folder / name,)
    if variant == "kmnist":
        four = tuple(folder / f"kmnist-{part}-{kind}.npz" for part in ("train", "test") for kind in ("imgs", "labels"))
        if all(path.is_file() for path in four):
            return four
    idx = [_idx_file(folder, stem) for stems in PARTS.values() for stem in stems]
    return tuple(path for path in idx if path) if all(idx) else None


def _idx_file(folder: Path, stem: str) -> Path | None:
    kind = "idx3" if stem.endswith("images") else "idx1"
    names = [f"{stem}{joint}{kind}-ubyte{end}" for joint in "-." for end in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def read(variant: str, files: tuple[Path, ...]) -> dict[str, Digits]:
    """`train` and `test` from the files that `find` returned.

    Raises:
        DataError: naming a file that is damaged, incomplete, or another variant's.
    """
    arrays = list(_arrays(files))
    where = files[0] if len(files) == 1 else files[0].parent
    found = {part: Digits(arrays[2 * i], arrays[2 * i + 1].astype(np.int64)) for i, part in enumerate(PARTS)}
    for part, digits in found.items():
        n = len(digits.labels)
        if digits.images.shape != (n, 28, 28) or digits.images.dtype != np.uint8 or digits.labels.ndim != 1:
            raise DataError(
                f"{where}: {part} images are {digits.images.dtype} {digits.images.shape} with {n} labels; "
                f"expected uint8 ({n}, 28, 28)"
            )
        if n == 0 or digits.labels.min() < 0 or digits.labels.max() > 9:
            raise DataError(f"{where}: {part} labels have to be 0 to 9, and not none")
    first = tuple(found["train"].labels[:10].tolist())
    for other, labels in FIRST_LABELS.items():
        if first == labels and other != variant:
            raise DataError(f"{where} holds {VARIANTS[other]}, not {VARIANTS[variant]}; say variant={other}")
    return found


def _arrays(files: tuple[Path, ...]) -> Iterator[np.ndarray]:
    """Training images, training labels, test images, test labels."""
    for path in files:
        if path.suffix != ".npz":
            yield read_idx(path)
        elif len(files) == 1:
            yield from read_npz(path, ("x_train", "y_train", "x_test", "y_test"))
        else:
            yield from read_npz(path, ("arr_0",))


def read_npz(path: Path, keys: tuple[str, ...]) -> list[np.ndarray]:
    """Arrays of an npz file. Raises DataError when it is damaged or lacks one."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in keys if key not in archive]
            if missing:
                raise DataError(f"{path} has no array {', '.join(missing)}; it has: {', '.join(archive)}")
            return [archive[key] for key in keys]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}); get it again") from error


def read_idx(path: Path) -> np.ndarray:
    """An idx file of unsigned bytes, plain or gzip. Raises DataError when it is damaged, naming what is wrong."""
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}); get it again") from error
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise DataError(f"{path} is not an idx file of unsigned bytes (it starts with {content[:4].hex(' ')})")
    start = 4 + 4 * content[3]
    shape = tuple(np.frombuffer(content[4:start], dtype=">u4").tolist())
    if len(shape) != content[3] or len(content) - start != np.prod(shape, dtype=np.int64):
        raise DataError(f"{path} is cut short: {len(content):,} bytes do not hold an array of shape {shape}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def write_idx(path: Path, array: np.ndarray) -> None:
    """An idx file (gzip when the name ends in .gz) of a uint8 array."""
    header = b"\0\0\x08" + bytes([array.ndim]) + np.asarray(array.shape, dtype=">u4").tobytes()
    content = header + array.astype(np.uint8).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
