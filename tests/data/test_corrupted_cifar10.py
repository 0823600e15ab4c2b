"""Corrupted CIFAR-10: reading its batches, corrupting them, DisEnt's layout."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import rgb_to_hsv

from lab.data.cifar_files import FILES, TEST_BATCH, Pictures, read_batches, write_batches
from lab.data.corrupted_cifar10 import KINDS, CorruptedCifar10, CorruptedCifar10Config
from lab.data.corruptions import CORRUPTIONS, corrupt, motion_blur, plasma
from lab.errors import DataError


def opened(root: Path, **options) -> CorruptedCifar10:
    return CorruptedCifar10(CorruptedCifar10Config(root=str(root), **options), root / "cache")


@pytest.fixture
def batches(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    made = [Pictures(rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8), np.arange(n) % 10) for n in (2000, 200)]
    write_batches(tmp_path / "cifar-10-batches-py", *made)
    return tmp_path


def test_batches_are_read_back(tmp_path):
    rng = np.random.default_rng(0)
    train, test = (
        Pictures(rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, n)) for n in (11, 4)
    )
    write_batches(tmp_path, train, test)
    again = read_batches(tmp_path, FILES[:5])
    assert (again.images == train.images).all() and (again.labels == train.labels).all()
    assert (read_batches(tmp_path, (TEST_BATCH,)).images == test.images).all()


def test_a_batch_as_python_2_wrote_it(tmp_path):
    """The published files: protocol 2, byte strings, NumPy's old module names."""
    pixels = np.arange(2 * 3072).astype(np.uint8)
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR(K\x01K\x02M\x00\x0c\x86"
        b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T" + struct.pack("<i", len(pixels)) + pixels.tobytes() + b"tb"
    )
    content = b"\x80\x02}(U\x0bbatch_labelU\x01xU\x04data" + array + b"U\x06labels](K\x03K\x07eu."
    (tmp_path / TEST_BATCH).write_bytes(content)
    found = read_batches(tmp_path, (TEST_BATCH,))
    assert found.labels.tolist() == [3, 7]
    assert (found.images[1, :, :, 2].ravel() == pixels[3072 + 2048 :]).all()


class Bomb:
    def __reduce__(self):
        return print, ("boom",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pickle.dumps(Bomb()), "it asks for builtins.print"),
        (b"not a pickle", "is no batch of CIFAR-10, or damaged"),
        (pickle.dumps({b"data": [1], b"labels": [0]}), "is no batch of CIFAR-10, or damaged"),
        (pickle.dumps({b"labels": [0]}), "is no batch of CIFAR-10, or damaged"),
    ],
)
def test_a_batch_that_is_something_else(batches, capsys, content, said):
    path = batches / "cifar-10-batches-py/data_batch_3"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said) as error:
        opened(batches)
    assert str(path) in str(error.value) and "boom" not in capsys.readouterr().out


def test_a_batch_that_is_missing(batches):
    (batches / "cifar-10-batches-py/data_batch_2").unlink()
    with pytest.raises(DataError, match=r"data_batch_2 can't be read: No such file"):
        opened(batches)


@pytest.mark.parametrize(("percent", "conflicting"), [("5pct", 90), ("1pct", 20), ("0.5pct", 10)])
def test_shares_are_exact_in_every_class(batches, percent, conflicting):
    rows = opened(batches, percent=percent).rows
    train = [row for row in rows if row.split == "train"]
    assert len(train) == 1800 and sum(row.label != row.bias for row in train) == conflicting
    for split, size in (("val", 200), ("test", 200)):
        of_split = [row for row in rows if row.split == split]
        assert len(of_split) == size and sum(row.label == row.bias for row in of_split) == size // 10


def test_images_are_those_of_cifar_under_their_corruption(batches):
    data = opened(batches)
    originals = read_batches(batches / "cifar-10-batches-py", FILES[:5]).images
    train = data.split("train")
    row = int(np.flatnonzero(train.bias == KINDS.index("contrast"))[0])
    number = int(train.names[row].split("/")[1])
    rng = np.random.default_rng(0)
    assert (train.images[row] == corrupt(originals[number], "contrast", 5, rng)).all()


