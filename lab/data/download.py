"""Getting a data set from the places its card names: resumed, checked, unpacked safely, renamed into place."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import IO

from lab.data.base import Card, Source
from lab.errors import DataError

TIMEOUT = 30.0
"""Seconds without an answer after which a source is given up."""
BLOCK = 1 << 18

Tell = Callable[[str], None]


def get(card: Card, root: Path, tell: Tell, part: str | None = None) -> Path:
    """Get a data set into `root/card.folder`, trying the sources of each part in turn.

    Args:
        part: only this one (biased_mnist has mnist, fashion_mnist and kmnist).
        tell: called with a line on what happens.

    Raises:
        DataError: no source of a part worked: one line a source, and what to do by hand.
    """
    parts = list(dict.fromkeys(source.part for source in card.sources))
    if not parts:
        raise DataError(f"{card.title} needs no download: {card.layout}")
    if part is not None and part not in parts:
        raise DataError(f"{card.name} has no part '{part}'; it has: {', '.join(p for p in parts if p) or 'only one'}")
    target = root / card.folder
    root.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    for wanted in parts if part is None else [part]:
        failed += _get_part(card, wanted, target / wanted, tell)
    if failed:
        raise DataError("\n".join([f"{card.title} could not be got:", *failed, *_by_hand(card, target)]))
    return target


def _get_part(card: Card, part: str, target: Path, tell: Tell) -> list[str]:
    """Nothing when a source worked, else a line for each that did not."""
    failed = []
    for source in (source for source in card.sources if source.part == part):
        if source.manual:
            failed.append(f"  {_address(source)}: has to be visited by hand ({source.note})")
            continue
        try:
            (_get_archive if source.unpack else _get_files)(source, target, tell)
        except (DataError, OSError, HTTPException) as error:
            failed.append(f"  {_address(source)}: {error}")
        else:
            tell(f"{card.name}: {target}")
            return []
    return failed


def _address(source: Source) -> str:
    names = ",".join(source.files)
    return source.url + (f"{{{names}}}" if len(source.files) > 1 else names)


def _by_hand(card: Card, target: Path) -> list[str]:
    return [
        "by hand: download from one of the addresses above, and unpack it so that",
        f"  {target} holds {card.layout}",
        f"  then run: lab data verify {card.name}; licence: {card.licence}",
    ]


def _get_files(source: Source, target: Path, tell: Tell) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name, expected in source.files.items():
        if not (target / name).exists():
            download(source.url + name, target / f"{name}.part", expected, tell).replace(target / name)


def _get_archive(source: Source, target: Path, tell: Tell) -> None:
    if target.exists():
        raise DataError(f"{target} exists already; move it away first")
    for name, expected in source.files.items():
        address = source.url + name
        tag = hashlib.sha256(address.encode()).hexdigest()[:8]
        archive = download(address, target.with_name(f"{target.name}-{tag}.part"), expected, tell)
        tell(f"unpacking into {target}")
        unpack(archive, target)
        archive.unlink()


def download(url: str, part: Path, expected: str | None, tell: Tell) -> Path:
    """Download to `part`, going on where an earlier attempt stopped if the server can.

    Args:
        expected: `algorithm:hex`, or None where no hash is published.

    Raises:
        DataError: the connection ended early (what came is kept), or the hash is another (nothing is kept).
        OSError: the address can't be reached, or the disk is full.
    """
    had = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={had}-"} if had else {})
    tell(f"getting {url}" + (f", going on after {had:,} bytes" if had else ""))
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not had:  # 416: nothing is left to send, so what we have is whole, or not of this file
            raise
        part.unlink()
        return download(url, part, expected, tell)
    with answer:
        resumed = answer.status == 206
        left = int(answer.headers.get("Content-Length") or 0)
        start = had if resumed else 0
        with part.open("ab" if resumed else "wb") as file:
            _copy(answer, file, start, start + left if left else None, url)
    if left and part.stat().st_size < start + left:
        raise DataError(f"the connection ended after {part.stat().st_size:,} of {start + left:,} bytes; run it again")
    if expected is not None:
        algorithm, _, wanted = expected.partition(":")
        with part.open("rb") as file:
            found = hashlib.file_digest(file, algorithm).hexdigest()
        if found != wanted:
            part.unlink()
            raise DataError(f"{algorithm} is {found}, published is {wanted}: the file was not kept")
    return part


def _copy(source: IO[bytes], file: IO[bytes], done: int, total: int | None, url: str) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(PurePosixPath(url).name, total=total, completed=done)
        while block := source.read(BLOCK):
            file.write(block)
            progress.advance(task, len(block))


def unpack(archive: Path, target: Path) -> None:
    """Unpack a tar or zip so that its content appears as `target`, all at once.

    When the archive holds a single folder, that folder becomes `target`; otherwise all of it does.

    Raises:
        DataError: it is neither, is damaged, or has a member outside its own folder.
    """
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
        inside = Path(folder) / "content"
        inside.mkdir()
        try:
            if tarfile.is_tarfile(archive):
                with tarfile.open(archive) as tar:
                    tar.extractall(inside, filter="data")
            elif zipfile.is_zipfile(archive):
                with zipfile.ZipFile(archive) as bundle:
                    _refuse_outside(bundle.namelist())
                    bundle.extractall(inside)
            else:
                raise DataError(f"{archive} is neither a tar nor a zip file; delete it and try again")
        except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
            raise DataError(f"{archive} is damaged ({error}); delete it and try again") from error
        entries = [entry for entry in inside.iterdir() if entry.name != "__MACOSX"]
        whole = entries[0] if len(entries) == 1 and entries[0].is_dir() else inside
        shutil.move(whole, target)


def _refuse_outside(names: list[str]) -> None:
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
            raise DataError(f"the archive wants to write outside its folder ('{name}'); it was not unpacked")
