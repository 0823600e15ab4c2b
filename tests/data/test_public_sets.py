"""Every public set: its stand-in in the published layout, read by its loader and, for some, by torchvision."""

from __future__ import annotations

import hashlib
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision.datasets as tv
from PIL import Image
from torchvision.datasets import cifar, stl10, svhn

from lab import registry
from lab.cli import main
from lab.commands.data import card_of, datasets
from lab.data import download
from lab.data.base import Card, Source
from lab.data.class_images import draw_set, stand_in_counts
from lab.data.module import ImageDataModule, Loading
from lab.data.public import RECORDS
from lab.data.public.arrays import ArrayLayout
from lab.data.public.sets import STAND_IN, ArrayConfig, DtdConfig
from lab.data.shapes import Shapes, ShapesConfig
from lab.errors import DataError

ARRAYS = [name for name, record in RECORDS.items() if isinstance(record.layout, ArrayLayout)]
PHOTOS = [name for name in RECORDS if name not in ARRAYS]


def parts(name: str) -> tuple[Any, Any]:
    """Data set class and small options."""
    component = registry.get("data", name)
    config = component.config_class()(image_size=16, stand_in_size=30)
    assert component.dataset and [field for field, _ in config.check()] == ["stand_in_size"]
    return registry.load(component.dataset), config


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return Path(tmp_path_factory.mktemp("public"))


@pytest.fixture(scope="module")
def stand_in(folder) -> Callable[[str], tuple[Any, Any]]:
    """Class of a set, and options that point to its stand-in, written once."""

    def written(name: str) -> tuple[Any, Any]:
        dataset, config = parts(name)
        root = folder / name
        if not root.exists():
            dataset.write_stand_in(root, config)
        return dataset, replace(config, root=str(root))

    return written


@pytest.fixture
def copied(stand_in, tmp_path) -> Callable[[str], tuple[Any, Any, Path]]:
    """The same in a copy that may be spoilt, and the folder with the files."""

    def copy(name: str) -> tuple[Any, Any, Path]:
        dataset, config = stand_in(name)
        config = replace(config, root=str(shutil.copytree(config.root, tmp_path / "copy")))
        return dataset, config, dataset.locate(config)

    return copy


@pytest.mark.parametrize("name", RECORDS)
def test_the_loader_reads_what_was_drawn(name, stand_in, tmp_path, capsys):
    """Each image once, with its own label and in its own split."""
    dataset, config = stand_in(name)
    record = dataset.record
    opened = dataset(replace(config, resize="squeeze") if name in PHOTOS else config, tmp_path)
    size = (record.layout.side,) * 2 if name in ARRAYS else (56, 48)
    drawn = draw_set(len(record.sample), stand_in_counts(record.images, config.stand_in_size), 0, size)
    known = np.stack([_small(one.image) for one in drawn])
    if name in {"mnist", "fashion_mnist", "kmnist"}:
        known = known.mean(axis=3, keepdims=True)
    found = []
    for split in ("train", "val", "test"):
        rows = opened.split(split)
        assert rows.images.shape == (len(rows), 16, 16, 3) and rows.images.dtype == np.uint8
        assert set(rows.labels.tolist()) == set(range(len(record.sample))) and (rows.bias == -1).all()
        for image, label in zip(rows.images, rows.labels, strict=True):
            nearest = int(((known - image.astype(float)) ** 2).mean(axis=(1, 2, 3)).argmin())
            found.append(nearest)
            assert opened.class_names[label] == record.sample[drawn[nearest].label]
            assert drawn[nearest].split in (split, None) or (split, drawn[nearest].split) == ("val", "train")
    assert sorted(found) == list(range(len(drawn)))
    assert opened.aligned.shape == (len(record.sample), 0)
    assert capsys.readouterr().err == ""  # what is published does not hold for a stand-in


