"""Slices as batches, and what a module is told of them."""

from __future__ import annotations

import json

import numpy as np
import torch

from lab import registry
from lab.data.base import Facts
from lab.data.module import Loading
from lab.data.scans.module import SliceBatch, SliceDataModule
from lab.data.scans.mr_art import MrArtConfig
from lab.data.scans.slice_set import STEPS


def module(mr_art, cache, **options) -> SliceDataModule:
    options = {"image_size": 48, "val_fraction": 0.25, "test_fraction": 0.25, **options}
    made = registry.get("data", "mr_art").target_class()
    return made(MrArtConfig(root=str(mr_art), **options), Loading(eval_batch_size=5, cache=cache))


def test_a_batch_is_what_the_files_hold(mr_art, cache, simulated):
    data = module(mr_art, cache, select="pairs", motion=simulated)
    slices = data.dataset.split("test")
    batches = list(data.eval_loader("test"))
    assert all(isinstance(batch, SliceBatch) for batch in batches)
    assert torch.cat([batch.index for batch in batches]).tolist() == list(range(len(slices)))
    batch = data.rows("test")[[3, 1]]
    assert batch.image.shape == batch.target.shape == batch.mask.shape == (2, 1, 48, 48)
    assert batch.image.dtype == torch.float32 and batch.mask.dtype == torch.uint8
    assert np.allclose(batch.image[1, 0].numpy(), slices.images[1] / STEPS, atol=1e-6)
    assert np.allclose(batch.target[0, 0].numpy(), slices.targets[3] / STEPS, atol=1e-6)
    assert batch.label.tolist() == [1, 1] and batch.plane.tolist() == [0, 0]
    assert data.subject_names("test")[int(batch.subject[0])] in data.names("test")[3]
    assert batch.image.min() >= 0 and batch.image.max() <= 1


def test_without_pairs_the_target_is_the_image(mr_art, cache):
    batch = module(mr_art, cache).rows("val")[[0]]
    assert batch.target is batch.image


def test_facts_say_what_a_model_was_trained_for(mr_art, cache):
    data = module(mr_art, cache, planes=("sagittal", "coronal"))
    facts = Facts.from_plain(json.loads(json.dumps(data.facts.to_plain())))
    assert facts.acquisition == data.facts.acquisition
    assert facts.acquisition.modality == "T1w" and facts.acquisition.planes == ("sagittal", "coronal")
    assert facts.acquisition.percentiles == (0.5, 99.5) and facts.image_shape == (1, 48, 48)
    assert facts.class_names == ("clean", "affected") and facts.sizes["train"] == len(data.rows("train"))
    labels, groups = data.labels_and_groups()
    assert len(labels) == facts.sizes["train"] and (groups == -1).all()


def test_one_stand_in_serves_all_options(cache):
    made = registry.get("data", "mr_art").target_class()
    options = {"stand_in": True, "stand_in_subjects": 6, "stand_in_size": 48, "image_size": 48, "splits": ("val",)}
    for select in ("clean", "affected"):
        made(MrArtConfig(select=select, val_fraction=0.34, **options), Loading(cache=cache))
    assert len([path for path in (cache / "stand_in").iterdir() if path.is_dir()]) == 1


def test_both_sides_beside_each_other_are_of_different_subjects(mr_art, cache):
    data = module(mr_art, cache, select="both")
    affected, clean = (module(mr_art, cache, select=select) for select in ("affected", "clean"))
    for split in ("train", "val", "test"):
        rows = list(range(data.facts.sizes[split]))
        assert len(rows) == affected.facts.sizes[split]
        batch, count = data.rows(split)[rows], clean.facts.sizes[split]
        assert torch.equal(batch.image, affected.rows(split)[rows].image)
        assert torch.equal(batch.target, clean.rows(split)[[row % count for row in rows]].image)
        assert not set(affected.subject_names(split)) & set(clean.subject_names(split))
