"""A run folder as `lab fit` leaves it, with made-up numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Metrics = dict[str, dict[str, float | None]]

METRICS: Metrics = {
    "sampling": {"aligned_share": 0.985},
    "signal": {"precision": 0.9123, "auc": 0.97},
    "erm_test": {"test/loss": 1.25, "test/accuracy": 0.71, "test/conflicting_accuracy": 0.31},
    "ddb_test": {"test/loss": 0.61, "test/accuracy": 0.78, "test/conflicting_accuracy": 0.64},
}

CONFIG: dict[str, Any] = {
    "name": "ddb_tiny",
    "paper": "ddb",
    "kind": "embedded",
    "description": "Debiasing <b>tiny</b> shapes & colours.",
    "seed": 0,
    "data": {"name": "shapes", "root": None, "stand_in": False},
    "trainer": {"batch_size": 64},
    "stages": {
        "diffusion": {"verb": "fit", "title": "Diffusion model"},
        "sampling": {"verb": "predict", "title": "Synthetic images", "weights": "diffusion"},
        "signal": {"verb": "predict", "title": "Amplifier on the training images"},
        "erm": {"verb": "fit", "title": "ERM"},
        "erm_test": {"verb": "test", "title": "ERM", "split": "test", "weights": "erm"},
        "ddb_test": {"verb": "test", "title": "DDB, recipe II", "split": "test"},
        "later_test": {"verb": "test", "title": "LfF", "split": "test"},
    },
    "cells": [
        {
            "stage": "ddb_test",
            "metric": "conflicting_accuracy",
            "value": 0.65,
            "spread": 0.02,
            "seeds": 3,
            "table": "Table 2",
            "provenance": "paper",
        }
    ],
    "claims": [
        {
            "text": "DDB beats ERM by 10 points",
            "left": "ddb_test/conflicting_accuracy",
            "right": "erm_test/conflicting_accuracy",
            "margin": 0.1,
            "provenance": "ours",
        },
        {
            "text": "ERM fails",
            "left": "erm_test/conflicting_accuracy",
            "relation": "<=",
            "right": "erm_test/accuracy",
            "factor": 0.4,
            "provenance": "ours",
        },
        {"text": "LfF learns", "left": "later_test/accuracy", "value": 0.5, "provenance": "ours"},
    ],
    "report": {"headline": ["accuracy", "conflicting_accuracy"]},
}

MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Writes a run folder; keyword arguments replace entries of its configuration.

    folder: its name. metrics: stage -> metrics that replace those of METRICS.
    """

    def make(folder: str = "20260101-120000-ddb_tiny", metrics: Metrics | None = None, **changes: Any) -> Path:
        run = tmp_path / "runs" / folder
        config = {**CONFIG, **changes}
        recorded = {**METRICS, **(metrics or {})}
        config["stages"] = {name: {"data": config["data"], **stage} for name, stage in config["stages"].items()}
        finished: dict[str, Any] = {}
        for place, (name, stage) in enumerate(config["stages"].items()):
            if name == "later_test":
                continue
            made = run / "artefacts" / name
            made.mkdir(parents=True)
            key = f"{config['seed']:010x}{place:010x}"
            (made / "artefact.json").write_text(json.dumps({"key": key}))
            (made / "metrics.json").write_text(json.dumps(recorded.get(name, {})))
            if stage["verb"] == "fit":
                write_curves(made, "accuracy" if name == "erm" else "loss")
            if name == "sampling":
                write_picture(made / "pictures" / "samples.png")
            finished[name] = {
                "verb": stage["verb"],
                "title": stage.get("title"),
                "key": key,
                "artefact": f"artefacts/{name}",
                "state": "cached" if name == "diffusion" else "ran",
                "seconds": 61.4 if name == "diffusion" else 2.5,
                "peak_memory_mib": 512.25,
            }
        (run / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
        origins = {"seed": "command line", "trainer": "experiments/bases/small.yaml:3", "claims": "experiment"}
        (run / "origins.json").write_text(json.dumps(origins))
        (run / "environment.json").write_text(
            json.dumps({"python": "3.12.1", "cpu": "A CPU", "cores": 2, "packages": {"torch": "2.9.0"}})
        )
        record = {
            "id": run.name,
            "name": config["name"],
            "paper": "ddb",
            "kind": config["kind"],
            "seed": config["seed"],
            "status": "finished",
            "profiles": ["smoke"],
            "started": "2026-01-01T12:00:00Z",
            "finished": "2026-01-01T12:01:10Z",
            "seconds": 70.2,
            "stages": finished,
        }
        (run / "run.json").write_text(json.dumps(record))
        return run

    return make


def write_curves(folder: Path, metric: str) -> None:
    lines = ["step,name,value"]
    for step in range(0, 200, 10):
        lines.append(f"{step},train/loss,{1 / (1 + step)}")
        lines.append(f"{step},val/{metric},{0.5 + step / 500}")
    lines.append("200,train/loss,nan")
    (folder / "curves.csv").write_text("\n".join(lines) + "\n")


def write_picture(path: Path) -> None:
    path.parent.mkdir()
    colours = np.random.default_rng(0).integers(0, 255, (40, 80, 3), dtype=np.uint8)
    Image.fromarray(colours).save(path)