def _small(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB").resize((16, 16), Image.Resampling.BICUBIC)).astype(float)


@pytest.mark.parametrize("name", RECORDS)
def test_the_fingerprint_follows_the_files_and_the_draws(name, copied, tmp_path):
    dataset, config, root = copied(name)
    before = dataset(config, tmp_path / "cache").fingerprint()
    assert dataset(config, tmp_path / "other").fingerprint() == before
    assert dataset(replace(config, per_class=1), tmp_path / "cache").fingerprint() != before
    has_val = "val" in dataset.record.images
    assert (dataset(replace(config, split_seed=1), tmp_path / "cache").fingerprint() == before) == has_val
    files = [root / file for file in dataset(config, tmp_path / "cache").files()]
    if name in PHOTOS:
        Image.new("RGB", (20, 20), "red").save(files[-1])
    else:
        largest = max(files, key=lambda path: path.stat().st_size)
        content = bytearray(largest.read_bytes())
        content[len(content) // 2] ^= 1
        largest.write_bytes(content)
    assert dataset(config, tmp_path / "cache").fingerprint() != before


@pytest.mark.parametrize("name", PHOTOS)
def test_a_missing_and_a_truncated_image_are_named(name, copied, tmp_path):
    dataset, config, root = copied(name)
    row = next(row for row in dataset(config, tmp_path).rows if row.split == "test")
    image = root / row.file
    content = image.read_bytes()
    image.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError) as error:
        dataset(config, tmp_path).split("test")
    assert str(image) in str(error.value) and "get this file again" in str(error.value)
    assert "\n" not in str(error.value) and not list(tmp_path.glob("*.npy")) + list(tmp_path.glob("*.part"))
    image.unlink()
    if dataset.record.layout.tables:  # a folder has what it has
        with pytest.raises(DataError, match=rf"{image.name} can't be read: No such file"):
            dataset(config, tmp_path).split("test")


@pytest.mark.parametrize("name", ARRAYS)
def test_a_missing_and_a_truncated_array_are_named(name, copied, tmp_path):
    dataset, config, root = copied(name)
    files = dataset(config, tmp_path).files()
    largest = max((root / file for file in files), key=lambda path: path.stat().st_size)
    content = largest.read_bytes()
    largest.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=largest.name) as error:
        dataset(config, tmp_path)
    assert "\n" not in str(error.value)
    for file in files:
        (root / file).unlink()
        with pytest.raises(DataError, match=f"{file}|is not here: looked for"):
            dataset(config, tmp_path)


@pytest.mark.parametrize("name", [name for name in PHOTOS if RECORDS[name].layout.tables])  # type: ignore[union-attr]
def test_a_missing_or_damaged_list_is_named(name, copied, tmp_path):
    dataset, config, root = copied(name)
    tables = [
        table for table in dataset(config, tmp_path).files() if table.endswith((".txt", ".mat", ".csv", ".csv.gz"))
    ]
    assert tables
    for table in tables:
        content = (root / table).read_bytes()
        (root / table).write_bytes(b"damaged\n" * 3)
        with pytest.raises(DataError, match=Path(table).name):
            dataset(config, tmp_path)
        (root / table).unlink()
        with pytest.raises(DataError, match=f"{Path(table).name}|is not here"):
            dataset(config, tmp_path)
        (root / table).write_bytes(content)
    dataset(config, tmp_path)


@pytest.mark.parametrize("name", RECORDS)
def test_nothing_there_is_one_line_that_says_what_to_do(name, tmp_path):
    dataset, config = parts(name)
    with pytest.raises(DataError) as error:
        dataset.locate(replace(config, root=str(tmp_path)))
    said = str(error.value)
    assert f"`lab data get {name}`" in said and str(tmp_path / name) in said and "--profile smoke" in said
    assert "\n" not in said


def test_another_count_than_published_is_a_warning(copied, tmp_path, capsys):
    dataset, config, root = copied("beans")
    (Path(config.root) / STAND_IN).unlink()
    opened = dataset(config, tmp_path)
    assert opened.class_names == ("angular_leaf_spot", "bean_rust", "healthy")
    said = capsys.readouterr().err
    assert f"lab: warning: Beans in {root}: 30 train images, 1,034 are published; 6 val images" in said
    assert next(iter(opened.remarks())).startswith("sizes: 30 train images, 1,034 are published")


