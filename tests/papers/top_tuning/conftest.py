"""Feature stages on disk, and a fit of a head to them without an experiment around it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lab.data.base import Facts
from lab.data.module import Loading
from lab.papers.features.config import FeatureRowsConfig
from lab.papers.features.data import FeatureData
from lab.papers.top_tuning.head import Head
from lab.stages.artefact import MANIFEST, METRICS, TABLE, WEIGHTS, Artefact

SIZES = {"train": 120, "val": 60, "test": 90}


def facts_of(classes: int, sizes: dict[str, int]) -> Facts:
    return Facts(
        class_names=tuple(f"class{k}" for k in range(classes)),
        bias_names=(),
        aligned=np.zeros((classes, 0), dtype=bool),
        image_shape=(3, 8, 8),
        sizes=sizes,
        label_counts=np.full(classes, sizes["train"] // classes),
        group_counts=np.zeros(classes, dtype=np.int64),
    )


def rings(size: int, classes: int, seed: int, d: int = 5) -> tuple[Tensor, Tensor]:
    """Features (n, d) and labels: class k is a ring of radius 1 + k, which no line can tell from the others."""
    draw = np.random.default_rng(seed)
    label = np.arange(size) % classes
    angle = draw.uniform(0, 2 * np.pi, size)
    radius = 1 + label + 0.1 * draw.normal(size=size)
    rest = 0.1 * draw.normal(size=(size, d - 2))
    features = np.concatenate([np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1), rest], 1)
    return torch.from_numpy(3 * features + 7).float(), torch.from_numpy(label)


Write = Callable[..., Artefact]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A feature stage of a split with these columns; keyword arguments replace entries of its manifest's `stage`."""

    def make(split: str, features: Tensor, label: Tensor, classes: int, name: str = "", **changes: Any) -> Artefact:
        folder = tmp_path / "store" / (name or split)
        folder.mkdir(parents=True)
        columns = {"index": torch.arange(len(label)), "label": label.clone(), "features": features.clone()}
        save_file(columns, folder / TABLE)
        stage = {
            "verb": "predict",
            "split": split,
            "module": {"name": "features", "version": 1, "options": {}},
            "inputs": {},
            "seed": 0,
            **changes,
        }
        facts = facts_of(classes, SIZES).to_plain()
        (folder / MANIFEST).write_text(json.dumps({"key": folder.name, "stage": stage, "facts": facts}))
        return Artefact(folder)

    return make


@pytest.fixture
def stages(write: Write) -> Callable[..., dict[str, Artefact]]:
    """Rings of so many classes as three feature stages."""

    def make(classes: int = 3, storage: torch.dtype = torch.float32) -> dict[str, Artefact]:
        made = {}
        for seed, (split, size) in enumerate(SIZES.items()):
            features, label = rings(size, classes, seed)
            made[split] = write(split, features.to(storage), label, classes)
        return made

    return make


@pytest.fixture
def fitted(tmp_path: Path) -> Callable[..., tuple[Head, dict[str, float], Artefact]]:
    """Fits a head class with options to stages; the head, what it logged, and its artefact."""

    def fit(cls: type[Head], config: Any, stages: dict[str, Artefact], **options: Any) -> Any:
        data = FeatureData(FeatureRowsConfig(), Loading(batch_size=30, eval_batch_size=40), stages)
        inputs = {role: stages[role] for role in ("train", "val") if role in stages}
        module = cls(config, data.facts, inputs)
        trainer = trainer_of(tmp_path, max_epochs=1, **options)
        trainer.fit(module, datamodule=data)
        found = {name: float(value) for name, value in trainer.callback_metrics.items()}
        folder = tmp_path / "store" / "fitted"
        folder.mkdir(exist_ok=True)
        save_file({k: v.detach().clone().contiguous() for k, v in module.state_dict().items()}, folder / WEIGHTS)
        (folder / METRICS).write_text(json.dumps(found))
        return module.eval(), found, Artefact(folder)

    return fit


def trainer_of(folder: Path, **options: Any) -> L.Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return L.Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **quiet,
        **options,
    )


def measured(head: Head, stages: dict[str, Artefact], folder: Path) -> dict[str, float]:
    """Metrics of the test rows."""
    data = FeatureData(FeatureRowsConfig(), Loading(eval_batch_size=40), stages)
    trainer = trainer_of(folder)
    trainer.test(head, datamodule=data, verbose=False)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}
