"""Files of a data set: where they are, what is in them (hashes), and their decoded images, kept once. NumPy and Pillow.

Everything is written to another name, flushed to disk and renamed, so a full disk or a killed process leaves nothing
half-written under a name that is read.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import shutil
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal, Protocol, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lab import env
from lab.data.base import Card, DataConfig
from lab.errors import DataError

LARGE = 500
"""Files from which on a progress line is worth its place."""
THREADS = min(8, os.cpu_count() or 1)
AHEAD = 256
"""Results that threads may be ahead of the one that is being used."""
DURABLE = 1 << 27
"""Bytes of decoded images between two flushes to disk, and so the most that a power cut can cost."""

Resize = Literal["squeeze", "crop", "pad", "pad_largest"]
Prepare = Callable[[Image.Image], Image.Image]

T = TypeVar("T")
R = TypeVar("R")


def data_root(config: DataConfig) -> Path:
    """`config.root`, or else LAB_DATA."""
    return Path(config.root).expanduser() if config.root else env.DATA.path()


def absent(card: Card, wanted: str, looked_in: Iterable[Path], *, part: str = "") -> DataError:
    """The error for a data set that is not there: what, where, how to get it, and what to run without it."""
    get = f"lab data get {card.name}" + (f" --part {part}" if part else "")
    return DataError(
        f"{card.title} is not here: looked for {wanted} in {', '.join(str(path.absolute()) for path in looked_in)}; "
        f"get it with `{get}` (licence: {card.licence}) or say where it is with LAB_DATA or data.root=; "
        "to try the same experiment now, on generated images, add --profile smoke"
    )


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that appears under its name only when it is complete and on disk.

    Raises:
        DataError: when the disk is full or can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise DataError(f"can't write {path}: {error.strerror or error}; nothing was kept of it") from error
    finally:
        part.unlink(missing_ok=True)


def fingerprint_files(names: Sequence[str], root: Path, index: Path) -> str:
    """Hash of the names and contents of files; what was hashed before and has kept size and time is only looked at.

    Args:
        names: file names relative to `root`; their order does not matter.
        index: JSON file that remembers name -> size, mtime in ns, SHA-256.

    Raises:
        DataError: naming a file that can't be read.
    """
    known: dict[str, list[Any]] = {}
    with suppress(OSError, ValueError):  # never written, or damaged: hash again
        known = json.loads(index.read_text())

    def entry(name: str) -> list[Any]:
        path = root / name
        try:
            stat = path.stat()
            old = known.get(name)
            if old and old[:2] == [stat.st_size, stat.st_mtime_ns]:
                return old
            with path.open("rb") as file:
                return [stat.st_size, stat.st_mtime_ns, hashlib.file_digest(file, "sha256").hexdigest()]
        except OSError as error:
            raise DataError(f"{path} can't be read: {error.strerror or error}") from error

    ordered = sorted(names)
    found = dict(zip(ordered, in_order(entry, ordered, "hashing"), strict=True))
    if any(known.get(name) != value for name, value in found.items()):
        with replacing(index) as file:
            file.write(json.dumps({**known, **found}).encode())
    return digest([[name, found[name][2]] for name in ordered])


def digest(content: Any) -> str:
    """Hash (32 hexadecimal digits) of plain data: dicts, lists, scalars."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def to_rgb(image: Image.Image) -> Image.Image:
    """Upright 8-bit RGB: EXIF orientation applied, transparency over white, 16-bit and float greys scaled down.

    Float images are taken as [0, 1] when nothing exceeds 1, else as [0, 255]; 32-bit integers as 16-bit when anything
    exceeds 255.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image).astype(np.float64)
        largest = values.max(initial=0)
        if image.mode.startswith("I;16") or (image.mode == "I" and largest > 255):
            values = values / 257
        elif image.mode == "F" and largest <= 1:
            values = values * 255
        image = Image.fromarray(np.clip(np.nan_to_num(values), 0, 255).round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


class Readable(Protocol):
    """A file, on its own or inside an archive. Its text is what people are told of it."""

    def read_bytes(self) -> bytes: ...


def decode(path: Readable, size: int, resize: Resize = "squeeze", prepare: Prepare | None = None) -> np.ndarray:
    """Image file as uint8 (size, size, 3), bicubic with antialiasing.

    Args:
        resize: `squeeze` the whole image to a square; or `crop`: its short side becomes `size`, and of the long one the
            middle is kept. What `pad` and `pad_largest` add is added by `prepare`.
        prepare: what is done to the upright RGB image before it is resized.

    Raises:
        DataError: naming the file, when it is missing, not an image or damaged.
    """
    with reading(path) as image:
        upright = to_rgb(image) if prepare is None else prepare(to_rgb(image))
        return np.asarray(upright.resize((size, size), Image.Resampling.BICUBIC, box=_box(upright.size, resize)))


@contextmanager
def reading(path: Readable) -> Iterator[Image.Image]:
    """An image file, opened; what goes wrong with it inside the block names it.

    Raises:
        DataError: the file is missing, not an image or damaged.
    """
    try:
        with Image.open(path if isinstance(path, Path) else io.BytesIO(path.read_bytes())) as image:
            yield image
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except UnidentifiedImageError:
        raise DataError(f"{path} is not an image, or damaged at its start; get this file again") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # all mean "damaged"
        raise DataError(f"{path} can't be decoded ({error}); get this file again") from error


def _box(size: tuple[int, int], resize: Resize) -> tuple[float, float, float, float] | None:
    """Part of an image of that width and height that is resized; None for all of it."""
    if resize != "crop":
        return None
    width, height = size
    left, top = (width - min(size)) / 2, (height - min(size)) / 2
    return left, top, left + min(size), top + min(size)


def decoded(
    paths: Sequence[Readable], size: int, target: Path, resize: Resize = "squeeze", prepare: Prepare | None = None
) -> np.ndarray:
    """All images as one read-only memory map, uint8 (n, size, size, 3), decoded once into the file `target` (.npy).

    `target` has to be named after the content of the images, `size`, `resize` and what `prepare` does.

    Raises:
        DataError: naming the image that can't be decoded; or the disk is too small.
    """

    def rest(start: int) -> Iterator[np.ndarray]:
        return in_order(lambda path: decode(path, size, resize, prepare), paths[start:], "decoding")

    return kept(len(paths), size, target, rest)


def kept(
    count: int, size: int, target: Path, make: Callable[[int], Iterable[np.ndarray]], channels: int = 3
) -> np.ndarray:
    """Images as one read-only memory map, uint8 (count, size, size, channels), made once into the file `target` (.npy).

    `target` has to be named after everything that decides the images. Processes that want the same file wait for the
    one that is writing it; what a killed one has written is gone on with. Only a few images are in memory at a time.
    Written with plain writes: on a full disk a memory map would end the process (SIGBUS).

    Args:
        make: asked once for the images from row `start` on, uint8 (size, size, channels) each, in order.

    Raises:
        DataError: the disk has no room for them.
    """
    from filelock import FileLock

    if count == 0:
        return np.empty((0, size, size, channels), dtype=np.uint8)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f"{target.name}.lock")):
            if not target.exists():
                _write((count, size, size, channels), target, make)
    return np.load(target, mmap_mode="r")  # type: ignore[no-any-return]


def _write(shape: tuple[int, ...], target: Path, make: Callable[[int], Iterable[np.ndarray]]) -> None:
    part = target.with_name(f"{target.name}.part")
    count, header, row = shape[0], _header(shape), math.prod(shape[1:])
    done = _done_rows(part, header, row)
    have = len(header) + done * row if done else 0
    try:
        _insist_on_room(target.parent, len(header) + count * row - have)
        with part.open("r+b" if done else "wb") as file:
            file.truncate(have)
            file.seek(have)
            if not done:
                file.write(header)
            flushed = file.tell()
            for image in make(done):
                file.write(image.tobytes())
                if file.tell() - flushed >= DURABLE:
                    flushed = _flush(file)
            _flush(file)
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DataError(f"can't write {target}: {error.strerror or error}; nothing was kept of it") from error
    except DataError:  # of an image: with another in its place this file would have another name
        part.unlink(missing_ok=True)
        raise


def _header(shape: tuple[int, ...]) -> bytes:
    header = io.BytesIO()
    description = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, description)
    return header.getvalue()


def _done_rows(part: Path, header: bytes, row: int) -> int:
    """Rows that an earlier process wrote and that are certainly on disk."""
    try:
        with part.open("rb") as file:
            if file.read(len(header)) != header:
                return 0
            return max(0, (file.seek(0, os.SEEK_END) - DURABLE - len(header)) // row)
    except OSError:
        return 0


def _flush(file: IO[bytes]) -> int:
    file.flush()
    os.fsync(file.fileno())
    return file.tell()


def _insist_on_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            f"the decoded images need {needed / 1e9:,.1f} GB in {folder.absolute()}, which has {free / 1e9:,.1f} GB "
            "left: make room, take a smaller data.image_size, or put runs and their cache elsewhere with LAB_RUNS"
        )


def in_order(function: Callable[[T], R], items: Sequence[T], what: str, ahead: int = AHEAD) -> Iterator[R]:
    """Results of a function over items, in order, computed by threads some way ahead; a progress line for many."""
    from rich.console import Console
    from rich.progress import Progress

    progress = Progress(console=Console(stderr=True), transient=True, disable=len(items) < LARGE)
    waiting: deque[Future[R]] = deque()
    with progress, ThreadPoolExecutor(THREADS) as pool:
        task = progress.add_task(f"{what} {len(items):,} files", total=len(items))
        try:
            for number in range(len(items) + ahead):
                if number < len(items):
                    waiting.append(pool.submit(function, items[number]))
                if waiting and number >= ahead:
                    yield waiting.popleft().result()
                    progress.advance(task)
        finally:
            for future in waiting:
                future.cancel()


@cache  # a data set is opened more than once
def warn(text: str) -> None:
    """Say a warning, once a process."""
    print(f"lab: warning: {text}", file=sys.stderr, flush=True)
