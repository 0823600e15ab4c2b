"""What every data set of image files keeps, each through its own stand-in and loader; and the helpers they share."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lab import registry
from lab.data.base import Facts
from lab.data.listed import folders_in, hold_out, images_in, label_and_bias
from lab.data.module import facts_of
from lab.errors import DataError

FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "celeba": ("celeba", {}),
    "bffhq": ("bffhq", {}),
    "bar": ("bar", {}),
    "bar-biasensemble": ("bar", {"form": "biasensemble"}),
    "imagenet9": ("imagenet9", {}),
    "imagenet9-val": ("imagenet9", {"test_set": "val"}),
    "urbancars": ("urbancars", {}),
    "corrupted_cifar10": ("corrupted_cifar10", {}),
    "corrupted_cifar10-disent": ("corrupted_cifar10", {"form": "disent"}),
    "image_groups": ("image_groups", {}),
}


def parts(name: str) -> tuple[Any, Any]:
    """Data set class and options of an entry of FORMS."""
    component, options = FORMS[name]
    found = registry.get("data", component)
    config = found.config_class()(image_size=16, stand_in_size=100, **options)
    assert found.dataset and not list(config.check())
    return registry.load(found.dataset), config


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return Path(tmp_path_factory.mktemp("stand_ins"))


@pytest.fixture(params=FORMS)
def written(request, folder) -> tuple[Any, Any, Path]:
    """Class, options and folder of a stand-in, written once."""
    dataset, config = parts(request.param)
    root = folder / request.param
    if not root.exists():
        dataset.write_stand_in(root, config)
    return dataset, replace(config, root=str(root)), root


def test_the_loader_reads_what_the_stand_in_wrote(written, tmp_path):
    dataset, config, root = written
    opened = dataset(config, tmp_path)
    assert root in (opened.root, *opened.root.parents)
    for name in ("train", "val", "test"):
        rows = opened.split(name)
        assert len(rows) > 0 and rows.images.shape == (len(rows), 16, 16, 3) and rows.images.dtype == np.uint8
        assert len(set(rows.names)) == len(rows) and opened.split(name) is rows
        assert rows.labels.min() >= 0 and rows.labels.max() < len(opened.class_names)
        assert rows.bias.min() >= -1 and rows.bias.max() < max(len(opened.bias_names), 1)
    assert not set(opened.split("train").names) & {*opened.split("val").names, *opened.split("test").names}
    assert opened.aligned.shape == (len(opened.class_names), len(opened.bias_names))
    assert opened.read_bias(opened.split("train").images, config) is None


def test_the_bias_is_there_in_training_and_gone_in_the_test(written, tmp_path):
    dataset, config, _ = written
    opened = dataset(config, tmp_path)
    if not opened.bias_names:
        pytest.skip("no annotated bias")
    share = {}
    for name in ("train", "test"):
        rows = opened.split(name)
        share[name] = opened.aligned[rows.labels, rows.bias].mean()
    if dataset.__name__ == "Celeba":  # as in CelebA, about half of those without blond hair are men
        assert 0.5 < share["train"] < 0.75
    else:
        assert share["train"] >= 0.89 and share["test"] <= 0.6


def test_facts_survive_being_stored(written, tmp_path):
    dataset, config, _ = written
    opened = dataset(config, tmp_path)
    facts = facts_of(opened, {name: opened.split(name) for name in ("train", "val", "test")})
    again = Facts.from_plain(facts.to_plain())
    assert again.aligned.shape == facts.aligned.shape and (again.aligned == facts.aligned).all()
    assert again.bias_factors == facts.bias_factors and (again.group_counts == facts.group_counts).all()
    assert facts.label_counts.sum() == facts.sizes["train"] and (facts.label_counts > 0).all()


def test_the_fingerprint_follows_the_content(written, tmp_path):
    dataset, config, root = written
    before = dataset(config, tmp_path / "cache").fingerprint()
    assert dataset(config, tmp_path / "other cache").fingerprint() == before
    assert dataset(replace(config, image_size=24), tmp_path / "cache").fingerprint() != before
    copy = shutil.copytree(root, tmp_path / "copy")
    config = replace(config, root=str(copy))
    opened = dataset(config, tmp_path / "cache")
    assert opened.fingerprint() == before
    first = opened.root / opened.files()[-1]
    if first.suffix in {".jpg", ".png", ".JPEG"}:
        Image.new("RGB", (20, 20), "red").save(first)
        assert dataset(config, tmp_path / "cache").fingerprint() != before


def test_nothing_there_is_one_line_that_says_what_to_do(written, tmp_path):
    dataset, config, _ = written
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as error:
        dataset.locate(replace(config, root=str(tmp_path / "empty")))
    said = str(error.value)
    assert str(tmp_path / "empty") in said and "\n" not in said
    assert ("data.root=" in said and "stand_in=true" in said) or "--profile smoke" in said


def test_images_are_decoded_once(written, tmp_path, monkeypatch):
    dataset, config, _ = written
    first = dataset(config, tmp_path).split("test")
    monkeypatch.setattr("lab.data.files.decode", lambda *_: pytest.fail("decoded again"))
    monkeypatch.setattr("lab.data.corrupted_cifar10._corrupted", lambda *_: pytest.fail("corrupted again"))
    assert (dataset(config, tmp_path).split("test").images == first.images).all()


@pytest.mark.parametrize("name", ["celeba", "bar", "corrupted_cifar10", "image_groups"])
def test_options_are_checked(name):
    _, config = parts(name)
    assert [field for field, _ in replace(config, image_size=1, stand_in_size=1).check()] == [
        "image_size",
        "stand_in_size",
    ]


def test_hold_out_is_stratified_and_leaves_some():
    keys = ["a"] * 40 + ["b"] * 20 + ["c"]
    held = hold_out(keys, 0.25, 3)
    assert held[:40].sum() == 10 and held[40:60].sum() == 5 and not held[60]
    assert (hold_out(keys, 0.25, 3) == held).all() and (hold_out(keys, 0.25, 4) != held).any()
    assert not hold_out(["a"], 0.9, 0).any()


def test_listing_is_sorted_and_skips_what_is_no_image(tmp_path):
    for name in ("b.png", "a.JPG", ".hidden.png", "notes.txt"):
        (tmp_path / "x" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "x" / name).touch()
    assert images_in(tmp_path, "x") == ["x/a.JPG", "x/b.png"]
    assert folders_in(tmp_path, ".") == ["./x"]
    for function in (images_in, folders_in):
        with pytest.raises(DataError, match="the copy is incomplete"):
            function(tmp_path, "y")


@pytest.mark.parametrize("name", ["1.png", "7_2_0.png", "7_0_b.png", "7_0_3.png", "x.png"])
def test_a_name_without_its_numbers_is_named(tmp_path, name):
    with pytest.raises(DataError, match=r"has to end in _<label>_<bias>, label in 0\.\.1, bias in 0\.\.2"):
        label_and_bias(tmp_path, name, 2, 3)
