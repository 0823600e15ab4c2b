"""Runs of one experiment with several settings and seeds, copied from one run folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

SHARED = ("diffusion", "sampling")
"""Stages that depend on the seed alone, so that all settings share their artefacts."""


def many(run: Path, settings: Mapping[float, Sequence[int]]) -> Path:
    """Replace a run by one for each setting (a value of `data.rho`) and seed; returns the folder of runs."""
    for rho, seeds in settings.items():
        for seed in seeds:
            copy = run.parent / f"ddb_tiny-rho{rho}-seed{seed}"
            shutil.copytree(run, copy)
            _change(copy, rho, seed)
    shutil.rmtree(run)
    return run.parent


def accuracy(stage: str, rho: float, seed: int) -> float:
    """What a test stage of such a run recorded."""
    return {"erm_test": 0.8 - 0.5 * rho, "ddb_test": 0.9}[stage] + (0.01 if stage == "erm_test" else 0.02) * seed


def _change(run: Path, rho: float, seed: int) -> None:
    config = json.loads((run / "config.yaml").read_text())
    config["seed"] = seed
    for data in (config["data"], *(stage["data"] for stage in config["stages"].values())):
        data |= {"rho": rho}
    (run / "config.yaml").write_text(json.dumps(config))
    record = json.loads((run / "run.json").read_text())
    for name, entry in record["stages"].items():
        decides = f"{name} {seed}" if name in SHARED else f"{name} {seed} {rho}"
        entry["key"] = hashlib.sha256(decides.encode()).hexdigest()[:20]
        folder = run / entry["artefact"]
        (folder / "artefact.json").write_text(json.dumps({"key": entry["key"]}))
        if name in ("erm_test", "ddb_test"):
            (folder / "metrics.json").write_text(json.dumps({"test/accuracy": accuracy(name, rho, seed)}))
    (run / "run.json").write_text(json.dumps(record | {"id": run.name, "seed": seed}))
