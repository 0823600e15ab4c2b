"""Decoding, hashing and the cache of decoded images."""

from __future__ import annotations

import errno
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab.data import files
from lab.data.files import decode, decoded, fingerprint_files, replacing, to_rgb
from lab.errors import DataError


def test_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (20, 10), "red")
    image.paste("blue", (0, 0, 10, 10))
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as opened:
        upright = to_rgb(opened)
    assert upright.size == (10, 20)
    assert upright.getpixel((5, 2)) == (0, 0, 255) and upright.getpixel((5, 17)) == (255, 0, 0)


def test_transparency_lies_over_white():
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert to_rgb(clear).getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    assert to_rgb(palette).getpixel((0, 0)) == (10, 20, 30)
    palette.info["transparency"] = 1
    assert to_rgb(palette).getpixel((0, 0)) == (255, 255, 255)
    assert to_rgb(Image.new("LA", (4, 4), (9, 255))).getpixel((0, 0)) == (9, 9, 9)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 257, 65535]], np.uint16), [0, 1, 255]),
        (np.array([[0, 257, 65535]], np.int32), [0, 1, 255]),
        (np.array([[0, 100, 255]], np.int32), [0, 100, 255]),
        (np.array([[0, 0.2, 1]], np.float32), [0, 51, 255]),
        (np.array([[-5, 100, 300]], np.float32), [0, 100, 255]),
        (np.array([[0, 100, 255]], np.uint8), [0, 100, 255]),
    ],
)
def test_deep_greys_are_scaled(tmp_path, values, expected):
    Image.fromarray(values).save(tmp_path / "grey.tiff")
    with Image.open(tmp_path / "grey.tiff") as image:
        assert np.asarray(to_rgb(image))[0].tolist() == [[value] * 3 for value in expected]


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.png is missing"):
        decode(tmp_path / "gone.png", 8)


@pytest.fixture
def pictures(tmp_path) -> list[Path]:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(6):
        Image.new("RGB", (30, 20), (40 * number, 0, 0)).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


def test_decoded_keeps_the_order(pictures, tmp_path):
    images = decoded(pictures, 8, tmp_path / "cache" / "a.npy")
    assert images.shape == (6, 8, 8, 3) and images[:, 0, 0, 0].tolist() == [0, 40, 80, 120, 160, 200]
    assert isinstance(images, np.memmap) and not images.flags.writeable


def test_a_full_disk_leaves_nothing(pictures, tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"can't write .*a\.npy: No space left on device"):
        decoded(pictures, 8, tmp_path / "cache" / "a.npy")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]
    monkeypatch.undo()
    assert len(decoded(pictures, 8, tmp_path / "cache" / "a.npy")) == 6


def test_what_a_killed_process_left_is_removed(pictures, tmp_path):
    (tmp_path / "a.npy.99999.part").write_bytes(b"half")
    decoded(pictures, 8, tmp_path / "a.npy")
    assert not list(tmp_path.glob("*.part"))


def _decode_and_log(pictures: list[Path], target: Path, log: Path) -> None:
    original = files._write

    def logged(*args: object) -> None:
        with log.open("a") as out:
            out.write("x")
        original(*args)  # type: ignore[arg-type]

    files._write = logged  # type: ignore[assignment]
    assert len(decoded(pictures, 8, target)) == 6


def test_two_processes_decode_once(pictures, tmp_path):
    context = multiprocessing.get_context("spawn" if os.name == "nt" else "fork")
    log = tmp_path / "log"
    workers = [context.Process(target=_decode_and_log, args=(pictures, tmp_path / "a.npy", log)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0] and log.read_text() == "x"


def test_replacing_keeps_the_old_file_on_failure(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as file:
        file.write(b"new")
        raise RuntimeError
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_fingerprint_is_of_names_and_content(pictures, tmp_path):
    root, index = pictures[0].parent, tmp_path / "cache" / "index.json"
    names = [path.name for path in pictures]
    before = fingerprint_files(names, root, index)
    assert fingerprint_files(names[::-1], root, tmp_path / "other.json") == before
    assert fingerprint_files(names[1:], root, index) != before
    pictures[0].rename(root / "renamed.png")
    assert fingerprint_files(["renamed.png", *names[1:]], root, index) != before


def test_known_files_are_only_looked_at(pictures, tmp_path, monkeypatch):
    root, index = pictures[0].parent, tmp_path / "index.json"
    names = [path.name for path in pictures]
    before = fingerprint_files(names, root, index)
    with monkeypatch.context() as patch:
        patch.setattr("hashlib.file_digest", lambda *_: pytest.fail("read again"))
        assert fingerprint_files(names, root, index) == before
    os.utime(pictures[0], ns=(1, 1))
    assert fingerprint_files(names, root, index) == before
    index.write_text("{ damaged")
    assert fingerprint_files(names, root, index) == before


def test_fingerprint_names_a_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"gone\.png can't be read: No such file"):
        fingerprint_files(["gone.png"], tmp_path, tmp_path / "index.json")
