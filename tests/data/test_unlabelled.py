"""Images without labels, from a folder and from a ZIP file."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from lab.data.module import Loading
from lab.data.unlabelled import UnlabelledConfig, UnlabelledImages
from lab.errors import DataError
from lab.registry import get


def test_all_images_whatever_their_folders(tmp_path):
    root = tmp_path / "photos"
    for name in ("a.png", "deep/er/b.jpg", "deep/c.tif", ".hidden/d.png", "notes.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x") if name.endswith("txt") else Image.new("L", (30, 20), 99).save(root / name)
    shutil.make_archive(str(tmp_path / "photos"), "zip", root)
    found = []
    for where in (root, tmp_path / "photos.zip"):
        config = UnlabelledConfig(root=str(where), image_size=16, val_fraction=0.34)
        opened = UnlabelledImages(config, tmp_path / "cache")
        assert opened.class_names == ()
        assert sorted(row.file for row in opened.rows) == ["a.png", "deep/c.tif", "deep/er/b.jpg"]
        assert [len(opened.split(split)) for split in ("train", "val", "test")] == [2, 1, 0]
        assert (opened.split("train").labels == -1).all()
        found.append(opened.split("train").images)
    assert (found[0] == found[1]).all() and found[0].shape == (2, 16, 16, 3)


def test_as_a_data_module(tmp_path):
    component = get("data", "unlabelled_images")
    config = UnlabelledConfig(stand_in=True, stand_in_size=80, image_size=16)
    module = component.target_class()(config, Loading(cache=tmp_path))
    assert module.facts.sizes == {"train": 72, "val": 8, "test": 0}
    assert module.facts.num_classes == 0 and module.facts.label_counts.shape == (0,)
    assert (module.rows("train")[[0, 1]].label == -1).all()
    assert np.unique(module.rows("train").images.images).size > 50


def test_what_is_wrong_is_said(tmp_path):
    assert [name for name, _ in UnlabelledConfig(per_class=3).check()] == ["per_class"]
    with pytest.raises(DataError, match="is not there: name the folder of your images"):
        UnlabelledImages(UnlabelledConfig(root=str(tmp_path / "none")), tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images in"):
        UnlabelledImages(UnlabelledConfig(root=str(tmp_path / "empty")), tmp_path)