def test_verify_compares_with_the_published_files(copied, monkeypatch, capsys):
    dataset, config, root = copied("flowers102")
    assert main(["data", "verify", "flowers102", "--root", config.root, "image_size=16"]) == 0
    assert "a stand-in that lab drew\nfingerprint: " in capsys.readouterr().out
    (Path(config.root) / STAND_IN).unlink()
    assert main(["data", "verify", "flowers102", "--root", config.root, "image_size=16"]) == 2
    assert "imagelabels.mat is not the published file: md5 " in capsys.readouterr().err
    hashes = {name: f"md5:{hashlib.md5((root / name).read_bytes()).hexdigest()}" for name in dataset.record.hashes}
    monkeypatch.setattr(dataset, "record", replace(dataset.record, hashes=hashes))
    assert main(["data", "verify", "flowers102", "--root", config.root, "image_size=16"]) == 0
    assert "hashes: 2 files as published\nfingerprint: " in capsys.readouterr().out


@pytest.mark.parametrize("name", ["stanford_dogs", "oxford_iiit_pet", "cub200", "food101", "beans"])
def test_what_is_fetched_lies_where_it_is_looked_for(name, stand_in, tmp_path, monkeypatch):
    """The archives are unpacked part by part; the lists of Stanford Dogs, for one, have no folder of their own."""
    dataset, config = stand_in(name)
    published = dataset.locate(config)

    def fetch(source: Source, target: Path, tell: object) -> None:
        where = target.name if target.name in {s.part for s in dataset.card.sources} else ""
        if where == "lists":
            target.mkdir(parents=True)
            for file in published.glob("*.mat"):
                shutil.copy(file, target)
        elif name == "cub200":  # its archive has a file beside the folder
            shutil.copytree(published, target / "CUB_200_2011")
        else:
            shutil.copytree(published / where, target)

    monkeypatch.setattr(download, "_get_archive", fetch)
    download.get(dataset.card, tmp_path / "new", lambda text: None)
    there = dataset(replace(config, root=str(tmp_path / "new")), tmp_path / "cache")
    here = dataset(config, tmp_path / "cache")
    assert [row.label for row in there.rows] == [row.label for row in here.rows]


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_keep_their_size_unless_another_is_asked_for(name, stand_in, tmp_path):
    dataset, config = stand_in(name)
    own = dataset(replace(config, image_size=0), tmp_path).split("test").images
    side = dataset.record.layout.side
    assert own.shape[1:] == (side, side, 3)
    larger = dataset(replace(config, image_size=40), tmp_path).split("test").images
    expected = np.asarray(Image.fromarray(own[3]).resize((40, 40), Image.Resampling.BICUBIC))
    assert isinstance(larger, np.memmap) and (larger[3] == expected).all()


def test_options_are_checked():
    assert [field for field, _ in ArrayConfig(image_size=3, val_fraction=1, per_class=0).check()] == [
        "image_size",
        "val_fraction",
        "per_class",
    ]
    assert [field for field, _ in DtdConfig(partition=11).check()] == ["partition"]


def test_the_partition_of_dtd_chooses_its_lists(tmp_path):
    dataset, config = parts("dtd")
    config = replace(config, partition=3)
    dataset.write_stand_in(tmp_path, config)
    assert sorted(path.name for path in tmp_path.rglob("*.txt")) == [
        "STAND_IN.txt",
        "test3.txt",
        "train3.txt",
        "val3.txt",
    ]
    dataset(replace(config, root=str(tmp_path)), tmp_path / "cache")
    with pytest.raises(DataError, match=r"looked for labels/train1\.txt"):
        dataset.locate(replace(config, root=str(tmp_path), partition=1))


def test_the_one_data_module_reads_what_it_is_registered_with(stand_in, tmp_path):
    _, config = stand_in("dtd")
    for name, options in (("dtd", config), ("shapes", ShapesConfig(train=40, val=8, test=8))):
        target = registry.get("data", name).target_class()
        assert issubclass(target, ImageDataModule)
        data = target(options, Loading(cache=tmp_path))
        assert data.facts.num_classes == {"dtd": 10, "shapes": 4}[name] and data.facts.sizes["train"] >= 30
    assert ImageDataModule.dataset_class is None

    class Own(ImageDataModule):
        dataset_class = Shapes

    assert registry.load("lab.data.module:ImageDataModule") is ImageDataModule
    assert Own(ShapesConfig(train=40, val=8, test=8), Loading(cache=tmp_path)).facts.sizes["train"] == 40


