"""Decoding, hashing and the cache of decoded images."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

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


def test_what_a_killed_process_left_is_gone_on_with(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "DURABLE", 2 * 8 * 8 * 3)  # of six images the last two may be lost
    asked = []
    original = files.decode

    def killed(path: Path, *options: Any) -> np.ndarray:
        asked.append(path.stem)
        if path.stem == "5" and len(asked) < 7:
            raise KeyboardInterrupt
        return original(path, *options)

    monkeypatch.setattr(files, "decode", killed)
    with pytest.raises(KeyboardInterrupt):
        decoded(pictures, 8, tmp_path / "a.npy")
    assert (tmp_path / "a.npy.part").is_file() and not (tmp_path / "a.npy").exists()
    asked[:] = ["x"] * 7
    images = decoded(pictures, 8, tmp_path / "a.npy")
    assert images[:, 0, 0, 0].tolist() == [0, 40, 80, 120, 160, 200]
    assert asked[7:] == ["3", "4", "5"] and not list(tmp_path.glob("*.part"))


def test_what_is_left_of_another_form_is_not_used(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "DURABLE", 1)
    (tmp_path / "a.npy.part").write_bytes(b"half" * 1000)
    assert decoded(pictures, 8, tmp_path / "a.npy")[:, 0, 0, 0].tolist() == [0, 40, 80, 120, 160, 200]


def test_a_disk_that_is_too_small_is_seen_before(pictures, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=6 * 8 * 8 * 3)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    monkeypatch.setattr(files, "decode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(
        DataError, match=r"the decoded images need 0\.0 GB in .*cache, which has 0\.0 GB left: make room"
    ):
        decoded(pictures, 8, tmp_path / "cache" / "a.npy")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_few_images_are_in_memory_at_a_time(tmp_path):
    """2,000 images of 64 pixels are 25 MB; decoding them as a stream takes a small part of that."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (64, 64), "red").save(folder / "0.png")
    paths = [folder / "0.png"] * 2000
    decoded(paths[:5], 64, tmp_path / "warm.npy")
    tracemalloc.start()
    try:
        decoded(paths, 64, tmp_path / "a.npy")
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_a_failure_in_the_middle_ends_the_rest():
    done = []

    def work(number: int) -> int:
        done.append(number)
        if number == 3:
            raise DataError("three")
        return number

    with pytest.raises(DataError, match="three"):
        list(files.in_order(work, range(5000), "working"))
    assert len(done) < 1000
    assert list(files.in_order(lambda number: number, range(700), "working")) == list(range(700))


def test_crop_is_short_side_then_centre(tmp_path):
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 255, (40, 100, 3), dtype=np.uint8)).filter(ImageFilter.GaussianBlur(3))
    noise.save(tmp_path / "a.png")
    expected = noise.resize((50, 20), Image.Resampling.BICUBIC).crop((15, 0, 35, 20))
    ours = decode(tmp_path / "a.png", 20, "crop").astype(int)
    assert abs(ours - np.asarray(expected)).max() <= 2
    tall = decode(tmp_path / "a.png", 20, "squeeze").astype(int)
    assert abs(tall - np.asarray(noise.resize((20, 20), Image.Resampling.BICUBIC))).max() == 0


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
