"""Biased MNIST: the construction of ReBias, the files it is read from, and what is said of damaged ones."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lab import env
from lab.data.biased_mnist import COLOURS, NEAR, BiasedMnist, BiasedMnistConfig, paint
from lab.data.mnist_files import find, read_idx, write_idx
from lab.errors import DataError

SIZE = 400


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mnist")
    BiasedMnist.write_stand_in(folder, BiasedMnistConfig(stand_in_size=SIZE))
    return folder


@pytest.fixture
def config(root) -> BiasedMnistConfig:
    return BiasedMnistConfig(root=str(root))


def arrays(root: Path) -> dict[str, np.ndarray]:
    raw = root / "MNIST" / "raw"
    return {
        "x_train": read_idx(raw / "train-images-idx3-ubyte").copy(),
        "y_train": read_idx(raw / "train-labels-idx1-ubyte").copy(),
        "x_test": read_idx(raw / "t10k-images-idx3-ubyte").copy(),
        "y_test": read_idx(raw / "t10k-labels-idx1-ubyte").copy(),
    }


def test_splits_and_shares(config, tmp_path):
    data = BiasedMnist(config, tmp_path)
    train, val, test = (data.split(name) for name in ("train", "val", "test"))
    assert (len(train), len(val), len(test)) == (360, 40, 100)
    assert train.images.shape[1:] == (32, 32, 3) and train.images.dtype == np.uint8
    assert np.bincount(val.labels).tolist() == [4] * 10
    for label in range(10):
        own = train.bias[train.labels == label] == label
        assert own.sum() == round(0.95 * len(own))
    assert (test.bias == test.labels).mean() == 0.1
    assert not set(train.names) & set(val.names)


def test_ground_has_the_colour_and_figure_is_white(config, tmp_path, root):
    train = BiasedMnist(config, tmp_path).split("train")
    raw = arrays(root)["x_train"]
    for row in (0, 7, 99):
        digit = np.pad(raw[int(train.names[row].rsplit("/")[-1])], 2)
        assert (train.images[row][digit > 0] == 255).all()
        assert (train.images[row][digit == 0] == COLOURS[train.bias[row]]).all()


def test_colours_can_be_told_apart():
    distance = np.linalg.norm(COLOURS[:, None].astype(float) - COLOURS[None].astype(float), axis=-1)
    assert distance[~np.eye(10, dtype=bool)].min() > 2 * NEAR


@pytest.mark.parametrize("size", [20, 28, 32, 64])
def test_bias_is_read_off(config, tmp_path, size):
    data = BiasedMnist(replace(config, image_size=size), tmp_path)
    test = data.split("test")
    assert test.images.shape[1:] == (size, size, 3)
    assert (BiasedMnist.read_bias(test.images, data.config) == test.bias).all()
    noisy = np.clip(test.images + np.random.default_rng(0).normal(0, 20, test.images.shape), 0, 255).astype(np.uint8)
    assert (BiasedMnist.read_bias(noisy, data.config) == test.bias).mean() > 0.98


def test_a_dark_image_has_no_bias(config, tmp_path):
    assert BiasedMnist.read_bias(np.zeros((1, 32, 32, 3), np.uint8), config).tolist() == [-1]


def test_paint_at_28_pads_nothing():
    digit = np.zeros((1, 28, 28), np.uint8)
    digit[0, 3, 4] = 1
    painted = paint(digit, COLOURS[:1], 28)
    assert (painted[0, 3, 4] == 255).all() and (painted[0, 0, 0] == COLOURS[0]).all()


def test_a_larger_subset_holds_a_smaller_one(config, tmp_path):
    small, large = (BiasedMnist(replace(config, subset=n), tmp_path).split("train") for n in (100, 200))
    assert len(small) == 100 and set(small.names) < set(large.names)


def test_seed_changes_colours_and_fingerprint(config, tmp_path):
    one, same, other = (BiasedMnist(replace(config, bias_seed=seed), tmp_path) for seed in (0, 0, 1))
    assert (one.split("test").bias == same.split("test").bias).all()
    assert (one.split("test").bias != other.split("test").bias).any()
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()


@pytest.mark.parametrize("form", ["npz", "gzip", "dotted", "kmnist"])
def test_every_form_is_read_the_same(root, tmp_path, form):
    content, folder, variant = arrays(root), tmp_path / "data", "mnist"
    (folder / "mnist").mkdir(parents=True)
    names = {"x_train": "train-images", "y_train": "train-labels", "x_test": "t10k-images", "y_test": "t10k-labels"}
    if form == "npz":
        np.savez_compressed(folder / "mnist" / "mnist.npz", **content)
    elif form == "kmnist":
        variant = "kmnist"
        for key, array in content.items():
            part, kind = key.split("_")[1], "imgs" if key[0] == "x" else "labels"
            np.savez_compressed(folder / f"kmnist-{part}-{kind}.npz", array)
    else:
        for key, array in content.items():
            kind = "idx3" if key[0] == "x" else "idx1"
            write_idx(
                folder / f"{names[key]}{'.' if form == 'dotted' else '-'}{kind}-ubyte{'.gz' * (form == 'gzip')}", array
            )
    expected = BiasedMnist(BiasedMnistConfig(root=str(root)), tmp_path).split("train")
    found = BiasedMnist(BiasedMnistConfig(root=str(folder), variant=variant), tmp_path).split("train")
    assert (found.images == expected.images).all() and (found.labels == expected.labels).all()


def test_nothing_found_says_where_and_how(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_DATA", str(tmp_path))
    with pytest.raises(DataError) as error:
        BiasedMnist.locate(BiasedMnistConfig(variant="kmnist"))
    text = str(error.value)
    for part in (
        str(tmp_path / "KMNIST" / "raw"),
        "lab data get biased_mnist --part kmnist",
        "--profile smoke",
        "licence",
    ):
        assert part in text
    assert "\n" not in text


def damaged(root: Path, tmp_path: Path, name: str, change) -> str:
    raw = tmp_path / "data"
    raw.mkdir()
    for path in (root / "MNIST" / "raw").iterdir():
        (raw / path.name).write_bytes(change(path.read_bytes()) if path.name == name else path.read_bytes())
    with pytest.raises(DataError) as error:
        BiasedMnist(BiasedMnistConfig(root=str(raw)), tmp_path).split("train")
    assert str(raw) in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


def test_damaged_idx_files_are_named(root, tmp_path):
    message = damaged(root, tmp_path, "train-images-idx3-ubyte", lambda content: content[:-10])
    assert "train-images-idx3-ubyte is cut short" in message


def test_something_else_under_the_name_of_an_idx_file(root, tmp_path):
    assert "not an idx file" in damaged(root, tmp_path, "t10k-labels-idx1-ubyte", lambda content: b"<html>")


def test_fewer_labels_than_images(root, tmp_path):
    def change(content: bytes) -> bytes:
        return content[:4] + (SIZE - 1).to_bytes(4, "big") + content[8:-1]

    assert f"with {SIZE - 1} labels" in damaged(root, tmp_path, "train-labels-idx1-ubyte", change)


def test_truncated_gzip_and_npz(tmp_path):
    packed = tmp_path / "train-images-idx3-ubyte.gz"
    packed.write_bytes(gzip.compress(bytes(1000))[:-12])
    with pytest.raises(DataError, match=r"idx3-ubyte\.gz is damaged"):
        read_idx(packed)
    (tmp_path / "mnist.npz").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(DataError, match=r"mnist\.npz is damaged"):
        BiasedMnist(BiasedMnistConfig(root=str(tmp_path)), tmp_path).split("train")


def test_npz_without_an_array(root, tmp_path):
    content = arrays(root)
    del content["y_test"]
    np.savez(tmp_path / "mnist.npz", **content)
    with pytest.raises(DataError, match="has no array y_test; it has: x_train, y_train, x_test"):
        BiasedMnist(BiasedMnistConfig(root=str(tmp_path)), tmp_path).split("train")


def test_mnist_is_not_taken_for_kmnist(root, tmp_path):
    content = arrays(root)
    content["y_train"][:10] = (5, 0, 4, 1, 9, 2, 1, 3, 1, 4)
    np.savez(tmp_path / "kmnist.npz", **content)
    with pytest.raises(DataError, match="holds MNIST, not KMNIST"):
        BiasedMnist(BiasedMnistConfig(root=str(tmp_path), variant="kmnist"), tmp_path).split("train")


def test_a_class_without_images(root, tmp_path):
    content = arrays(root)
    content["y_train"][content["y_train"] == 3] = 4
    np.savez(tmp_path / "mnist.npz", **content)
    with pytest.raises(DataError, match="class '3' has no images in the train split"):
        BiasedMnist(BiasedMnistConfig(root=str(tmp_path)), tmp_path).split("train")


def test_a_subset_larger_than_the_set(config, tmp_path):
    with pytest.raises(DataError, match="subset=361 is more than the 360"):
        BiasedMnist(replace(config, subset=361), tmp_path).split("train")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"rho": 1.01}, "rho"),
        ({"test_rho": -1}, "test_rho"),
        ({"val_fraction": 0}, "val_fraction"),
        ({"n_confusing": 0}, "n_confusing"),
        ({"subset": 3}, "subset"),
        ({"image_size": 1}, "image_size"),
        ({"stand_in_size": 10}, "stand_in_size"),
    ],
)
def test_options_are_checked(options, field):
    assert [name for name, _ in BiasedMnistConfig(**options).check()] == [field]


@pytest.mark.skipif(find("mnist", env.DATA.path() / "mnist") is None, reason="needs LAB_DATA with mnist/mnist.npz")
def test_real_mnist(tmp_path):
    data = BiasedMnist(BiasedMnistConfig(subset=20_000, rho=0.95), tmp_path)
    train, test = data.split("train"), data.split("test")
    assert (len(train), len(data.split("val")), len(test)) == (20_000, 5_999, 10_000)
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert abs((train.bias == train.labels).mean() - 0.95) < 1e-3
    assert (BiasedMnist.read_bias(test.images, data.config) == test.bias).all()
