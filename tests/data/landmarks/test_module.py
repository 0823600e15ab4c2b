"""Landmark sets as data modules."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lab import registry
from lab.commands.data import card_of, datasets
from lab.data.base import Facts
from lab.data.module import Loading

from .conftest import SETS

NAMES = {"chest": "chest_landmarks", "cephalo": "cephalometric_landmarks", "hand": "hand_landmarks"}


@pytest.mark.parametrize(
    ("name", "landmarks", "unit", "radii"),
    [("chest", 6, "px", (3, 6, 9)), ("cephalo", 19, "mm", (2, 2.5, 3, 4)), ("hand", 37, "mm", (2, 4, 10))],
)
def test_batches_and_facts(name, landmarks, unit, radii, drawn, tmp_path):
    component = registry.get("data", NAMES[name])
    config = component.config_class()(root=str(drawn), image_size=32, n_labels=3)
    data = component.target_class()(config, Loading(cache=tmp_path))
    facts = data.facts
    assert facts.image_shape == (1, 32, 32) and facts.sizes["train"] == 3
    assert (len(facts.landmarks.names), facts.landmarks.unit, facts.landmarks.radii) == (landmarks, unit, radii)
    assert Facts.from_plain(facts.to_plain()).landmarks == facts.landmarks
    rows = data.dataset.split("test")
    batch = data.rows("test")[[1, 0]]
    assert batch.index.tolist() == [1, 0] and batch.image.dtype == torch.uint8
    assert batch.image.shape == (2, 1, 32, 32) and batch.landmarks.shape == (2, landmarks, 2)
    assert np.array_equal(batch.image[0, 0], rows.images[1, :, :, 0])
    assert np.array_equal(batch.landmarks[0], rows.landmarks[1]) and np.array_equal(batch.size[0], rows.sizes[1])
    moved = data.on_after_batch_transfer(batch, 0)
    assert torch.equal(moved.image * 255, batch.image.float())
    assert list(data.names("test")) == rows.names


def test_without_validation_labels_there_is_no_such_split(drawn, tmp_path):
    component = registry.get("data", NAMES["hand"])
    config = component.config_class()(root=str(drawn), image_size=32, use_val_labels=False)
    data = component.target_class()(config, Loading(cache=tmp_path))
    assert not data.has_split("val") and data.has_split("test")


@pytest.mark.parametrize("name", [*NAMES.values(), "image_landmarks"])
def test_registered_with_a_card(name):
    dataset, config = datasets()[name]
    assert card_of(dataset).name == name and config().stand_in is False


def test_verify_decodes_and_counts(drawn, capsys):
    from lab.cli import main

    assert main(["data", "verify", "hand_landmarks", "--root", str(drawn), "image_size=32"]) == 0
    said = capsys.readouterr().out
    assert "train: 8 images of 32x32x1" in said and "8 / 1 / 4 for train / val / test; 37 landmarks" in said


def test_a_stand_in_is_shared_by_all_options(tmp_path):
    dataset, config = SETS["hand"]
    from lab.data.prepare import stand_in_folder

    first = stand_in_folder(dataset, config(n_labels=3, image_size=64), tmp_path)
    assert first == stand_in_folder(dataset, config(), tmp_path)
    assert first != stand_in_folder(dataset, config(stand_in_size=20), tmp_path)
