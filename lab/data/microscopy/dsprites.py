"""The sprites of dSprites: the published file, read into a small memory map, and a stand-in that draws such sprites.

The file holds 737,280 images of 64 x 64, which are 3 GB unpacked. They are binary, so they are kept as bits (0.4 GB),
and never all in memory.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from filelock import FileLock

from lab.data.files import digest, fingerprint_files, replacing
from lab.errors import DataError

FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
SIDE = 64
GRID = (3, 6, 40, 32, 32)
"""Values of shape, scale, orientation, x and y in the published file."""
SCALES = np.linspace(0.5, 1, GRID[1])
ANGLES = np.linspace(0, 2 * np.pi, GRID[2])
"""As published: the last angle is the first again."""
BLOCK = 4096


class Sprites:
    """The masks of one file.

    Attributes:
        grid: number of values of shape, scale, orientation, x and y.
        content: hash of the file.

    Raises:
        DataError: the file is damaged, or not a full grid of binary 64 x 64 images.
    """

    def __init__(self, path: Path, cache: Path):
        self.path = path
        index = cache / f"hashes-{digest(str(path.parent.absolute()))}.json"
        self.content = fingerprint_files([path.name], path.parent, index)
        self.grid = _grid(path)
        self._packed = _packed(path, int(np.prod(self.grid)), cache / f"dsprites-{self.content}.npy")

    def __getitem__(self, values: np.ndarray) -> np.ndarray:
        """Masks bool (n, 64, 64) for values int (n, 5), in the order of `grid`."""
        rows = np.ravel_multi_index(tuple(values.T), self.grid)
        return np.unpackbits(self._packed[rows], axis=1).view(bool).reshape(-1, SIDE, SIDE)


def _grid(path: Path) -> tuple[int, ...]:
    try:
        with np.load(path) as file:  # without pickles: the published metadata are one, and are not read
            values = file["latents_classes"][:, -len(GRID) :]
    except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} can't be read as dSprites ({error}); get it again") from error
    sizes = tuple(int(size) for size in values.max(axis=0) + 1)
    full = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1)
    if values.shape != full.shape or (values != full).any():
        raise DataError(f"{path}: latents_classes is not a full grid in order; get the published file")
    return sizes


def _packed(path: Path, count: int, target: Path) -> np.ndarray:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f"{target.name}.lock")):
            if not target.exists():
                with replacing(target) as file:
                    header = {"descr": "|u1", "fortran_order": False, "shape": (count, SIDE * SIDE // 8)}
                    np.lib.format.write_array_header_1_0(file, header)
                    for block in _blocks(path, count):
                        file.write(np.packbits(block, axis=1).tobytes())
    return np.load(target, mmap_mode="r")  # type: ignore[no-any-return]


def _blocks(path: Path, count: int) -> Iterator[np.ndarray]:
    """The images as 0 and 1, uint8 (b, 4096), read from the archive as a stream."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("imgs.npy") as file:
            shape, order, kind = _header(file)
            if shape != (count, SIDE, SIDE) or order or kind != np.uint8:
                raise DataError(f"{path}: imgs is {kind} {shape}, not uint8 {(count, SIDE, SIDE)}; get it again")
            for start in range(0, count, BLOCK):
                size = min(BLOCK, count - start) * SIDE * SIDE
                content = file.read(size)
                if len(content) != size:
                    raise DataError(f"{path} is cut off; get it again")
                block = np.frombuffer(content, dtype=np.uint8).reshape(-1, SIDE * SIDE)
                if block.max() > 1:
                    raise DataError(f"{path}: imgs holds other values than 0 and 1; get the published file")
                yield block
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} can't be read as dSprites ({error}); get it again") from error


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


def write_drawn(path: Path, positions: int) -> None:
    """A file in the published form, of drawn squares, ellipses and hearts in `positions` x `positions` places."""
    grid = (*GRID[:3], positions, positions)
    values = np.stack(np.unravel_index(np.arange(np.prod(grid)), grid), axis=1)
    places = (np.arange(positions) + 0.5) / positions
    latents = [np.ones(len(values)), values[:, 0] + 1, SCALES[values[:, 1]], ANGLES[values[:, 2]]]
    latents += [places[values[:, 3]], places[values[:, 4]]]
    blocks = [slice(start, start + BLOCK) for start in range(0, len(values), BLOCK)]
    images = np.concatenate([_draw(*(column[block] for column in latents[1:])) for block in blocks])
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        imgs=images,
        latents_values=np.stack(latents, axis=1),
        latents_classes=np.concatenate([np.zeros((len(values), 1), dtype=np.int64), values], axis=1),
    )


def _draw(shape: np.ndarray, scale: np.ndarray, angle: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """uint8 (n, 64, 64). shape: 1 square, 2 ellipse, 3 heart; x, y in (0, 1), within what keeps sprites inside."""
    axis = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    reach, radius = 0.5, 0.42
    dy = axis[:, None] - reach * (2 * y - 1)[:, None, None]
    dx = axis - reach * (2 * x - 1)[:, None, None]
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    unit = radius * scale[:, None, None]
    u, v = (dx * cos + dy * sin) / unit, (dy * cos - dx * sin) / unit
    inside = np.choose(
        (shape - 1).astype(np.int64)[:, None, None],
        [
            np.maximum(np.abs(u), np.abs(v)) < 0.7,
            u**2 + (v / 0.55) ** 2 < 1,
            (1.25 * u**2 + (1.25 * (0.15 - v) - 0.7 * np.sqrt(np.abs(u))) ** 2) < 0.8,
        ],
    )
    return inside.astype(np.uint8)