def test_every_set_is_listed_and_found_by_its_card():
    sets = datasets()
    for name, record in RECORDS.items():
        assert card_of(sets[name][0]) is record.card and sets[name][1] is record.config
    with pytest.raises(AttributeError, match="no attribute no_such_set"):
        registry.load("lab.data.public:no_such_set")


def test_cards_are_whole():
    for name, record in RECORDS.items():
        card: Card = record.card
        assert card.name == name and card.licence and card.reference and card.sources
        assert record.classes >= len(record.sample) >= 2 and record.folders[0] == name
        for source in card.sources:
            assert source.url.startswith("http") and (source.manual or source.files) and (source.note or source.files)


TORCHVISION: dict[str, tuple[str, Callable[..., Any], dict[str, Any], dict[str, Any]]] = {
    "cifar10": ("cifar-10-batches-py", tv.CIFAR10, {"train": True}, {"train": False}),
    "cifar100": ("cifar-100-python", tv.CIFAR100, {"train": True}, {"train": False}),
    "stl10": ("stl10_binary", tv.STL10, {"split": "train"}, {"split": "test"}),
    "svhn": ("", tv.SVHN, {"split": "train"}, {"split": "test"}),
    "mnist": ("MNIST/raw", tv.MNIST, {"train": True}, {"train": False}),
    "flowers102": ("flowers-102", tv.Flowers102, {"split": "train"}, {"split": "test"}),
    "oxford_iiit_pet": ("oxford-iiit-pet", tv.OxfordIIITPet, {"split": "trainval"}, {"split": "test"}),
    "stanford_cars": ("stanford_cars", tv.StanfordCars, {"split": "train"}, {"split": "test"}),
    "fgvc_aircraft": ("fgvc-aircraft-2013b", tv.FGVCAircraft, {"split": "train"}, {"split": "test"}),
    "dtd": ("dtd/dtd", tv.DTD, {"split": "train"}, {"split": "test"}),
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_reads_the_same_from_the_same_files(name, stand_in, tmp_path, monkeypatch):
    dataset, config = stand_in(name)
    place, reader, *splits = TORCHVISION[name]
    root = tmp_path / "torchvision"
    shutil.copytree(dataset.locate(config), root / place)
    for module in (cifar, stl10, svhn, tv.flowers102):
        monkeypatch.setattr(module, "check_integrity", lambda *_: True)
    small = dataset(replace(config, root=str(root), val_fraction=0, image_size=0 if name in ARRAYS else 48), tmp_path)
    _complete(name, root / place, dataset)
    for split, options in zip(("train", "test"), splits, strict=True):
        ours, theirs = small.split(split), reader(str(root), download=False, **options)
        assert len(ours) == len(theirs)
        rows = [theirs[row] for row in range(len(theirs))]
        pixels = [np.asarray(image.convert("RGB")) for image, _ in rows]
        if name in ARRAYS:
            assert (np.stack(pixels) == ours.images).all() and [label for _, label in rows] == ours.labels.tolist()
        else:
            # The order of rows and classes may be another: the same pairs of image and class, whatever its number.
            theirs_of = {p.tobytes(): label for p, (_, label) in zip(pixels, rows, strict=True)}
            files = [np.asarray(Image.open(small.root / file).convert("RGB")).tobytes() for file in ours.names]
            pairs = {(int(y), theirs_of[file]) for y, file in zip(ours.labels, files, strict=True)}
            assert len(pairs) == len(small.class_names) and len({theirs for _, theirs in pairs}) == len(pairs)


def _complete(name: str, root: Path, dataset: Any) -> None:
    """What torchvision wants and we don't read; CIFAR's own pickles have words of Python 2, which it reads as text."""
    if name in {"cifar10", "cifar100"}:
        for path in root.iterdir():
            batch = pickle.loads(path.read_bytes())
            path.write_bytes(pickle.dumps({key.decode(): value for key, value in batch.items()}))
        (root / "batches.meta").write_bytes(pickle.dumps({"label_names": list(dataset.record.sample)}))
    elif name == "fgvc_aircraft":
        (root / "data" / "variants.txt").write_text("\n".join(dataset.record.sample))
    elif name == "oxford_iiit_pet":
        (root / "annotations" / "trimaps").mkdir()