def test_what_decides_the_images_decides_the_fingerprint(batches):
    first = opened(batches)
    assert opened(batches).fingerprint() == first.fingerprint()
    changed = [opened(batches, **option) for option in ({"level": 3}, {"percent": "1pct"}, {"bias_seed": 1})]
    assert len({first.fingerprint(), *(data.fingerprint() for data in changed)}) == 4
    assert all((data.split("test").images != first.split("test").images).any() for data in (changed[0], changed[2]))
    assert (changed[1].split("test").images == first.split("test").images).all()


def test_the_other_form_is_recognised(batches):
    with pytest.raises(DataError, match=r"has another form of Corrupted CIFAR-10; read it with data\.form=cifar10"):
        opened(batches, form="disent")


def test_disents_layout(tmp_path):
    config = CorruptedCifar10Config(stand_in_size=100, form="disent", percent="0.5pct")
    CorruptedCifar10.write_stand_in(tmp_path, config)
    (tmp_path / "corrupted_cifar10").rename(tmp_path / "cifar10c")
    data = opened(tmp_path, form="disent", percent="0.5pct")
    assert all(("/align/" in r.file) == (r.label == r.bias) for r in data.rows if r.split == "train")
    assert {r.file.split("/")[1] for r in data.rows if r.split == "val"} == {"valid"}
    assert {r.file.split("/")[0] for r in data.rows if r.split == "test"} == {"test"}


# -- corruptions -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    y, x = np.mgrid[0:32, 0:32]
    return np.stack([x * 6 + 30, y * 5 + 40, (x + y) * 3 + 20], axis=-1).astype(np.uint8)


def test_order_and_names_are_those_of_the_protocol():
    assert tuple(CORRUPTIONS) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_corruption_changes_the_image_and_repeats(picture, kind):
    first = corrupt(picture, kind, 5, np.random.default_rng(1))
    assert first.shape == picture.shape and first.dtype == np.uint8
    assert (corrupt(picture, kind, 5, np.random.default_rng(1)) == first).all()
    assert np.abs(first.astype(int) - picture).mean() > 0.5


@pytest.mark.parametrize("kind", ["snow", "frost", "fog", "brightness", "contrast", "jpeg", "pixelate"])
def test_a_higher_level_is_stronger(picture, kind):
    def away(level: int) -> float:
        made = [corrupt(picture, kind, level, np.random.default_rng(n)) for n in range(8)]
        return float(np.mean([np.abs(image.astype(int) - picture).mean() for image in made]))

    assert away(1) < away(5)


def test_closed_forms(picture):
    rng = np.random.default_rng(0)
    x = picture / 255
    expected = (x - x.mean(axis=(0, 1))) * 0.15 + x.mean(axis=(0, 1))
    assert np.abs(corrupt(picture, "contrast", 5, rng) / 255 - expected).max() < 1 / 255
    brighter = rgb_to_hsv(corrupt(picture, "brightness", 5, rng) / 255)[..., 2]
    assert np.abs(brighter - np.clip(x.max(axis=-1) + 0.3, 0, 1)).max() < 1 / 255
    blocks = corrupt(np.full((32, 32, 3), 77, np.uint8), "pixelate", 5, rng)
    assert (blocks == 77).all()
    flat = np.full((32, 32, 3), 100, np.uint8)
    assert (corrupt(flat, "elastic", 5, rng) == 100).all() and (corrupt(flat, "contrast", 5, rng) == 100).all()


def test_clouds_and_smears():
    cloud = plasma(np.random.default_rng(0), 1.75)
    assert cloud.shape == (32, 32) and cloud.min() == 0 and cloud.max() == 1
    rough = np.abs(np.diff(plasma(np.random.default_rng(0), 1.2))).mean()
    assert np.abs(np.diff(plasma(np.random.default_rng(0), 3))).mean() < rough
    assert np.allclose(motion_blur(np.full((32, 32), 0.3), 14, 12, -90), 0.3)
    spot = np.zeros((32, 32))
    spot[16, 16] = 1
    smeared = motion_blur(spot, 3, 2, 0)
    assert smeared.sum() == pytest.approx(1) and set(np.nonzero(smeared)[0]) == {16}
    assert (np.diff(smeared[16, 10:17]) >= 0).all()


@pytest.mark.parametrize(("shape", "level"), [((28, 28, 3), 1), ((32, 32, 3), 6), ((32, 32, 3), 0)])
def test_what_it_is_not_made_for_is_refused(shape, level):
    with pytest.raises(ValueError, match="needs an image of 32"):
        corrupt(np.zeros(shape, np.uint8), "fog", level, np.random.default_rng(0))
